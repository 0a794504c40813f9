"""Attention between an image's tokens: its matrices, their gradients, and those of each block's own prediction.

The softmaxes of a forward pass are found in its graph, whatever calls them: attention written out, PyTorch's module, or
the fused `scaled_dot_product_attention`, which runs in its plain form here. A trace of the forward pass tells which of
their axes are heads and tokens, and where the grid of patches lies among the tokens.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from glassnet.attribution.engine.passes import Network
from glassnet.attribution.engine.targets import Classes, Scorer, score
from glassnet.errors import InputError
from glassnet.models.inference import ModelCall
from glassnet.models.layout.axes import Axis, fresh, is_spatial, size_of
from glassnet.models.layout.reading import Reading
from glassnet.models.layout.trace import IMAGES_TRACED, AxisTrace, images_to_trace
from glassnet.models.undisturbed import undisturbed

Matrix = Float[Tensor, "batch head token token"]

OF_ATTENTION = ("attention", "attention_gradient", "block_gradient", "tokens")
"""Ingredients that are made here."""

_ADVICE = "; use gradcam at its layers instead"


@dataclass(frozen=True)
class Tokens:
    """Where an image's patches lie among its tokens, and the token that the prediction is read from.

    Attributes:
        reading: Of (n, tokens, 1).
        class_token: The first token before the grid, or else the last one after it; None where there is none, and the
            prediction is taken to be a mean over tokens.
    """

    reading: Reading
    class_token: int | None

    def row(self, matrix: Float[Tensor, "batch token token"]) -> Float[Tensor, "batch token"]:
        """Return what the class token has of each token; the mean of all tokens where there is no class token."""
        return matrix.mean(dim=1) if self.class_token is None else matrix[:, self.class_token]

    def to_map(self, values: Float[Tensor, "batch token"]) -> Float[Tensor, "batch height width"]:
        """Return the patches' values where the patches lie."""
        return self.reading.to_maps(values.unsqueeze(2)).squeeze(1)


@dataclass(frozen=True)
class Layout:
    """One attention of the model: its module, and how its matrices (…, tokens, tokens) are laid out."""

    module: str
    reading: Reading

    @property
    def keys(self) -> Axis:
        """The axis of the tokens that are attended to."""
        return self.reading.axes[-1]

    def to_heads(self, value: Tensor) -> Matrix:
        """Return (n, heads, tokens, tokens), of a matrix or of the gradient there."""
        apart = self.reading.apart(value)
        return apart.reshape(len(apart), -1, *value.shape[-2:])


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
    with undisturbed(model), torch.no_grad(), _plain_attention(), _path(model) as path, mode:
        mode.path = path
        call(model, two)
    return _checked(type(model).__name__, [one for one in mode.softmaxes if _is_of_patches(one.keys)])


def _is_of_patches(axis: Axis) -> bool:
    """Tell whether an axis runs over patches, alone or among other tokens."""
    return size_of(axis) > 1 and all(f.kind in ("height", "width", "tokens") for f in axis if f.size > 1)


def _checked(name: str, layouts: Sequence[Layout]) -> Attention:
    if not layouts:
        raise InputError(
            f"no attention between the patches of an image ran in this {name}, which attention methods need{_ADVICE}."
        )
    first = layouts[0]
    for one in layouts:
        queries, keys = one.reading.shape[-2:]
        alone = one.reading.units[0][0].kind == "batch" and not any(
            is_spatial(unit) for unit in one.reading.units[1:-2]
        )
        if not alone or queries != keys or keys != size_of(first.keys):
            raise InputError(
                f"attention at '{one.module}' goes from {queries} to {keys} tokens, "
                f"{'within windows, ' * (not alone)}where all are expected to go from all of {size_of(first.keys)} "
                f"tokens to the same, so that they join into one map{_ADVICE}."
            )
    return Attention(tuple(layouts), _tokens(first.keys))


def _tokens(axis: Axis) -> Tokens:
    count = size_of(axis)
    axes = (fresh("batch", IMAGES_TRACED), axis, fresh("channel", 1))
    root = axis[0].root
    others = root.kind == "tokens"
    place = (0 if root.before else count - 1 if root.after else None) if others else None
    return Tokens(Reading(axes, (IMAGES_TRACED, count, 1), IMAGES_TRACED), place)


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
            self.softmaxes.append(
                Layout(self.path[-1] if self.path else "", Reading(axes, tuple(output.shape), IMAGES_TRACED))
            )
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
def _plain_attention() -> Iterator[None]:
    """Let attention run as matrix products and a softmax, which a graph shows."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


@dataclass
class Attentions:
    """A model's attentions, found once, and what methods are made of there."""

    found: Attention | None = None

    def ingredients(
        self, needs: frozenset[str], network: Network, images: Tensor, target: Scorer | Classes | None
    ) -> dict[str, Any]:
        """Return those of `OF_ATTENTION` that are needed: a forward and a backward pass, and LeGrad's of each block.

        Raises:
            InputError: The model has no attentions that join into one map.
        """
        if needs.isdisjoint(OF_ATTENTION):
            return {}
        if self.found is None:
            self.found = network.in_its_layout(lambda: trace_attention(network.model, images, network.call))
        made: dict[str, Any] = {"tokens": self.found.tokens}
        if not needs.isdisjoint(("attention", "attention_gradient")):
            run = _Run(network, self.found, images, target)
            made["attention"] = run.matrices()
            if "attention_gradient" in needs:
                made["attention_gradient"] = run.gradients(range(len(self.found.layouts)))
        if "block_gradient" in needs:
            made["block_gradient"] = block_gradients(network, self.found, images, target)
        return made


