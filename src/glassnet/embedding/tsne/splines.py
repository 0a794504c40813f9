"""Cubic B-splines: the weights with which a point belongs to the four grid nodes around it.

A point at s grid units from the first node, i = floor(s) and u = s - i, touches the nodes i - 1 … i + 2 with weights

    (1 - u)³ / 6,   (3u³ - 6u² + 4) / 6,   (-3u³ + 3u² + 3u + 1) / 6,   u³ / 6,

which add up to 1 and have two continuous derivatives in s.

de Boor 1978, https://doi.org/10.1007/978-1-4612-6333-3.
"""

from typing import no_type_check

import numpy as np

from glassnet.embedding.tsne.compiled import compiled

ONE, TWO, THREE, FOUR = np.float32(1), np.float32(2), np.float32(3), np.float32(4)
HALF, SIXTH = np.float32(1 / 2), np.float32(1 / 6)


@compiled
@no_type_check
def weights(u):
    """Weights of the four nodes, at 0 <= u < 1."""
    v = ONE - u
    second = (THREE * u * u * (u - TWO) + FOUR) * SIXTH
    third = (THREE * v * v * (v - TWO) + FOUR) * SIXTH
    return v * v * v * SIXTH, second, third, u * u * u * SIXTH


@compiled
@no_type_check
def slopes(u):
    """Derivatives of the four weights in u."""
    v = ONE - u
    return -HALF * v * v, HALF * u * (THREE * u - FOUR), -HALF * v * (THREE * v - FOUR), HALF * u * u


@compiled
@no_type_check
def overlaps(w):
    """Weights by which a point meets itself: sum of w_a w_b over the pairs |a - b| = 0, 1, 2, 3."""
    return (
        w[0] * w[0] + w[1] * w[1] + w[2] * w[2] + w[3] * w[3],
        TWO * (w[0] * w[1] + w[1] * w[2] + w[2] * w[3]),
        TWO * (w[0] * w[2] + w[1] * w[3]),
        TWO * w[0] * w[3],
    )


@compiled
@no_type_check
def overlap_slopes(w, d):
    """Half of the overlaps' derivatives in u, with d the weights' own."""
    return (
        w[0] * d[0] + w[1] * d[1] + w[2] * d[2] + w[3] * d[3],
        w[0] * d[1] + d[0] * w[1] + w[1] * d[2] + d[1] * w[2] + w[2] * d[3] + d[2] * w[3],
        w[0] * d[2] + d[0] * w[2] + w[1] * d[3] + d[1] * w[3],
        w[0] * d[3] + d[0] * w[3],
    )
