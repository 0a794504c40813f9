"""The repulsion between all points over a grid, as in `repulsion`, on torch tensors."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float, Float32, Float64, Int64
from torch import Tensor

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
