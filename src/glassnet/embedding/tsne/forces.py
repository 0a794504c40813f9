"""Forces between pairs of points: attraction along the edges of the neighbour graph, and repulsion by all pairs.

All pairs are exact, and faster than a grid where points are few.
"""

from typing import no_type_check

import numpy as np

from glassnet.embedding.tsne.loops import compiled

ONE = np.float32(1)


@compiled
@no_type_check
def attract_2d(indptr, indices, values, points, force, pieces, first, last):
    """force_i = sum_j p_ij (y_i - y_j) / (1 + |y_i - y_j|²) over row i of the graph."""
    n = len(points)
    for i in range(n * first // pieces, n * last // pieces):
        x, y = points[i, 0], points[i, 1]
        fx = fy = np.float32(0)
        # Slices, whose entries count from 0, and unsigned indices spare the test for counting from the end.
        others, weights = indices[indptr[i] : indptr[i + 1]], values[indptr[i] : indptr[i + 1]]
        for e in range(len(others)):
            j = others[e]
            u, v = x - points[j, 0], y - points[j, 1]
            w = weights[e] / (ONE + u * u + v * v)
            fx += w * u
            fy += w * v
        force[i, 0], force[i, 1] = fx, fy


@compiled
@no_type_check
def attract_3d(indptr, indices, values, points, force, pieces, first, last):
    """The same in space."""
    n = len(points)
    for i in range(n * first // pieces, n * last // pieces):
        x, y, z = points[i, 0], points[i, 1], points[i, 2]
        fx = fy = fz = np.float32(0)
        others, weights = indices[indptr[i] : indptr[i + 1]], values[indptr[i] : indptr[i + 1]]
        for e in range(len(others)):
            j = others[e]
            u, v, t = x - points[j, 0], y - points[j, 1], z - points[j, 2]
            w = weights[e] / (ONE + u * u + v * v + t * t)
            fx += w * u
            fy += w * v
            fz += w * t
        force[i, 0], force[i, 1], force[i, 2] = fx, fy, fz


@compiled
@no_type_check
def edge_divergence(indptr, indices, values, points, sums, first, last):
    """sums[q] = sum of p_ij log(p_ij (1 + |y_i - y_j|²)) over the edges of the rows of piece q."""
    n, pieces = len(points), len(sums)
    for q in range(first, last):
        total = 0.0
        for i in range(n * q // pieces, n * (q + 1) // pieces):
            for e in range(indptr[i], indptr[i + 1]):
                squared = 0.0
                for axis in range(points.shape[1]):
                    squared += (points[i, axis] - points[indices[e], axis]) ** 2
                if values[e] > 0:
                    total += values[e] * np.log(values[e] * (1.0 + squared))
        sums[q] = total


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
