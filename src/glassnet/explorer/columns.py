"""One value an image: label, prediction, confidence, loss and quality, from an evaluation or a forward pass."""

from __future__ import annotations

from glassnet.explorer.arrays import Arrays
from glassnet.explorer.schemas import ColumnsMeta
from glassnet.measures import MEASURES
from glassnet.tasks.explored import Column, Columns


def as_sent(columns: Columns, numbers: Column, label: Column) -> Arrays:
    """Return columns as they are sent.

    Args:
        columns: What is known.
        numbers: The images' numbers (n,).
        label: Their classes (n,), -1 for none.
    """
    measure = MEASURES.get(columns.named)
    meta = ColumnsMeta(
        images=len(numbers),
        wrong=columns.wrong,
        quality=measure.title if measure else "",
        quality_higher_is_better=measure is None or measure.better == "higher",
        precision="fp32",
    )
    values = {name: getattr(columns, name) for name in ("predicted", "confidence", "loss", "quality")}
    return Arrays({"numbers": numbers, "label": label, **values}, meta)
