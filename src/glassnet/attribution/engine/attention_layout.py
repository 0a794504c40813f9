"""Where a forward pass computes attention between an image's tokens, and how its matrices are laid out.

A softmax over patches is attention, whatever calls it: attention written out, PyTorch's module, or the fused
`scaled_dot_product_attention`, which runs in its plain form here. A trace of the forward pass tells which of the axes
are heads and tokens, and where the grid of patches lies among the tokens.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from glassnet.errors import InputError
from glassnet.models.inference import ModelCall
from glassnet.models.layout.axes import Axis, fresh, is_spatial, signature, size_of
from glassnet.models.layout.reading import Reading
from glassnet.models.layout.trace import IMAGES_TRACED, AxisTrace, images_to_trace
from glassnet.models.undisturbed import undisturbed

Matrix = Float[Tensor, "batch head token token"]

ADVICE = "; use gradcam at its layers instead"


@dataclass(frozen=True)
class Tokens:
    """Where an image's patches lie among its tokens, and which tokens the prediction is read from.

    Attributes:
        reading: Of (n, tokens, 1).
        read: The tokens that lead from the last attention to the score, as the class token; None for all of them.
    """

    reading: Reading
    read: tuple[int, ...] | None

    def row(self, matrix: Float[Tensor, "batch token token"]) -> Float[Tensor, "batch token"]:
        """Return what the tokens that are read have of each token, on average."""
        return (matrix if self.read is None else matrix[:, list(self.read)]).mean(dim=1)

    def to_map(self, values: Float[Tensor, "batch token"]) -> Float[Tensor, "batch height width"]:
        """Return the patches' values where the patches lie."""
        return self.reading.to_maps(values.unsqueeze(2)).squeeze(1)


@dataclass(frozen=True)
class Layout:
    """One attention of the model: its module, and how its matrices (…, tokens, tokens) are laid out.

    Attributes:
        module: Name of the module that computes it.
        reading: Of its matrices.
        place: The axis of the tokens attended to, over which the softmax runs: -1, or -2 for matrices written the
            other way round.
    """

    module: str
    reading: Reading
    place: int = -1

    @property
    def keys(self) -> Axis:
        """The axis of the tokens that are attended to."""
        return self.reading.axes[self.place]

    @property
    def queries(self) -> Axis:
        """The axis of the tokens that attend."""
        return self.reading.axes[-3 - self.place if self.place in (-1, -2) else -1]

    def to_heads(self, value: Tensor) -> Matrix:
        """Return (n, heads, tokens, tokens), of a matrix or of the gradient there."""
        apart = self.reading.apart(value)
        heads = apart.reshape(len(apart), -1, *value.shape[-2:])
        return heads if self.place == -1 else heads.mT


@dataclass(frozen=True)
class Attention:
    """The attentions of a model, from the first to the last."""

    layouts: tuple[Layout, ...]
    tokens: Tokens


def trace_attention(model: nn.Module, images: Tensor, call: ModelCall) -> Attention:
    """Find the model's attentions between the tokens of an image.

    Raises:
        InputError: There are none, or some within windows or from fewer tokens, which do not join into one map.
    """
    two = images_to_trace(images)
    mode = _SoftmaxTrace(two)
    with undisturbed(model), torch.no_grad(), plain_attention(), _path(model) as path, mode:
        mode.path = path
        call(model, two)
    return _checked(type(model).__name__, [one for one in mode.softmaxes if _is_of_patches(one.keys)])


def _is_of_patches(axis: Axis) -> bool:
    """Tell whether an axis runs over patches, alone or among other tokens."""
    return size_of(axis) > 1 and all(f.kind in ("height", "width", "tokens") for f in axis if f.size > 1)


def _checked(name: str, layouts: Sequence[Layout]) -> Attention:
    if not layouts:
        raise InputError(f"this {name} ran no attention between image patches, which attention methods need{ADVICE}.")
    first = layouts[0]
    for one in layouts:
        queries, keys = size_of(one.queries), size_of(one.keys)
        alone = one.reading.units[0][0].kind == "batch" and not any(
            is_spatial(unit) for unit in one.reading.units[1:-2]
        )
        if one.place not in (-1, -2) or signature(one.queries) != signature(one.keys) == signature(first.keys):
            raise InputError(
                f"attention at '{one.module}' does not go from the patches to themselves, or does so in an unknown "
                f"order, so it cannot be combined into one map{ADVICE}."
            )
        if not alone or queries != keys or keys != size_of(first.keys):
            raise InputError(
                f"attention at '{one.module}' goes from {queries} to {keys} tokens, "
                f"{'within windows, ' * (not alone)}but all attentions must go from all {size_of(first.keys)} tokens "
                f"to the same tokens to be combined into one map{ADVICE}."
            )
    return Attention(tuple(layouts), _tokens(first.keys))


def _tokens(axis: Axis) -> Tokens:
    count = size_of(axis)
    axes = (fresh("batch", IMAGES_TRACED), axis, fresh("channel", 1))
    return Tokens(Reading(axes, (IMAGES_TRACED, count, 1), IMAGES_TRACED), None)


def tokens_read(tokens: Tokens, reached: Sequence[bool]) -> Tokens:
    """Return the tokens with those that are read: of the patches all or none, of the others each that is reached."""
    root = tokens.reading.axes[1][0].root
    before, after = (root.before, root.after) if root.kind == "tokens" else (0, 0)
    last = len(reached) - after
    grid = range(before, last) if any(reached[before:last]) else range(0)
    others = [number for number in (*range(before), *range(last, len(reached))) if reached[number]]
    read = tuple(sorted([*others, *grid]))
    return replace(tokens, read=read if 0 < len(read) < len(reached) else None)


class _SoftmaxTrace(AxisTrace):
    """Notes the layout of every softmax over more than a row an image."""

    def __init__(self, images: Tensor) -> None:
        super().__init__(images)
        self.softmaxes: list[Layout] = []
        self.path: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        output = super().__torch_dispatch__(func, types, args, kwargs)
        axes = self.axes_of(output) if func._schema.name in ("aten::_softmax", "aten::_safe_softmax") else None
        if axes is not None and len(axes) > 2:
            reading = Reading(axes, tuple(output.shape), IMAGES_TRACED)
            self.softmaxes.append(Layout(self.path[-1] if self.path else "", reading, args[1] % len(axes) - len(axes)))
        return output


@contextmanager
def _path(model: nn.Module) -> Iterator[list[str]]:
    """Keep the names of the modules that are running, the innermost last, while the block runs."""
    running: list[str] = []
    hooks = []
    for name, module in model.named_modules():
        hooks.append(module.register_forward_pre_hook(lambda _module, _inputs, name=name: running.append(name)))
        hooks.append(module.register_forward_hook(lambda _module, _inputs, _output: running.pop() and None))
    try:
        yield running
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def plain_attention() -> Iterator[None]:
    """Let attention run as matrix products and a softmax, which a graph shows."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
