"""What class scores are: logits of a softmax or a sigmoid, or probabilities; found by the model's graph or values."""

from typing import Any, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from glassnet.errors import InputError

Scale = Literal["logits", "probabilities", "sigmoid", "logarithms"]
"""One of `SCALES`, or logarithms of probabilities that need not add up to one, as log-sigmoid gives them."""

SCALES: tuple[Scale, ...] = ("logits", "probabilities", "sigmoid")
"""What a caller may say: a softmax makes them probabilities; they are; the sigmoid of each does."""

_SUM_TOLERANCE, _HALF_SUM_TOLERANCE = 1e-4, 1e-2
"""How far from one probabilities may add up, in float32 and in half precision; few logits come so near by chance."""

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


def ends_in(scores: Tensor) -> str:
    """Tell by its graph what a tensor is: "probabilities", "logits", "logarithms", "linear", or "" if that is unknown.

    The graph is followed back through what moves values (views, slices, copies) and what blends them (means and sums
    of several heads), to softmax, sigmoid, their logarithms, or the linear layer or convolution that made the scores.
    """
    waiting, seen, ends = [scores.grad_fn], set(), set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        name = node.name().partition("Backward")[0]
        if name in _CARRIERS:
            before = [one for one, _ in node.next_functions if one is not None]
            waiting += before
            if not before or (name in _CUTS and any("Addmm" in one.name() for one in before)):
                ends.add("")
        else:
            ends.add(_of_logarithm(node) if name == "Log" else _ENDS.get(name, ""))
    return ends.pop() if len(ends) == 1 else ""


def _of_logarithm(node: Any) -> str:
    """Tell what the logarithm of something is, log(clamp(p)) among them."""
    (before, _), *_ = node.next_functions
    while before is not None and before.name().partition("Backward")[0] in _CARRIERS:
        (before, _), *_ = before.next_functions
    name = "" if before is None else before.name().partition("Backward")[0]
    return {"Softmax": "logits", "Sigmoid": "logarithms"}.get(name, "")


def scale_of_one(column: Float[Tensor, "n 1"]) -> Scale:
    """Tell what a binary classifier's single output is: a logit, if its graph does not end in a sigmoid."""
    end = ends_in(column)
    if end == "probabilities" and _in_range(column).all():
        return "probabilities"
    return "logarithms" if end == "logarithms" else "sigmoid"


def scale_of(scores: Float[Tensor, "n classes"], end: str) -> tuple[Scale, str]:
    """Tell what class scores are, by where their graph ends, as `ends_in` says it, and by their values.

    Args:
        scores: Of some images.
        end: What `ends_in` says of them.

    Returns:
        The scale, and the reason or a doubt in words; "" where they are logits as nearly all networks give them.
    """
    inside = bool(_in_range(scores).all())
    if scores.shape[1] == 1:
        return _one_column(end, inside=inside)
    if inside and end == "probabilities":
        return "probabilities", "they come out of a softmax or a sigmoid"
    if end == "probabilities":
        return "logits", "though they come out of a softmax or a sigmoid, because some lie outside 0 to 1"
    if end == "logarithms":
        return "logarithms", "they come out of a log-sigmoid"
    if end in ("linear", "logits"):
        return "logits", ""
    off = (scores.detach().double().sum(dim=1) - 1).abs().max()
    if inside and bool(off <= (_SUM_TOLERANCE if scores.element_size() >= 4 else _HALF_SUM_TOLERANCE)):
        return "probabilities", "they lie between 0 and 1 and sum to one"
    return "logits", "though all of them lie between 0 and 1" if inside else ""


def _one_column(end: str, *, inside: bool) -> tuple[Scale, str]:
    if inside and end == "probabilities":
        return "probabilities", "they come out of a softmax or a sigmoid"
    if end == "logarithms":
        return "logarithms", "they come out of a log-sigmoid"
    doubt = "though all of them lie between 0 and 1" if inside and end != "linear" else ""
    return "sigmoid", doubt or "one output is a binary classifier's"


def _in_range(scores: Tensor) -> Bool[Tensor, "..."]:
    values = scores.detach().float()
    return (values >= -1e-6) & (values <= 1 + 1e-6)


def to_probabilities(scores: Float[Tensor, "n classes"], scale: Scale) -> Float[Tensor, "n classes"]:
    """Return the probabilities that class scores stand for, in float32 at least.

    Raises:
        InputError: They should be probabilities, and are not in 0 to 1.
    """
    values = scores if scores.dtype == torch.float64 else scores.float()
    if scale == "logits":
        return values.softmax(dim=1)
    if scale == "sigmoid":
        return values.sigmoid()
    values = values.exp() if scale == "logarithms" else values
    if not bool(_in_range(values).all()):
        raise InputError(
            f"the model's scores range from {float(values.min()):.4g} to {float(values.max()):.4g} but were treated "
            'as probabilities; pass output="logits" or output="sigmoid".'
        )
    return values


def complement(column: Float[Tensor, "n 1"], scale: Scale) -> Float[Tensor, "n 1"]:
    """Return class 0's score of a binary classifier whose single output is class 1's: -y, 1 - p or log(1 - p)."""
    if scale == "probabilities":
        return 1 - column
    return torch.log(-torch.expm1(column)) if scale == "logarithms" else -column
