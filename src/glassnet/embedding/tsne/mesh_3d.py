"""Points in space to a grid and back, by cubic B-splines: `mesh_2d` with one axis more."""

from typing import no_type_check

import numpy as np

from glassnet.embedding.tsne.compiled import compiled
from glassnet.embedding.tsne.mesh_2d import add, dot, inner
from glassnet.embedding.tsne.splines import HALF, overlap_slopes, overlaps, slopes, weights


@compiled
@no_type_check
def spread(points, origin, spacing, grids, first, last):
    """grids[q, a, b, c] = sum of w_a w_b w_c over the points of piece q."""
    n, pieces = len(points), len(grids)
    scale = np.float32(1 / spacing)
    for q in range(first, last):
        grid = grids[q]
        grid[:] = 0
        for i in range(n * q // pieces, n * (q + 1) // pieces):
            r = (points[i, 0] - origin[0]) * scale
            s = (points[i, 1] - origin[1]) * scale
            t = (points[i, 2] - origin[2]) * scale
            a, b, c = int(r), int(s), int(t)
            wx, wy, w = weights(r - np.float32(a)), weights(s - np.float32(b)), weights(t - np.float32(c))
            for k in range(4):
                plane = grid[a - 1 + k]
                add(plane[b - 1], c, wx[k] * wy[0], w)
                add(plane[b], c, wx[k] * wy[1], w)
                add(plane[b + 1], c, wx[k] * wy[2], w)
                add(plane[b + 2], c, wx[k] * wy[3], w)


@compiled
@no_type_check
def read(points, origin, spacing, grid, near, force, potential, first, last):
    """phi_i = sum of w_a w_b w_c grid[a, b, c], summed over each piece, and force_i = -1/2 grad phi at y_i.

    Less what point i itself put there; `near[a, b, c]` is the grid's answer that many nodes from a unit of charge.
    """
    n, pieces = len(points), len(potential)
    scale = np.float32(1 / spacing)
    for q in range(first, last):
        total = 0.0
        for i in range(n * q // pieces, n * (q + 1) // pieces):
            r = (points[i, 0] - origin[0]) * scale
            s = (points[i, 1] - origin[1]) * scale
            t = (points[i, 2] - origin[2]) * scale
            a, b, c = int(r), int(s), int(t)
            wx, wy, w = weights(r - np.float32(a)), weights(s - np.float32(b)), weights(t - np.float32(c))
            dx, dy, d = slopes(r - np.float32(a)), slopes(s - np.float32(b)), slopes(t - np.float32(c))
            ox, oy, o = overlaps(wx), overlaps(wy), overlaps(w)
            sx, sy, z = overlap_slopes(wx, dx), overlap_slopes(wy, dy), overlap_slopes(w, d)
            phi = fx = fy = fz = np.float32(0)
            for k in range(4):
                plane, own = grid[a - 1 + k], near[k]
                p = dot(plane[b - 1], c, w), dot(plane[b], c, w), dot(plane[b + 1], c, w), dot(plane[b + 2], c, w)
                g = dot(plane[b - 1], c, d), dot(plane[b], c, d), dot(plane[b + 1], c, d), dot(plane[b + 2], c, d)
                e = dot(own[0], 1, o), dot(own[1], 1, o), dot(own[2], 1, o), dot(own[3], 1, o)
                h = dot(own[0], 1, z), dot(own[1], 1, z), dot(own[2], 1, z), dot(own[3], 1, z)
                phi += wx[k] * inner(wy, p) - ox[k] * inner(oy, e)
                fx += dx[k] * inner(wy, p) - sx[k] * inner(oy, e)
                fy += wx[k] * inner(dy, p) - ox[k] * inner(sy, e)
                fz += wx[k] * inner(wy, g) - ox[k] * inner(oy, h)
            total += phi
            force[i, 0], force[i, 1], force[i, 2] = -HALF * scale * fx, -HALF * scale * fy, -HALF * scale * fz
        potential[q] = total
