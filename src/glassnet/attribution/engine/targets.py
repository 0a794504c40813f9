"""What is explained: one score per image, a class's, that of a segmentation's region, or any other."""

import inspect
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, SupportsIndex

import numpy as np
import torch
from jaxtyping import Float, Int, Int64
from torch import Tensor

from glassnet.attribution.engine.outputs import OutputReader, require_table
from glassnet.errors import GlassnetError, InputError
from glassnet.models.inference import check_memory

Scorer = Callable[..., Tensor]
"""From the output for a batch, or from the output and the batch's images, to (n,) scores."""

Classes = Int[Tensor, "n ..."]
"""(n,): one class an image; (n, m): m classes an image, each explained."""

Target = Literal["predicted"] | SupportsIndex | Sequence[int] | Sequence[Sequence[int]] | np.ndarray | Tensor | Scorer
"""The predicted class, one class for all images, one class an image, several, (n, m) or (1, m) for the same of every
image, or a function from the output, or from it and the images, to (n,) scores."""

_EXPECTED = 'expected "predicted", a class number, one class number per image, or a function of the output'


@dataclass(frozen=True, eq=False)
class OfImages:
    """A function of the output and the images, bound to the images of one batch as they are before any method's change.

    Attributes:
        scorer: Takes the output and the images.
        images: A row for each of the output's.
    """

    scorer: Scorer
    images: Float[Tensor, "batch channel height width"]

    def __call__(self, output: Any) -> Tensor:
        """Return the scores of an output."""
        return self.scorer(output, self.images)

    def repeat(self, copies: int) -> "OfImages":
        """Return the same for a pack of so many variants of the batch."""
        return OfImages(self.scorer, self.images.repeat(copies, 1, 1, 1))


def of_batch(
    target: Scorer | Int[Tensor, "all ..."] | None, start: int, images: Float[Tensor, "batch channel height width"]
) -> Scorer | Classes | None:
    """Return the target of the images from number `start` on."""
    if isinstance(target, Tensor):
        return target[start : start + len(images)]
    return OfImages(target, images) if target is not None and _takes_images(target) else target


def of_pack(target: Scorer | Classes | None, copies: int) -> Scorer | Int[Tensor, "many ..."] | None:
    """Return a batch's target for a pack of so many variants of the batch, one after another."""
    return target.repeat(copies) if isinstance(target, Tensor | OfImages) else target


def of_rows(target: Scorer | Classes | None, rows: Int64[Tensor, " some"]) -> Scorer | Int[Tensor, "some ..."] | None:
    """Return a batch's target for these rows of it."""
    if isinstance(target, OfImages):
        return OfImages(target.scorer, target.images[rows.to(target.images.device)])
    return target[rows.to(target.device)] if isinstance(target, Tensor) else target


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
            f"target has shape {tuple(classes.shape)} for {count} images, expected one class number per image, "
            f"({count},), or several, ({count}, m)."
        )
    if count and int(classes.min()) < 0:
        raise InputError(f"target {int(classes.min())} is negative, expected a class number from 0.")
    return classes


def score(
    output: Any, target: Scorer | Classes | None, size: int, reader: OutputReader | None = None
) -> tuple[Float[Tensor, "batch ..."], Int[Tensor, "batch ..."] | None]:
    """Return each image's score and, for a class target, its class; of several classes, several.

    Args:
        output: What the model gives.
        target: As `check_target` returns it.
        size: Images in the batch.
        reader: Takes the class scores from the output.

    Raises:
        InputError: The output is no (n, classes) tensor, the class is out of range, the callable fails or gave
            something other than (n,) scores, or a score is NaN.
        WorkError: The memory does not suffice for the callable.
    """
    reader = reader or OutputReader()
    if callable(target):
        scores, classes = _check_scores(_called(target, reader.given(output), size), size), None
    else:
        table = reader.classes(output, size)
        classes = chosen_classes(table, target, reader.given(output), size)
        scores = table.gather(1, classes.view(size, -1)).view(classes.shape)
    return require_finite(scores), classes