def block_gradients(
    network: Network, attention: Attention, images: Tensor, target: Scorer | Classes | None
) -> list[Matrix]:
    """Return at every attention the gradient of the scores that the model gives of its own block's tokens.

    These tokens skip the blocks after it: the model's own end (norm, pooling, classifier) reads them. Each block costs
    a forward and a backward pass.

    Raises:
        InputError: The blocks are not found.
    """
    blocks = _blocks(attention)
    result = []
    for number in range(len(blocks)):
        with _skipping(network.model, blocks[number], blocks[number + 1 :]):
            run = _Run(network, attention, images, target)
        result.append(run.gradients([number])[0])
    return result


def _blocks(attention: Attention) -> list[str]:
    """Name the blocks: the modules, one for each attention, at which the paths to the attentions part.

    Raises:
        InputError: The paths do not part into one block each.
    """
    paths = [one.module.split(".") for one in attention.layouts]
    depth = next((d for d, parts in enumerate(zip(*paths, strict=False)) if len(set(parts)) > 1), -1)
    blocks = [".".join(path[: depth + 1]) for path in paths]
    if len(set(blocks)) < len(blocks) or (depth < 0 and len(blocks) > 1):
        where = ", ".join(sorted({one.module for one in attention.layouts})[:4])
        raise InputError(
            f"the attentions at {where} do not lie in blocks of their own, each of which legrad explains; "
            "use attention_relevance instead."
        )
    return blocks


@contextmanager
def _skipping(model: nn.Module, last: str, skipped: Sequence[str]) -> Iterator[None]:
    """Let the blocks after one give what that one gave."""
    given: list[Any] = []

    def keep(_module: nn.Module, _inputs: Any, output: Any) -> None:
        given.append(output)

    def replace(_module: nn.Module, _inputs: Any, _output: Any) -> Any:
        return given[-1]

    hooks = [model.get_submodule(last).register_forward_hook(keep)]
    hooks += [model.get_submodule(name).register_forward_hook(replace) for name in skipped]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


class _Run:
    """One forward pass with a graph, in which the attentions are found."""

    def __init__(self, network: Network, attention: Attention, images: Tensor, target: Scorer | Classes | None) -> None:
        self.images = images.detach().clone().requires_grad_()
        self.layouts = attention.layouts
        with torch.enable_grad(), _plain_attention():
            # A copy, since the model may write into what it is given, but not into a graph's root.
            output = network.in_its_layout(lambda: network.run(self.images.clone()))
        self.scores, _ = score(output, target, len(images), network.reader)
        shapes = {self._shape(one) for one in self.layouts}
        self.nodes = [node for node in _softmaxes(self.scores.grad_fn) if tuple(node._saved_result.shape) in shapes]

    def _shape(self, layout: Layout) -> tuple[int, ...]:
        first, *others = layout.reading.shape
        return (first // IMAGES_TRACED * len(self.images), *others)

    def matrices(self) -> list[Matrix]:
        """Return the attentions' matrices."""
        self._check(len(self.layouts))
        return [
            layout.to_heads(node._saved_result.detach()).float()
            for layout, node in zip(self.layouts, self.nodes, strict=True)
        ]

    def gradients(self, numbers: Sequence[int]) -> list[Matrix]:
        """Return the gradients of the scores by some of the attentions."""
        self._check(max(numbers) + 1)
        arrived: dict[int, Tensor] = {}

        def keep(number: int) -> Callable[[Sequence[Tensor]], None]:
            return lambda gradients: arrived.update({number: gradients[0]})

        hooks = [self.nodes[number].register_prehook(keep(number)) for number in numbers]
        torch.autograd.grad(self.scores.sum(), [self.images], allow_unused=True)
        for hook in hooks:
            hook.remove()
        zeros = [torch.zeros_like(self.nodes[number]._saved_result) for number in numbers if number not in arrived]
        assert not zeros, "every node leads to the score"
        return [self.layouts[number].to_heads(arrived[number]).float() for number in numbers]

    def _check(self, needed: int) -> None:
        if len(self.nodes) != needed:
            raise InputError(
                f"{len(self.nodes)} of {needed} attentions lead to the score, expected all; the score "
                f"ignores some, or the model cuts the graph (detach, no_grad){_ADVICE}."
            )


def _softmaxes(root: Any) -> list[Any]:
    """Return the softmaxes of a graph, in the order in which they ran."""
    seen, waiting = set(), [root]
    nodes = []
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if node.name() in ("SoftmaxBackward0", "SafeSoftmaxBackward0"):
            nodes.append(node)
        waiting += [before for before, _ in node.next_functions]
    return sorted(nodes, key=lambda node: node._sequence_nr())
