"""Losses of segmentation: cross-entropy, Dice and Lovász-softmax, in all of which void pixels count for nothing.

Each is a mean over the pixels of a batch. Where several processes train, it is over those of a process's part of the
batch, and the processes' gradients are averaged: parts with more void pixels than others weigh their pixels more, and
Dice and Lovász see the sets of the part, so that a training by N processes is not quite that by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from glassnet.images import VOID

Logits = Float[Tensor, "n classes h w"]
Masks = UInt8[Tensor, "n h w"]


def cross_entropy(
    logits: Logits, masks: Masks, weights: Float[Tensor, " classes"] | None = None, label_smoothing: float = 0.0
) -> Float[Tensor, ""]:
    """Mean of -w_c log softmax(logits)_c over the pixels of a class c, divided by the sum of their weights; in nats."""
    # A row a pixel, which logits in channels-last memory are already: over maps, softmax takes twice the time.
    rows, target = logits.permute(0, 2, 3, 1).flatten(0, 2), masks.long().flatten()
    known = target != VOID
    total = F.cross_entropy(
        rows, target, weight=weights, ignore_index=VOID, label_smoothing=label_smoothing, reduction="sum"
    )
    whole = known.sum() if weights is None else (weights[target * known] * known).sum()
    return total / whole.clamp(min=1e-12)  # 0 without a known pixel; to ask for one would make a GPU wait


def dice(logits: Logits, masks: Masks) -> Float[Tensor, ""]:
    """One minus the mean over the classes that are there of 2 sum p g / (sum p² + sum g²).

    p are the probabilities of the class and g is 1 on its pixels, over all pixels of the batch.

    Milletari, Navab and Ahmadi 2016, https://arxiv.org/abs/1606.04797, section 3.
    """
    # Sums by class of what each pixel has of its own one, without a matrix of truths as large as the logits.
    rows, target = logits.permute(0, 2, 3, 1).flatten(0, 2).softmax(dim=1), masks.long().flatten()
    known = (target != VOID).to(rows.dtype)
    target = target * (target != VOID)
    nothing = rows.new_zeros(logits.shape[1])
    overlap = nothing.index_add(0, target, rows.gather(1, target[:, None])[:, 0] * known)
    pixels = nothing.index_add(0, target, known)
    total = (rows.square() * known[:, None]).sum(dim=0) + pixels
    return _mean_there(1 - 2 * overlap / total.clamp(min=1e-12), pixels > 0)


def lovasz(logits: Logits, masks: Masks) -> Float[Tensor, ""]:
    """Mean over the classes that are there of the Lovász extension of the Jaccard loss of the errors |g - p|.

    Berman, Triki and Blaschko 2018, https://arxiv.org/abs/1705.08790, equations 8 to 11, algorithm 1.
    """
    probabilities, truth = _known(logits, masks)
    losses = [_lovasz_of_class(p, g) for p, g in zip(probabilities.T, truth.T, strict=True)]
    return _mean_there(torch.stack(losses), truth.sum(dim=0) > 0)


def _lovasz_of_class(probabilities: Float[Tensor, " pixels"], truth: Float[Tensor, " pixels"]) -> Float[Tensor, ""]:
    errors, order = (truth - probabilities).abs().sort(descending=True)
    return (errors * jaccard_steps(truth[order])).sum()  # autocast would do `@` in half precision, with 1e5 terms


def jaccard_steps(truth: Float[Tensor, " pixels"]) -> Float[Tensor, " pixels"]:
    """Return by how much the Jaccard loss grows with each further pixel that is wrong, in the order given."""
    missed, added = truth.sum() - truth.cumsum(0), (1 - truth).cumsum(0)
    loss = 1 - missed / (truth.sum() + added)
    return torch.cat([loss[:1], loss.diff()])


def class_weights(masks: Iterable[UInt8[Tensor, "_ h w"]], classes: int) -> Float[Tensor, " classes"]:
    """Weigh classes by the root of the inverse of their share of the pixels, the mean over all pixels being 1.

    A class that is nowhere gets the weight 1. The root lies between no weights and those that make all classes equal,
    under which a class of few pixels rules.

    Args:
        masks: In parts, so that those mapped from a file need never all be in memory.
        classes: Number of classes.
    """
    counts = torch.zeros(classes, dtype=torch.float64)
    for part in masks:
        counts += torch.bincount(part[part != VOID].long(), minlength=classes).double().cpu()
    share = counts / counts.sum()
    weights = torch.where(share > 0, share.clamp(min=1e-12).rsqrt(), 0.0)
    return torch.where(share > 0, weights / (weights * share).sum(), 1.0).float()


def _known(logits: Logits, masks: Masks) -> tuple[Float[Tensor, "p c"], Float[Tensor, "p c"]]:
    """Return probabilities and one-hot truth of all pixels, 0 in both for void ones, which are then right in any sum.

    To leave void pixels out instead, a GPU would have to tell how many there are, and be waited for.
    """
    known = (masks != VOID).flatten()[:, None]
    probabilities = logits.softmax(dim=1).permute(0, 2, 3, 1).flatten(0, 2) * known
    target = masks.long().flatten() * known[:, 0]
    return probabilities, F.one_hot(target, logits.shape[1]).to(probabilities) * known


def _mean_there(losses: Float[Tensor, " classes"], there: Bool[Tensor, " classes"]) -> Float[Tensor, ""]:
    """Average the losses of the classes that have a pixel; 0 where none has."""
    return (losses * there).sum() / there.sum().clamp(min=1)


REGION_LOSSES: dict[str, Callable[[Logits, Masks], Tensor]] = {"dice": dice, "lovasz": lovasz}
"""What is added to cross-entropy, by name."""