def require_finite(scores: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
    """Return scores as they are.

    Raises:
        InputError: One is NaN or infinite.
    """
    finite = scores.detach().isfinite()
    if not finite.all():
        raise InputError(
            f"the model gives a NaN or infinite score for {_rows(~finite)} of {len(scores)} images; look for NaN in "
            "its weights, or for inputs that are too large."
        )
    return scores


def chosen_classes(table: Any, target: Classes | None, output: Any, size: int) -> Int[Tensor, "batch ..."]:
    """Return the class, or classes, of each image: the target's, or the one of the highest score.

    Args:
        table: The class scores of a batch.
        target: Classes, or None for the predicted one.
        output: What the scores were taken from.
        size: Images in the batch.

    Raises:
        InputError: The table is no (n, classes) tensor, or a class is out of range.
    """
    scores = require_table(table, output, size)
    classes = scores.argmax(dim=1) if target is None else target.to(scores.device)
    if int(classes.max()) >= scores.shape[1]:
        raise InputError(
            f"target {int(classes.max())} is out of range: the model has {scores.shape[1]} classes, "
            f"numbered from 0 to {scores.shape[1] - 1}."
        )
    return classes


REFERENCES, STRENGTH = 3, 0.6
"""Classes that a class is compared with, and how much of their scores is taken off."""


def contrast(table: Float[Tensor, "batch classes"], classes: Int[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
    """Return y_c - 0.6 mean_d y_d of each class c explained, over the three classes d whose scores are nearest to y_c.

    Zhang et al. 2025, https://arxiv.org/abs/2501.11309, section 3.2.
    """
    chosen = classes.to(table.device).view(len(table), -1)
    own = table.gather(1, chosen)
    apart = (table.detach().unsqueeze(1) - own.detach().unsqueeze(2)).abs()
    apart.scatter_(2, chosen.unsqueeze(2), torch.inf)
    nearest = apart.sort(dim=2, stable=True).indices[:, :, : min(REFERENCES, table.shape[1] - 1)]
    others = table.unsqueeze(1).expand(-1, chosen.shape[1], -1).gather(2, nearest).mean(dim=2)
    return (own - STRENGTH * others).view(classes.shape)


def _rows(marked: Tensor) -> int:
    return int(marked.view(len(marked), -1).any(dim=1).sum())


def _takes_images(scorer: Scorer) -> bool:
    """Tell whether the function must be given two arguments; a second one with a default is an option of its own."""
    try:
        parameters = inspect.signature(scorer).parameters.values()
    except (TypeError, ValueError):  # some of what is written in C has no signature
        return False
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(one.kind in positional and one.default is one.empty for one in parameters) == 2


def _called(scorer: Scorer, output: Any, size: int) -> Any:
    try:
        return scorer(output)
    except GlassnetError:
        raise
    except Exception as error:
        check_memory(error, size)
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        raise InputError(
            f"the target callable fails on the output for {size} images: {reason}; it must return one score per image "
            "for any number of images. If it needs the images, let it take them too, as (output, images)."
        ) from error


def _check_scores(scores: Any, size: int) -> Tensor:
    if not isinstance(scores, Tensor):
        raise InputError(
            f"the target callable returned a {type(scores).__name__}, expected a tensor of shape ({size},)."
        )
    if scores.shape != (size,) or not scores.is_floating_point():
        dtype = str(scores.dtype).removeprefix("torch.")
        raise InputError(
            f"the target callable returned {dtype} of shape {tuple(scores.shape)}, expected float of shape ({size},): "
            "one score per image of the batch."
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
            raise InputError(
                "target has more classes for some images than for others, expected the same number for each."
            )
        return torch.tensor(rows)
    except TypeError:
        raise InputError(f"target is {target!r:.60}, {_EXPECTED}.") from None


def segmented_region(label: int | None = None) -> Scorer:
    """Return the target of Seg-Grad-CAM: y = sum of the class's logits over the pixels that the model assigns to it.

    With the method `gradcam` and this target, a channel's weight is the mean gradient of y over the layer's pixels, and
    the map is Seg-Grad-CAM. If the class is not predicted anywhere in an image, its score is 0 and its map is empty.
    The region is taken from each output, so methods that perturb the image compare scores of different regions.

    Vinogradova, Dibrov and Myers 2020, https://arxiv.org/abs/2002.11434, equation 2 and section 3.

    Args:
        label: The class; None takes the largest class of each image, apart from class 0, the background.
    """

    def score(output: Tensor) -> Float[Tensor, " batch"]:
        if output.ndim != 4 or (label is not None and not 0 <= label < output.shape[1]):
            raise InputError(
                f"the output has shape {tuple(output.shape)}, expected (n, classes, height, width) with class {label}."
            )
        predicted = output.detach().argmax(dim=1)
        chosen = (
            largest_classes(predicted, output.shape[1]) if label is None else predicted.new_full((len(output),), label)
        )
        region = predicted == chosen[:, None, None]
        logits = output.gather(1, chosen.view(-1, 1, 1, 1).expand(-1, 1, *output.shape[2:]))[:, 0]
        return (logits * region).sum(dim=(1, 2))

    return score


def largest_classes(predicted: Int64[Tensor, "batch height width"], classes: int) -> Int64[Tensor, " batch"]:
    """Return the class of most pixels in each image but for class 0, which is taken where there is no other."""
    rows = predicted.flatten(1)
    counts = rows.new_zeros(len(rows), classes).scatter_add_(1, rows, rows.new_ones(()).expand_as(rows))
    counts[:, 0] = 0
    return counts.argmax(dim=1)
