"""One value an image: label, prediction, confidence, loss and quality, from an evaluation or a forward pass."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from glassnet.explorer.arrays import Arrays
from glassnet.explorer.schemas import ColumnsMeta
from glassnet.measures import MEASURES

Column = np.ndarray
_LEAST = 1e-12
"""Of a probability whose logarithm is taken."""


@dataclass(frozen=True, eq=False)
class Columns:
    """An entry an image, in the part's order; -1 and NaN where there is none.

    Attributes:
        named: Key of the measure that `quality` is; empty for none.
        wrong: Images that are predicted wrongly; None where that means nothing.
    """

    predicted: Column
    confidence: Column
    loss: Column
    quality: Column
    named: str = ""
    wrong: int | None = None

    def answer(self, numbers: Column, label: Column) -> Arrays:
        """Return them as they are sent."""
        measure = MEASURES.get(self.named)
        meta = ColumnsMeta(
            images=len(numbers),
            wrong=self.wrong,
            quality=measure.title if measure else "",
            quality_higher_is_better=measure is None or measure.better == "higher",
            precision="fp32",
        )
        values = {name: getattr(self, name) for name in ("predicted", "confidence", "loss", "quality")}
        return Arrays({"numbers": numbers, "label": label, **values}, meta)


def no_columns(count: int, **known: Any) -> Columns:
    """Return columns of which only some are known."""
    empty = {name: np.full(count, np.nan, np.float32) for name in ("confidence", "loss", "quality")}
    return Columns(**{"predicted": np.full(count, -1, np.int32), **empty, **known})


def of_evaluation(task: str, result: Mapping[str, Any], arrays: Mapping[str, Column]) -> Columns:
    """Read the columns from what an evaluation found, as it lies on disk: JSON values and arrays."""
    return _OF_TASKS[task](result, arrays)


def _of_classification(_result: Mapping[str, Any], arrays: Mapping[str, Column]) -> Columns:
    chances, targets = arrays["probabilities"], arrays["targets"]
    predicted = chances.argmax(axis=1).astype(np.int32)
    likely = chances[np.arange(len(targets)), targets]
    return no_columns(
        len(targets),
        predicted=predicted,
        confidence=chances.max(axis=1),
        loss=-np.log(np.maximum(likely, _LEAST)),
        wrong=int((predicted != targets).sum()),
    )


def _of_labels(_result: Mapping[str, Any], arrays: Mapping[str, Column]) -> Columns:
    chances, targets = arrays["probabilities"].astype(np.float64), arrays["targets"]
    bounded = np.clip(chances, _LEAST, 1 - _LEAST)
    return no_columns(
        len(targets),
        predicted=np.where(chances.max(axis=1) >= 0.5, chances.argmax(axis=1), -1).astype(np.int32),
        confidence=chances.max(axis=1),
        loss=-np.where(targets == 1, np.log(bounded), np.log1p(-bounded)).mean(axis=1),
        wrong=int(((chances >= 0.5) != (targets == 1)).any(axis=1).sum()),
    )


def _of_masks(result: Mapping[str, Any], _arrays: Mapping[str, Column]) -> Columns:
    quality = np.array([np.nan if one is None else one for one in result["by_image"]], np.float32)
    return no_columns(len(quality), quality=quality, named="mean_iou")


def _of_reconstruction(result: Mapping[str, Any], arrays: Mapping[str, Column]) -> Columns:
    count, known = int(result["images"]), {}
    if "values/psnr" in arrays:
        known["quality"] = arrays["values/psnr"].astype(np.float32)
    if {"values/reconstruction", "values/kl"} <= arrays.keys():
        known["loss"] = (arrays["values/reconstruction"] + arrays["values/kl"]).astype(np.float32)
    return no_columns(count, **known, named="psnr" if "quality" in known else "")


_OF_TASKS: dict[str, Callable[[Mapping[str, Any], Mapping[str, Column]], Columns]] = {
    "classification": _of_classification,
    "multilabel": _of_labels,
    "segmentation": _of_masks,
    "reconstruction": _of_reconstruction,
}
