"""Gradient descent on the divergence: momentum, a gain for each coordinate, exaggerated attraction at first.

Forces between pairs of points are attraction along the edges of the neighbour graph, and repulsion by all pairs. All
pairs are exact, and faster than a grid where points are few.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import no_type_check

import numpy as np
from jaxtyping import Float32

from glassnet.console import step
from glassnet.embedding.tsne.affinities import Affinities, curve_order, reorder
from glassnet.embedding.tsne.loops import PIECES, Team, compiled
from glassnet.embedding.tsne.repulsion import Repulsion, pairs_are_faster

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


Start = Float32[np.ndarray, "n dims"]
LONGEST_STEP = np.float32(5)
LEAST_GAIN = np.float32(0.01)
MORE, LESS = np.float32(0.2), np.float32(0.8)


@dataclass(frozen=True, kw_only=True)
class Phase:
    """Some steps of descent under one exaggeration; the learning rate is n / exaggeration (Belkina et al. 2019)."""

    steps: int
    """Number of steps."""
    exaggeration: float
    """Factor on the attraction."""
    momentum: float = 0.8
    """Share of a step that the next one repeats."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Optimised:
    """Where the descent ended."""

    points: Start
    """The points, the middle of their range at 0."""
    kl_divergence: float
    """KL(P || Q) in nats."""


class Descent:
    """The state of a descent: points, their last update, gains, and both forces."""

    def __init__(self, affinities: Affinities, start: Start, team: Team) -> None:
        self.points = np.array(start, order="C")
        self._graph = (affinities.indptr, affinities.indices.view(np.uint32), affinities.values)
        self._team = team
        self._dims = start.shape[1]
        self._repulsion = Repulsion(self._dims, team)
        self._attract = {2: attract_2d, 3: attract_3d}[self._dims]
        self._repel = {2: repel_2d, 3: repel_3d}[self._dims]
        self._update, self._attraction, self._repulse = (np.zeros_like(self.points) for _ in range(3))
        self._gains = np.ones_like(self.points)
        self._potential = np.zeros(PIECES)
        self._bounds = np.zeros((3, PIECES, self._dims))
        self._bounds[0], self._bounds[1] = self.points.min(axis=0), self.points.max(axis=0)
        self._bounds[2] = self.points.sum(axis=0) / PIECES

    def forces(self) -> tuple[Start, Start, float]:
        """Attraction and repulsion of each point, and Z; the gradient is attraction - repulsion / Z."""
        repel = self._repulsion_law()

        def work(first: int, last: int) -> None:
            self._attract(*self._graph, self.points, self._attraction, PIECES, first, last)
            repel(first, last)

        self._team.each(work)
        return self._attraction, self._repulse, float(self._potential.sum())

    def _repulsion_law(self) -> Callable[[int, int], None]:
        lowest, highest = self._bounds[0].min(axis=0), self._bounds[1].max(axis=0)
        if pairs_are_faster(len(self.points), float((highest - lowest).max()), self._dims):
            axes = np.ascontiguousarray(self.points.T)
            return lambda first, last: self._repel(axes, self._repulse, self._potential, first, last)
        self._repulsion.fit(lowest, highest)
        grid = self._repulsion.potential(self.points)
        return lambda first, last: self._repulsion.read(grid, self.points, self._repulse, self._potential, first, last)

    def step(self, phase: Phase) -> None:
        """Move every point once."""
        attraction, repulse, total = self.forces()
        n = len(self.points)
        mean = (self._bounds[2].sum(axis=0) / n).astype(np.float32)
        factors = np.array([phase.exaggeration, 1 / total, phase.momentum, n / phase.exaggeration], np.float32)

        def work(first: int, last: int) -> None:
            move(self.points, attraction, repulse, self._update, self._gains, factors, mean, self._bounds, first, last)

        self._team.each(work)

    def divergence(self) -> float:
        """KL(P || Q) = sum_ij p_ij log(p_ij (1 + |y_i - y_j|²)) + log Z at the points as they are."""
        total = self.forces()[2]
        sums = np.zeros(PIECES)
        self._team.each(lambda first, last: edge_divergence(*self._graph, self.points, sums, first, last))
        return float(sums.sum() + np.log(total))


def optimise(affinities: Affinities, start: Start, phases: tuple[Phase, ...], *, threads: int) -> Optimised:
    """Descend from `start` through the phases.

    The points are equal, bit for bit, for equal affinities and start on one machine, whatever the number of threads.

    Belkina et al. 2019, https://doi.org/10.1038/s41467-019-13055-y (learning rate);
    Jacobs 1988, https://doi.org/10.1016/0893-6080(88)90003-2 (gains).
    """
    order = curve_order(start)
    with Team(threads) as team:
        descent = Descent(reorder(affinities, order), start[order], team)
        steps = [phase for phase in phases for _ in range(phase.steps)]
        for done, phase in enumerate(steps):
            step("steps", done, len(steps), may_pause=True)
            descent.step(phase)
        divergence = descent.divergence()
    points = np.empty_like(descent.points)
    points[order] = descent.points
    centred = points - (points.max(axis=0) + points.min(axis=0)) / 2
    return Optimised(points=centred, kl_divergence=divergence)


@compiled
@no_type_check
def move(points, attraction, repulse, update, gains, factors, mean, bounds, first, last):
    """Take a step for the points of each piece, less the mean, and write the piece's lowest, highest and sum.

    Gains grow by 0.2 where a coordinate's last update went downhill, else shrink by 0.8; no point moves farther
    than 5.
    """
    n, dims = points.shape
    pieces = bounds.shape[1]
    exaggeration, share, momentum, rate = factors
    for q in range(first, last):
        start, stop = n * q // pieces, n * (q + 1) // pieces
        for i in range(start, stop):
            squared = np.float32(0)
            for axis in range(dims):
                gradient = exaggeration * attraction[i, axis] - share * repulse[i, axis]
                same = update[i, axis] * gradient > 0
                gain = gains[i, axis] * LESS + LEAST_GAIN if same else gains[i, axis] + MORE
                gains[i, axis] = gain
                update[i, axis] = momentum * update[i, axis] - rate * gain * gradient
                squared += update[i, axis] * update[i, axis]
            if squared > LONGEST_STEP * LONGEST_STEP:
                update[i] *= LONGEST_STEP / np.sqrt(squared)
        for axis in range(dims):
            low, high, total = np.float32(np.inf), np.float32(-np.inf), 0.0
            for i in range(start, stop):
                y = points[i, axis] + update[i, axis] - mean[axis]
                points[i, axis] = y
                low, high = min(low, y), max(high, y)
                total += y
            bounds[0, q, axis], bounds[1, q, axis], bounds[2, q, axis] = low, high, total
