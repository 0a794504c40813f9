"""Repulsion by all pairs, exact, and faster than a grid where points are few."""

from typing import no_type_check

import numpy as np

from glassnet.embedding.tsne.compiled import compiled

ONE = np.float32(1)


@compiled
@no_type_check
def repel_2d(axes, force, potential, first, last):
    """phi_i = sum_j 1 / (1 + |y_i - y_j|²) without j = i, summed over each piece, and force_i = -1/2 grad phi at y_i.

    The force is sum_j (y_i - y_j) / (1 + |y_i - y_j|²)²; `axes[k]` holds coordinate k of all points.
    """
    xs, ys = axes[0], axes[1]
    n, pieces = len(xs), len(potential)
    for q in range(first, last):
        total = 0.0
        for i in range(n * q // pieces, n * (q + 1) // pieces):
            phi = fx = fy = np.float32(0)
            for j in range(n):
                u, v = xs[i] - xs[j], ys[i] - ys[j]
                w = ONE / (ONE + u * u + v * v)
                phi += w
                fx += w * w * u
                fy += w * w * v
            total += phi - ONE
            force[i, 0], force[i, 1] = fx, fy
        potential[q] = total


@compiled
@no_type_check
def repel_3d(axes, force, potential, first, last):
    """The same in space."""
    xs, ys, zs = axes[0], axes[1], axes[2]
    n, pieces = len(xs), len(potential)
    for q in range(first, last):
        total = 0.0
        for i in range(n * q // pieces, n * (q + 1) // pieces):
            phi = fx = fy = fz = np.float32(0)
            for j in range(n):
                u, v, t = xs[i] - xs[j], ys[i] - ys[j], zs[i] - zs[j]
                w = ONE / (ONE + u * u + v * v + t * t)
                phi += w
                fx += w * w * u
                fy += w * w * v
                fz += w * w * t
            total += phi - ONE
            force[i, 0], force[i, 1], force[i, 2] = fx, fy, fz
        potential[q] = total
