"""The mistakes of a network that names several labels an image: what it missed and invented, label by label."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from glassnet.explorer.arrays import Arrays
from glassnet.explorer.schemas import JudgedLabel, JudgedLabels
from glassnet.explorer.shown import ImagePart

if TYPE_CHECKING:
    from glassnet.tasks.multilabel.result import MultiLabel


def judged(result: MultiLabel) -> JudgedLabels:
    """Count of each label how often it was missed and invented."""
    has, said = result.targets == 1, result.answers
    missed, invented = (has & ~said).sum(axis=0), (~has & said).sum(axis=0)
    rows = [
        JudgedLabel(
            index=index,
            images=row.images,
            missed=int(missed[index]),
            invented=int(invented[index]),
            average_precision=row.average_precision,
            precision=row.precision,
            recall=row.recall,
        )
        for index, row in enumerate(result.per_label)
    ]
    return JudgedLabels(images=result.images, wrong=result.wrong, labels=rows)


def wrong_answers(result: MultiLabel, part: ImagePart, label: int | None) -> Arrays:
    """List the wrong answers, the most confident first: of one label, or of each image the one that it is surest of.

    Returns:
        The images' numbers, the label of each, its probability, and whether it was missed (1) or invented (0).
    """
    mistakes = result.mistakes()
    if label is None:
        first: dict[int, int] = {}
        for row, index in mistakes:
            first.setdefault(row, index)
        mistakes = list(first.items())
    chosen = np.array([one for one in mistakes if label in (None, one[1])], np.int64).reshape(-1, 2)
    rows, labels = chosen.T
    arrays = {
        "numbers": part.numbers[rows],
        "label": labels.astype(np.int32),
        "probability": result.probabilities[rows, labels].astype(np.float32),
        "missed": (result.targets[rows, labels] == 1).astype(np.uint8),
    }
    return Arrays(arrays)
