"""What is explained: one score per image, a class's or any other."""

import operator
from collections.abc import Callable, Sequence
from typing import Any, Literal, SupportsIndex

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from glassnet.errors import InputError

Scorer = Callable[[Any], Tensor]

Classes = Int[Tensor, "n ..."]
"""(n,): one class an image; (n, m): m classes an image, each explained."""

Target = Literal["predicted"] | SupportsIndex | Sequence[int] | Sequence[Sequence[int]] | np.ndarray | Tensor | Scorer
"""The predicted class, one class for all images, one class an image, several, (n, m) or (1, m) for the same of every
image, or a function from the output to (n,) scores."""

_EXPECTED = 'expected "predicted", a class number, one class number an image, or a function of the output'


def check_target(target: Target, count: int) -> Scorer | Classes | None:
    """Bring a target into one of three forms: a function, classes (n,) or (n, m), or None for the predicted class.

    Raises:
        InputError: The target is none of these, or its length is not the number of images.
    """
    if isinstance(target, str):
        if target != "predicted":
            raise InputError(f"target is '{target}', {_EXPECTED}.")
        return None
    if callable(target):
        return target
    classes = _whole_numbers(target)
    if classes.ndim == 0:
        classes = classes.expand(count)
    elif classes.ndim == 2 and len(classes) == 1:
        classes = classes.expand(count, -1)
    if len(classes) != count or classes.ndim > 2 or 0 in classes.shape:
        raise InputError(
            f"target has shape {tuple(classes.shape)} for {count} images, expected one class number an image, "
            f"({count},), or several, ({count}, m)."
        )
    if count and int(classes.min()) < 0:
        raise InputError(f"target {int(classes.min())} is negative, expected a class number from 0.")
    return classes


def score(
    output: Any, target: Scorer | Classes | None, size: int
) -> tuple[Float[Tensor, "batch ..."], Int[Tensor, "batch ..."] | None]:
    """Return each image's score and, for a class target, its class; of several classes, several.

    Raises:
        InputError: The output is no (n, classes) tensor, the class is out of range, the callable gave something other
            than (n,) scores, or a score is NaN.
    """
    if callable(target):
        scores, classes = _check_scores(target(output), size), None
    else:
        if not isinstance(output, Tensor) or output.ndim != 2 or len(output) != size:
            shape = f"of shape {tuple(output.shape)}" if isinstance(output, Tensor) else f"a {type(output).__name__}"
            raise InputError(
                f"the model's output is {shape}, not class scores (n, classes); pass as target a callable from the "
                "output to one score an image, as in target=lambda output: output.mean(dim=(1, 2, 3))."
            )
        classes = output.argmax(dim=1) if target is None else target.to(output.device)
        if int(classes.max()) >= output.shape[1]:
            raise InputError(
                f"target {int(classes.max())} is out of range: the model has {output.shape[1]} classes, "
                f"numbered from 0 to {output.shape[1] - 1}."
            )
        scores = output.gather(1, classes.view(size, -1)).view(classes.shape)
    finite = scores.detach().isfinite()
    if not finite.all():
        raise InputError(
            f"the model gives a NaN or infinite score for {_rows(~finite)} of {size} images; "
            "look for NaN in its weights or too large inputs."
        )
    return scores, classes


def _rows(marked: Tensor) -> int:
    return int(marked.view(len(marked), -1).any(dim=1).sum())


def _check_scores(scores: Any, size: int) -> Tensor:
    if not isinstance(scores, Tensor):
        raise InputError(
            f"the target callable returned a {type(scores).__name__}, expected a tensor of shape ({size},)."
        )
    if scores.shape != (size,) or not scores.is_floating_point():
        dtype = str(scores.dtype).removeprefix("torch.")
        raise InputError(
            f"the target callable returned {dtype} of shape {tuple(scores.shape)}, expected float of shape ({size},): "
            "one score an image of the batch."
        )
    return scores


def _whole_numbers(target: Any) -> Int[Tensor, "..."]:
    if isinstance(target, Tensor | np.ndarray):
        numbers = torch.as_tensor(np.array(target) if isinstance(target, np.ndarray) else target).cpu()
        if numbers.is_floating_point() or numbers.is_complex() or numbers.dtype == torch.bool:
            raise InputError(f"target has dtype {str(numbers.dtype).removeprefix('torch.')}, {_EXPECTED}.")
        return numbers.long()
    try:
        if isinstance(target, bool):
            raise TypeError
        if hasattr(target, "__index__"):
            return torch.tensor(operator.index(target))
        rows = [
            operator.index(row) if hasattr(row, "__index__") else [operator.index(c) for c in row] for row in target
        ]
        counts = {len(row) if isinstance(row, list) else None for row in rows}
        if len(counts) > 1:
            raise InputError("target has more classes for some images than for others, expected equally many for each.")
        return torch.tensor(rows)
    except TypeError:
        raise InputError(f"target is {target!r:.60}, {_EXPECTED}.") from None
