"""Attention between an image's tokens: its matrices, their gradients, and those of each block's own prediction.

The softmaxes of a forward pass are found in its graph, where the trace says that there are attentions.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge

from glassnet.attribution.engine.attention_layout import (
    ADVICE,
    Attention,
    Layout,
    Matrix,
    plain_attention,
    tokens_read,
    trace_attention,
)
from glassnet.attribution.engine.passes import Network
from glassnet.attribution.engine.targets import Classes, Scorer, score
from glassnet.errors import InputError
from glassnet.models.layout.trace import IMAGES_TRACED

OF_ATTENTION = ("attention", "attention_gradient", "block_gradient", "tokens")
"""Ingredients that are made here."""


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
            traced = network.in_its_layout(images, lambda: trace_attention(network.model, images, network.call))
            self.found = _Run(network, traced, images, target).ends()
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
            f"the attentions at {where} do not each lie in a block of their own, which legrad needs; use "
            "attention_relevance instead."
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
        self.attention, self.layouts = attention, attention.layouts
        with torch.enable_grad(), plain_attention():
            # A copy, since the model may write into what it is given, but not into a graph's root.
            output = network.in_its_layout(images, lambda: network.run(self.images.clone()))
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

    def ends(self) -> Attention:
        """Return the attentions with the tokens from which the score is read: those the gradient arrives at.

        Raises:
            InputError: An attention does not follow from the one before it.
        """
        self._check(len(self.layouts))
        for before, after, layout in zip(self.nodes, self.nodes[1:], self.layouts[1:], strict=False):
            if not _follows(after, before):
                raise InputError(
                    f"attention at '{layout.module}' does not follow from the one before it but runs next to it, so "
                    f"they cannot be combined into one map{ADVICE}."
                )
        gradients: Sequence[Tensor | None] = torch.autograd.grad(
            self.scores.sum(), [GradientEdge(self.nodes[-1], 0)], retain_graph=True, allow_unused=True
        )
        if gradients[0] is None:
            return self.attention
        reached = (self.layouts[-1].to_heads(gradients[0]) != 0).any(dim=3).any(dim=1).any(dim=0)
        return replace(self.attention, tokens=tokens_read(self.attention.tokens, reached.tolist()))

    def _check(self, needed: int) -> None:
        if len(self.nodes) != needed:
            raise InputError(
                f"only {len(self.nodes)} of {needed} attentions lead to the score, expected all; the score ignores "
                f"some, or the model cuts the graph (detach, no_grad){ADVICE}."
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


def _follows(after: Any, before: Any) -> bool:
    """Tell whether what one node of a graph computed came out of another."""
    seen, waiting = set(), [after]
    while waiting:
        node = waiting.pop()
        if node is before:
            return True
        if node is not None and node not in seen:
            seen.add(node)
            waiting += [one for one, _ in node.next_functions]
    return False
