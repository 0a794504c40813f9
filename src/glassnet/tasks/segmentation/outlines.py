"""How near the outlines of a segmentation lie to the true ones."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Int64, UInt8
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from glassnet.images import VOID

Masks = UInt8[Tensor, "n h w"]


def outlines(masks: Masks) -> Bool[Tensor, "n h w"]:
    """Mark the pixels that have a pixel of another class above, below, left or right; void borders nothing."""
    padded = F.pad(masks.float()[:, None], (1, 1, 1, 1), mode="replicate")[:, 0].to(torch.uint8)
    height, width = masks.shape[1:]
    found = torch.zeros_like(masks, dtype=torch.bool)
    for down, right in ((0, 1), (2, 1), (1, 0), (1, 2)):
        beside = padded[:, down : down + height, right : right + width]
        found |= (beside != masks) & (beside != VOID)
    return found & (masks != VOID)


def without_void(masks: Masks) -> Masks:
    """Give each void pixel the class of the nearest pixel that has one; a mask that is void all over stays so.

    VOC rings every object with a void band: without this, an object and its background would never meet.
    """
    found = masks.clone()
    for row in (masks == VOID).flatten(1).any(dim=1).nonzero().flatten().tolist():
        mask = masks[row].cpu().numpy()
        if (mask != VOID).any():
            nearest = distance_transform_edt(mask == VOID, return_distances=False, return_indices=True)
            found[row] = torch.from_numpy(mask[tuple(nearest)]).to(masks.device)
    return found


def boundary_counts(predicted: Masks, masks: Masks, *, tolerance: int) -> Int64[Tensor, "n 4"]:
    """Count in each image: outline pixels predicted that are near a true one, all predicted, true ones found, all true.

    Near is within `tolerance` pixels along both axes. The outline is that between any two classes, whichever they are:
    one in the right place counts also where the class is wrong. A void band of the truth has its outline in the middle.

    After Csurka et al. 2013, https://doi.org/10.5244/C.27.32, section 2.2, with a square for a disc; their measure is
    taken by class and image and then averaged, this one over all outlines of all images.
    """
    filled = without_void(masks)
    guess, truth = outlines(predicted.where(filled != VOID, masks)), outlines(filled)
    near_truth, near_guess = (_widened(one, tolerance) for one in (truth, guess))
    parts = (guess & near_truth, guess, truth & near_guess, truth)
    return torch.stack([part.flatten(1).sum(dim=1) for part in parts], dim=1)


def boundary_f(counts: Int64[np.ndarray, "n 4"]) -> float | None:
    """Return the harmonic mean of the outlines' precision and recall over all images; None without an outline."""
    found, predicted, recalled, true = counts.sum(axis=0).tolist()
    if not predicted or not true:
        return None if not predicted and not true else 0.0
    precision, recall = found / predicted, recalled / true
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _widened(marked: Bool[Tensor, "n h w"], by: int) -> Bool[Tensor, "n h w"]:
    return F.max_pool2d(marked[:, None].float(), 2 * by + 1, stride=1, padding=by)[:, 0] > 0
