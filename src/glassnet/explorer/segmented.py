"""One segmented image: what the model says of each pixel, how sure it is, and how far that is true."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32, UInt8
from torch import Tensor, nn

from glassnet.errors import WorkError
from glassnet.images import VOID
from glassnet.models.inference import predict
from glassnet.tasks.segmentation.metrics import iou_of, pixel_counts


@dataclass(frozen=True, eq=False)
class SegmentedImage:
    """An image's segmentation beside the truth.

    Attributes:
        truth: The class of each pixel, 255 where it is not known.
        predicted: The class that the model gives it.
        confidence: Its probability.
        classes: Those that are in truth or prediction.
        iou: Of each of them; None where no pixel of the image is known.
        mean_iou: Their mean; None likewise.
        pixel_accuracy: Share of the known pixels that are right; None likewise.
        ignored: Pixels whose class is not known.
    """

    truth: UInt8[np.ndarray, "height width"]
    predicted: UInt8[np.ndarray, "height width"]
    confidence: Float32[np.ndarray, "height width"]
    classes: tuple[int, ...]
    iou: tuple[float | None, ...]
    mean_iou: float | None
    pixel_accuracy: float | None
    ignored: int


def segment(
    model: nn.Module,
    image: Tensor,
    truth: UInt8[Tensor, "height width"] | None,
    *,
    classes: int,
    name: str,
    probabilities: Callable[[Tensor], Tensor] = lambda logits: logits.softmax(dim=1),
) -> SegmentedImage:
    """Segment an image.

    Args:
        model: Gives (n, classes, height, width) for images.
        image: (1, channel, height, width).
        truth: Class of each pixel, 255 for none; None where it is not known.
        classes: Number of classes.
        name: What an error calls the image.
        probabilities: Turns what the model gives into probabilities, of the same shape.

    Raises:
        WorkError: The model gives NaN.
    """
    logits = predict(model, image).detach()
    if not bool(logits.isfinite().all()):
        raise WorkError(f"the model gives NaN for {name}; look for NaN in its weights, or too large inputs.")
    confidence, predicted = probabilities(logits).max(dim=1)
    guess = predicted[0].to(torch.uint8)
    known = torch.full_like(guess, VOID) if truth is None else truth.cpu()
    return _measured(guess, known, confidence[0].numpy(), classes)


def _measured(
    guess: UInt8[Tensor, "height width"], truth: UInt8[Tensor, "height width"], confidence: np.ndarray, classes: int
) -> SegmentedImage:
    counts = pixel_counts(guess[None], truth[None], classes)[0].numpy()
    iou, known = iou_of(counts), int(counts[1].sum())
    there = np.flatnonzero(~np.isnan(iou)) if known else np.unique(guess.numpy())
    return SegmentedImage(
        truth=truth.numpy(),
        predicted=guess.numpy(),
        confidence=confidence,
        classes=tuple(there.tolist()),
        iou=tuple(iou[there].tolist()) if known else (None,) * len(there),
        mean_iou=float(np.nanmean(iou)) if known else None,
        pixel_accuracy=int(counts[0].sum()) / known if known else None,
        ignored=int((truth == VOID).sum()),
    )
