"""Points in the plane to a grid and back, by cubic B-splines; `mesh_3d` is the same in space.

Each loop works on pieces `first` … `last - 1` of the rows, of which there are `pieces`; see `threads`.
"""

from typing import no_type_check

import numpy as np

from glassnet.embedding.tsne.compiled import compiled
from glassnet.embedding.tsne.splines import HALF, overlap_slopes, overlaps, slopes, weights


@compiled
@no_type_check
def spread(points, origin, spacing, grids, first, last):
    """grids[q, a, b] = sum of w_a w_b over the points of piece q: a grid a piece, so that no two threads meet."""
    n, pieces = len(points), len(grids)
    scale = np.float32(1 / spacing)
    for q in range(first, last):
        grid = grids[q]
        grid[:] = 0
        for i in range(n * q // pieces, n * (q + 1) // pieces):
            s, t = (points[i, 0] - origin[0]) * scale, (points[i, 1] - origin[1]) * scale
            a, b = int(s), int(t)
            w = weights(t - np.float32(b))
            wx = weights(s - np.float32(a))
            add(grid[a - 1], b, wx[0], w)
            add(grid[a], b, wx[1], w)
            add(grid[a + 1], b, wx[2], w)
            add(grid[a + 2], b, wx[3], w)


@compiled
@no_type_check
def add(row, b, weight, w):
    """Add weight * w to four nodes of a row of the grid."""
    row[b - 1] += weight * w[0]
    row[b] += weight * w[1]
    row[b + 1] += weight * w[2]
    row[b + 2] += weight * w[3]


@compiled
@no_type_check
def dot(row, b, w):
    """Sum of w over four nodes of a row of the grid."""
    return row[b - 1] * w[0] + row[b] * w[1] + row[b + 1] * w[2] + row[b + 2] * w[3]


@compiled
@no_type_check
def read(points, origin, spacing, grid, near, force, potential, first, last):
    """phi_i = sum of w_a w_b grid[a, b], summed over each piece, and force_i = -1/2 grad phi at y_i.

    Less what point i itself put there, which the splines do not bring back to nothing; `near[a, b]` is the grid's
    answer a and b nodes from a unit of charge.
    """
    n, pieces = len(points), len(potential)
    scale = np.float32(1 / spacing)
    for q in range(first, last):
        total = 0.0
        for i in range(n * q // pieces, n * (q + 1) // pieces):
            s, t = (points[i, 0] - origin[0]) * scale, (points[i, 1] - origin[1]) * scale
            a, b = int(s), int(t)
            u, v = s - np.float32(a), t - np.float32(b)
            wx, dx, w, d = weights(u), slopes(u), weights(v), slopes(v)
            g0, g1, g2, g3 = grid[a - 1], grid[a], grid[a + 1], grid[a + 2]
            p = dot(g0, b, w), dot(g1, b, w), dot(g2, b, w), dot(g3, b, w)
            q0, q1, q2, q3 = dot(g0, b, d), dot(g1, b, d), dot(g2, b, d), dot(g3, b, d)
            own, own_x, own_y = itself(near, overlaps(wx), overlap_slopes(wx, dx), overlaps(w), overlap_slopes(w, d))
            total += inner(wx, p) - own
            force[i, 0] = -HALF * scale * (inner(dx, p) - own_x)
            force[i, 1] = -HALF * scale * (inner(wx, (q0, q1, q2, q3)) - own_y)
        potential[q] = total


@compiled
@no_type_check
def itself(near, ox, sx, oy, sy):
    """A point's own potential and its slopes, by its overlaps along each axis."""
    own = own_x = own_y = np.float32(0)
    for k in range(4):
        row = dot(near[k], 1, oy)
        own += ox[k] * row
        own_x += sx[k] * row
        own_y += ox[k] * dot(near[k], 1, sy)
    return own, own_x, own_y


@compiled
@no_type_check
def inner(w, p):
    """Sum of the products of two fours."""
    return w[0] * p[0] + w[1] * p[1] + w[2] * p[2] + w[3] * p[3]
