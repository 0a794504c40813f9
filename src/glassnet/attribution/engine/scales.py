"""What class scores are: logits of a softmax or a sigmoid, or probabilities; found by the model's graph or values."""

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from glassnet.errors import InputError
from glassnet.models.score_ends import ends_in

Scale = Literal["logits", "probabilities", "sigmoid", "logarithms"]
"""One of `SCALES`, or logarithms of probabilities that need not add up to one, as log-sigmoid gives them."""

SCALES: tuple[Scale, ...] = ("logits", "probabilities", "sigmoid")
"""What a caller may say: a softmax makes them probabilities; they are; the sigmoid of each does."""

_SUM_TOLERANCE, _HALF_SUM_TOLERANCE = 1e-4, 1e-2
"""How far from one probabilities may add up, in float32 and in half precision; few logits come so near by chance."""


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
