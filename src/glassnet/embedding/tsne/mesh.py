"""Points to a grid and back, by cubic B-splines, in the plane and in space.

Each loop works on pieces `first` … `last - 1` of the rows, of which there are `pieces`; see `loops.Team`.

A point at s grid units from the first node, i = floor(s) and u = s - i, touches the nodes i - 1 … i + 2 with weights

    (1 - u)³ / 6,   (3u³ - 6u² + 4) / 6,   (-3u³ + 3u² + 3u + 1) / 6,   u³ / 6,

which add up to 1 and have two continuous derivatives in s.

de Boor 1978, https://doi.org/10.1007/978-1-4612-6333-3.
"""

from typing import no_type_check

import numpy as np

from glassnet.embedding.tsne.loops import compiled

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


@compiled
@no_type_check
def spread_2d(points, origin, spacing, grids, first, last):
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
def read_2d(points, origin, spacing, grid, near, force, potential, first, last):
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


@compiled
@no_type_check
def spread_3d(points, origin, spacing, grids, first, last):
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
def read_3d(points, origin, spacing, grid, near, force, potential, first, last):
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
