"""What lies on disk of a run, for the first seconds, in which torch and the data are not loaded yet.

An entry is taken where the run's weights are no newer than it. Once the data are loaded, the store compares what the
entry was made of, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from glassnet.explorer.arrays import Arrays
from glassnet.explorer.columns import of_evaluation
from glassnet.explorer.described import PartName
from glassnet.explorer.shown import OpenSubject
from glassnet.run.store import Entry, Store

_EVALUATION: dict[str, Any] = {"data": None, "flip": False, "precision": "fp32"}


def entry_of(opened: OpenSubject, kind: str, settings: Mapping[str, Any]) -> Entry | None:
    """Return the entry of these settings; None where there is none, or torch is there to look closer."""
    if opened.path is None or opened.is_loaded or not opened.stamp:
        return None
    weights = max(modified for _, modified, _ in opened.stamp)
    for entry in Store(opened.path).entries(kind):
        same = entry.elsewhere is None and dict(entry.settings) == dict(settings)
        if same and entry.file.stat().st_mtime_ns >= weights:
            return entry
    return None


def columns_on_disk(opened: OpenSubject, part: PartName) -> Arrays | None:
    """Return the columns of a part, if it was evaluated."""
    entry = entry_of(opened, "evaluation", {**_EVALUATION, "split": part})
    if entry is None:
        return None
    numbers, label = _numbers(entry), labels_on_disk(opened, part)
    if numbers is None or label is None:
        return None
    return of_evaluation(opened.basics.task, entry.result, entry.arrays).answer(numbers, label.arrays["label"])


def labels_on_disk(opened: OpenSubject, part: PartName) -> Arrays | None:
    """Return the labels of a part, if it was evaluated by them."""
    entry = entry_of(opened, "evaluation", {**_EVALUATION, "split": part})
    numbers = None if entry is None else _numbers(entry)
    if entry is None or numbers is None:
        return None
    task = opened.basics.task
    if task == "segmentation":
        return Arrays({"numbers": numbers, "label": np.full(len(numbers), -1, np.int32)})
    targets = entry.arrays.get("targets")
    if targets is None or len(targets) != len(numbers):
        return None
    first = targets if targets.ndim == 1 else np.where(targets.any(axis=1), targets.argmax(axis=1), -1)
    return Arrays({"numbers": numbers, "label": first.astype(np.int32)})


def _numbers(entry: Entry) -> np.ndarray | None:
    """Read the images' numbers, written as in 0-9,12."""
    listed = entry.document.get("images")
    if not isinstance(listed, dict) or not isinstance(listed.get("numbers"), str):
        return None
    numbers: list[int] = []
    for piece in listed["numbers"].split(",") if listed["numbers"] else ():
        first, _, last = piece.partition("-")
        numbers += range(int(first), int(last or first) + 1)
    return np.array(numbers, np.int32)
