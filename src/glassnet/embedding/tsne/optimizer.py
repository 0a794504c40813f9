"""Gradient descent on the divergence: momentum, a gain for each coordinate, exaggerated attraction at first."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import no_type_check

import numpy as np
from jaxtyping import Float32

from glassnet.embedding.tsne.affinities import Affinities, curve_order, reorder
from glassnet.embedding.tsne.forces import attract_2d, attract_3d, edge_divergence, repel_2d, repel_3d
from glassnet.embedding.tsne.loops import PIECES, Team, compiled
from glassnet.embedding.tsne.repulsion import Repulsion, pairs_are_faster

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
        for phase in phases:
            for _ in range(phase.steps):
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
