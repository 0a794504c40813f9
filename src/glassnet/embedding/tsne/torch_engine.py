"""t-SNE on torch tensors, for a GPU: the compiled engine's steps, each as a few large operations."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int64, Real
from torch import Tensor

from glassnet.embedding.tsne.affinities import Affinities
from glassnet.embedding.tsne.optimizer import Optimised, Phase
from glassnet.embedding.tsne.torch_field import TorchRepulsion

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
    centred = rows - rows.mean(axis=0, dtype=np.float64)
    # Shrunk as for the compiled engine, so that a float32 holds the squares whatever the features' unit.
    scale = float(np.abs(centred).max()) or 1.0
    with torch.no_grad():
        indices, squared = _nearest(torch.from_numpy((centred / scale).astype(np.float32)).to(device), k)
    return indices.cpu().numpy(), squared.double().cpu().numpy() * scale**2


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
            for _ in range(phase.steps):
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


def _nearest(rows: Float32[Tensor, "n d"], k: int) -> tuple[Int64[Tensor, "n k"], Float32[Tensor, "n k"]]:
    norms = rows.square().sum(dim=1)
    nearest, lengths = [], []
    for part in torch.arange(len(rows), device=rows.device).split(max(1, PAIRS_AT_ONCE // len(rows))):
        # The row's own norm is left out: it moves all of its distances alike.
        far = norms - 2 * rows[part] @ rows.T
        far.scatter_(1, part[:, None], torch.inf)
        # In the order of their index, so that of equal distances the first comes first.
        indices = far.topk(k, largest=False).indices.sort(dim=1).values
        # The product has lost the last digits of small distances; differences keep them.
        for few, theirs in zip(part.split(1024), indices.split(1024), strict=True):
            squared, order = (rows[theirs] - rows[few, None]).square().sum(dim=2).sort(dim=1, stable=True)
            nearest.append(theirs.gather(1, order))
            lengths.append(squared)
    return torch.cat(nearest), torch.cat(lengths)
