"""t-SNE on torch tensors, for a GPU: the compiled engine's steps and its grid, each as a few large operations."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64, Int64, Real
from torch import Tensor

from glassnet.console import step
from glassnet.embedding.distances import middle, ruler
from glassnet.embedding.tsne.affinities import Affinities
from glassnet.embedding.tsne.loops import thread_count
from glassnet.embedding.tsne.neighbours import SPARE, doubts, measured
from glassnet.embedding.tsne.optimizer import Optimised, Phase
from glassnet.embedding.tsne.repulsion import influence

STENCIL = 4
# Finer than on a CPU, where transforms are what a step costs; on a GPU launching the operations is.
SPACING = {2: 0.35, 3: 0.5}
MOST_NODES = {2: 4096, 3: 256}
FEWEST_CELLS = 24
MARGIN = 5
LEAST_NODES = 16
MOST_HALVINGS = 3


class TorchRepulsion:
    """What all points do to each other; `influence` is kept for as long as the grid keeps its size."""

    def __init__(self) -> None:
        self._size, self._spacing = 0, 0.0
        self._influence = torch.empty(0)

    def __call__(self, points: Float32[Tensor, "n dims"]) -> tuple[Float32[Tensor, "n dims"], Float64[Tensor, ""]]:
        """Return sum_j w_ij² (y_i - y_j) for each point, and Z = sum_{i≠j} w_ij, with w_ij = 1 / (1 + |y_i - y_j|²).

        Both come from the potential phi(y) = sum_j 1 / (1 + |y - y_j|²): -1/2 grad phi(y_i), and sum_i phi(y_i) - n.
        """
        lowest = points.min(dim=0).values
        dims = points.shape[1]
        self._fit(float((points.max(dim=0).values - lowest).max()), points)
        position = (points - lowest) / self._spacing + 1.5
        cell = position.floor()
        inside = position - cell
        axis_weights, axis_slopes = weights(inside), slopes(inside)
        shares = products(axis_weights.unbind(dim=1))
        nodes = self._size // 2
        home = flat_index(cell.long(), nodes)
        charges = spread(home, shares, nodes=nodes, dims=dims)
        padded = [self._size] * dims
        waves = torch.fft.rfftn(charges, s=padded) * self._influence
        potential = torch.fft.irfftn(waves, s=padded)[(slice(nodes),) * dims].reshape(-1)
        offsets = torch.cartesian_prod(*[torch.arange(-1, 3, device=points.device)] * dims)
        around = potential[home[:, None] + flat_index(offsets, nodes)]
        factors = [
            [axis_slopes[:, axis] if axis == along else axis_weights[:, axis] for axis in range(dims)]
            for along in range(dims)
        ]
        force = torch.stack([(around * products(some)).sum(dim=1) for some in factors], dim=1) / (-2 * self._spacing)
        return force, (around * shares).sum(dim=1).double().sum() - len(points)

    def _fit(self, extent: float, points: Float32[Tensor, "n dims"]) -> None:
        size, spacing = grid(extent, points.shape[1])
        if (size, spacing) != (self._size, self._spacing):
            self._size, self._spacing = size, spacing
            self._influence = torch.from_numpy(influence(size, spacing, points.shape[1])).to(points.device)


def grid(extent: float, dims: int) -> tuple[int, float]:
    """Return the nodes a side of the periodic grid, twice those that hold points, and the spacing between them."""
    spacing = max(SPACING[dims], extent / (MOST_NODES[dims] - 2 * MARGIN))
    # Halved where the points span few cells, but three times at most: the closer the nodes, the more digits does the
    # difference of their potentials lose, and the kernel is smooth at an eighth of the spacing already.
    halvings = math.ceil(math.log2(max(1.0, FEWEST_CELLS * spacing / max(extent, 1e-30))))
    spacing /= 2 ** min(MOST_HALVINGS, halvings)
    nodes = max(LEAST_NODES, int(extent / spacing) + MARGIN)
    # Sizes with small factors, each about a twentieth larger than the last, so that few differ in one embedding.
    step = 2 ** max(0, math.floor(math.log2(nodes)) - 4)
    return 2 * step * math.ceil(nodes / step), spacing


def weights(u: Float[Tensor, "n dims"]) -> Float[Tensor, "n dims 4"]:
    """Return the cubic B-spline at the four nodes around a place u of the way from the second to the third."""
    v = 1 - u
    return torch.stack([v**3, 4 - 3 * u**2 * (2 - u), 4 - 3 * v**2 * (2 - v), u**3], dim=2) / 6


def slopes(u: Float[Tensor, "n dims"]) -> Float[Tensor, "n dims 4"]:
    """Return the derivatives of `weights`."""
    v = 1 - u
    return torch.stack([-(v**2), u * (3 * u - 4), v * (4 - 3 * v), u**2], dim=2) / 2


def products(factors: Sequence[Float32[Tensor, "n 4"]]) -> Float32[Tensor, "n nodes"]:
    """Return the product of one factor an axis for each of the 4^dims nodes, the last axis fastest."""
    product = factors[0]
    for factor in factors[1:]:
        product = (product[:, :, None] * factor[:, None, :]).flatten(1)
    return product


def flat_index(places: Int64[Tensor, "n dims"], nodes: int) -> Int64[Tensor, " n"]:
    """Return the index of nodes in the flattened grid."""
    index = places[:, 0]
    for axis in range(1, places.shape[1]):
        index = index * nodes + places[:, axis]
    return index


def spread(
    home: Int64[Tensor, " n"], shares: Float32[Tensor, "n shares"], *, nodes: int, dims: int
) -> Float32[Tensor, "..."]:
    """Return each node's charge, summed in a fixed order: points of a cell first, then four cells an axis.

    Additions to the nodes in whatever order they come would not repeat bit for bit on a GPU.
    """
    home, order = home.sort(stable=True)
    lengths = torch.bincount(home, minlength=nodes**dims)
    table = torch.segment_reduce(shares[order], "sum", lengths=lengths, unsafe=True)
    table = table.reshape([nodes] * dims + [STENCIL] * dims)
    for axis in range(dims):
        # The grid's margin is empty, so nothing wraps around.
        parts = [table.select(dims, node).roll(node - 1, dims=axis) for node in range(STENCIL)]
        table = parts[0] + parts[1] + parts[2] + parts[3]
    return table


PAIRS_AT_ONCE = 2**26
LEAST_GAIN = 0.01
LONGEST_STEP = 5.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Graph:
    """Symmetric affinities on a device, as edges sorted by their source."""

    chances: Float32[Tensor, " edges"]
    source: Int64[Tensor, " edges"]
    target: Int64[Tensor, " edges"]
    degrees: Int64[Tensor, " n"]


def neighbours_on(
    rows: Real[np.ndarray, "n d"], k: int, *, device: str
) -> tuple[Int64[np.ndarray, "n k"], Float64[np.ndarray, "n k"]]:
    """Find the k nearest others of each row by comparing all pairs; nearest first, with squared distances."""
    numbers = np.asarray(rows, dtype=np.float64)
    moved = numbers - middle(numbers)
    # Shrunk as for the compiled engine, so that a float32 holds the squares whatever the features' unit.
    scale = float(np.abs(moved).max()) or 1.0
    moved /= scale
    threads = thread_count(len(numbers))
    with torch.no_grad():
        candidates = _candidates(torch.from_numpy(moved.astype(np.float32)).to(device), min(k + SPARE, len(rows) - 1))
    own = np.arange(len(numbers))
    indices, squared = measured(numbers, numbers, candidates.cpu().numpy(), own, k, threads=threads)
    norms = np.einsum("nd,nd->n", moved, moved)
    doubtful = doubts(squared[:, -1] / scale**2, norms, float(np.quantile(norms, 0.9)))
    if len(doubtful):
        some, wanted = numbers[doubtful], min(k + 1 + SPARE, len(numbers))
        anew = ruler(numbers).nearest(some, wanted)
        indices[doubtful], squared[doubtful] = measured(numbers, some, anew, doubtful, k, threads=threads)
    return indices, squared


def optimise_on(
    affinities: Affinities, start: Float32[np.ndarray, "n dims"], phases: Sequence[Phase], *, device: str
) -> Optimised:
    """Return the points that minimise KL(P || Q), and the divergence there, in nats.

    All is float32 but the sums over all points. Sums are taken over sorted segments, never by additions in any order,
    so that on one device equal inputs give equal points.
    """
    with torch.no_grad():
        graph = _graph(affinities, torch.device(device))
        repulsion = TorchRepulsion()
        points = torch.from_numpy(start).to(device)
        update, gains = torch.zeros_like(points), torch.ones_like(points)
        for phase in phases:
            for done in range(phase.steps):
                step("steps", done, phase.steps)
                points, update, gains = _step(graph, repulsion, points, update, gains, phase)
        centred = points - (points.amax(dim=0) + points.amin(dim=0)) / 2
        return Optimised(points=centred.cpu().numpy(), kl_divergence=_divergence(graph, repulsion, points))


def attraction(graph: Graph, points: Float32[Tensor, "n dims"]) -> Float32[Tensor, "n dims"]:
    """Return sum_j p_ij (y_i - y_j) / (1 + |y_i - y_j|²) for each point."""
    apart = points[graph.source] - points[graph.target]
    weights = graph.chances / (1 + apart.square().sum(dim=1))
    return torch.segment_reduce(apart * weights[:, None], "sum", lengths=graph.degrees, unsafe=True)


def _step(
    graph: Graph,
    repulsion: TorchRepulsion,
    points: Float32[Tensor, "n dims"],
    update: Float32[Tensor, "n dims"],
    gains: Float32[Tensor, "n dims"],
    phase: Phase,
) -> tuple[Float32[Tensor, "n dims"], Float32[Tensor, "n dims"], Float32[Tensor, "n dims"]]:
    """Return the points, their update and gains after one step, by the rules of `optimizer.move`."""
    push, normaliser = repulsion(points)
    gradient = phase.exaggeration * attraction(graph, points) - push / normaliser.float()
    gains = torch.where(update * gradient > 0, 0.8 * gains + LEAST_GAIN, gains + 0.2)
    update = phase.momentum * update - len(points) / phase.exaggeration * gains * gradient
    # No point shoots off: long steps are cut.
    update = update * (LONGEST_STEP / update.norm(dim=1, keepdim=True).clamp_min(LONGEST_STEP))
    points = points + update
    return points - points.mean(dim=0), update, gains


def _divergence(graph: Graph, repulsion: TorchRepulsion, points: Float32[Tensor, "n dims"]) -> float:
    _, normaliser = repulsion(points)
    squared = (points[graph.source] - points[graph.target]).double().square().sum(dim=1)
    chances = graph.chances.double()
    return float((torch.xlogy(chances, chances) + chances * squared.log1p()).sum() + chances.sum() * normaliser.log())


def _graph(affinities: Affinities, device: torch.device) -> Graph:
    degrees = torch.from_numpy(np.diff(affinities.indptr).astype(np.int64)).to(device)
    return Graph(
        chances=torch.from_numpy(affinities.values).to(device),
        source=torch.arange(len(degrees), device=device).repeat_interleave(degrees),
        target=torch.from_numpy(affinities.indices.astype(np.int64)).to(device),
        degrees=degrees,
    )


def _candidates(rows: Float32[Tensor, "n d"], count: int) -> Int64[Tensor, "n c"]:
    """The others that seem nearest to each row, in no order: the product has lost the last digits of distances."""
    norms = rows.square().sum(dim=1)
    nearest = []
    for part in torch.arange(len(rows), device=rows.device).split(max(1, PAIRS_AT_ONCE // len(rows))):
        # The row's own norm is left out: it moves all of its distances alike.
        far = norms - 2 * rows[part] @ rows.T
        far.scatter_(1, part[:, None], torch.inf)
        nearest.append(far.topk(count, largest=False).indices)
    return torch.cat(nearest)
