"""Where class scores come from, by their graph: a softmax, a sigmoid, their logarithms, or a layer with weights."""

from typing import Any

import torch
from torch import Tensor, nn

from glassnet.images import first_weight, to_float
from glassnet.models.undisturbed import undisturbed

_ENDS = {
    "Softmax": "probabilities",
    "Sigmoid": "probabilities",
    "Hardsigmoid": "probabilities",
    "LogSoftmax": "logits",  # the softmax of log-probabilities is the probabilities
    "LogSigmoid": "logarithms",
    "Addmm": "linear",
    "Convolution": "linear",
}
"""By the name of a graph's node, what its result is."""

# What only moves values, or makes probabilities of probabilities.
_MOVES = "View UnsafeView ReshapeAlias Slice Select Squeeze Unsqueeze Permute Transpose T Expand Clone ToCopy Alias"
_MOVES += " AsStrided Index IndexSelect Split SplitWithSizes Unbind Stack Cat Gather Flip CopySlices"
_BLENDS = "Add Sub Rsub Mul Div Mean Sum Max Maximum Min Minimum Clamp ClampMin ClampMax"
_CARRIERS = frozenset(f"{_MOVES} {_BLENDS}".split())
_CUTS = frozenset({"Clamp", "ClampMin", "ClampMax"})
_UNSCALED = frozenset(_MOVES.split()) | _CUTS | {"Mean"}
_LOGARITHMS = {"Softmax": "LogSoftmax", "Sigmoid": "LogSigmoid"}


def ends_in(scores: Tensor) -> str:
    """Tell by its graph what a tensor is: "probabilities", "logits", "logarithms", "linear", or "" if that is unknown.

    The graph is followed back through what moves values (views, slices, copies) and what blends them (means and sums
    of several heads), to softmax, sigmoid, their logarithms, or the linear layer or convolution that made the scores.
    """
    ends = {_ENDS.get(name, "") for name in _last_operations(scores, _CARRIERS)}
    return ends.pop() if len(ends) == 1 else ""


def last_operation(model: nn.Module, image: Tensor) -> str:
    """Name what a model's scores come out of, as "Softmax", "Sigmoid" or "LogSigmoid"; "" if its graph does not say.

    Scores that are scaled, shifted or added up after it may be anything, so the answer is "".

    Args:
        model: Gives a tensor; it is left as it was found.
        image: (1, channel, height, width), uint8 or float as the model takes it.
    """
    weight = first_weight(model)
    try:
        with torch.inference_mode(False), torch.enable_grad(), undisturbed(model):
            output = model(to_float(image).to(weight).requires_grad_().clone())
    except Exception:  # whatever a model raises that cannot have a graph
        return ""
    ends = _last_operations(output, _UNSCALED) if isinstance(output, Tensor) else set()
    return ends.pop() if len(ends) == 1 else ""


def _last_operations(scores: Tensor, carriers: frozenset[str]) -> set[str]:
    """Return the names of what made the values of a tensor, "" among them where that is unknown."""
    waiting, seen, ends = [scores.grad_fn], set(), set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        name = _name(node)
        if name in carriers:
            before = [one for one, _ in node.next_functions if one is not None]
            waiting += before
            if not before or (name in _CUTS and any("Addmm" in one.name() for one in before)):
                ends.add("")
        else:
            ends.add(_of_logarithm(node) if name == "Log" else name if name in _ENDS else "")
    return ends


def _of_logarithm(node: Any) -> str:
    """Tell what the logarithm of something is, log(clamp(p)) among them."""
    (before, _), *_ = node.next_functions
    while before is not None and _name(before) in _CARRIERS:
        (before, _), *_ = before.next_functions
    return "" if before is None else _LOGARITHMS.get(_name(before), "")


def _name(node: Any) -> str:
    name: str = node.name()
    return name.partition("Backward")[0]
