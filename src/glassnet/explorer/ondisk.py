"""What lies on disk of a run, which needs neither torch nor the data.

As long as these are not loaded, an entry is taken where it names the run's weights and these are no newer than it; then
by what it was made of.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from glassnet.explorer.arrays import Arrays
from glassnet.explorer.columns import as_sent
from glassnet.explorer.described import PartName
from glassnet.explorer.shown import OpenSubject
from glassnet.run.store import Entry
from glassnet.tasks.explored import explored

_EVALUATION: dict[str, Any] = {"data": None, "flip": False, "precision": "fp32"}


def entry_of(opened: OpenSubject, kind: str, settings: Mapping[str, Any]) -> Entry | None:
    """Return the entry of these settings; None where there is none, or the subject is no run."""
    if opened.path is None or not opened.stamp or opened.data_changed:
        return None
    known = opened.made_of.get(settings["split"])
    if known is not None and kind == "embedding":
        return opened.store.find(kind, settings, known, earlier=False)
    fitting = (one for one in opened.store.entries(kind) if dict(one.settings) == dict(settings))
    return next((one for one in fitting if is_current(opened, one)), None)


def is_current(opened: OpenSubject, entry: Entry) -> bool:
    """Tell whether an entry is of the model and the images as they are now, as far as that is known yet."""
    if entry.elsewhere is not None or (opened.path is not None and opened.manifest is None):
        return False
    known = opened.made_of.get(entry.settings.get("split", "test"))
    if known is None:
        return not opened.data_changed and _fits(opened, entry)
    return all(entry.made_of.get(name) == digest for name, digest in known.items())


def _fits(opened: OpenSubject, entry: Entry) -> bool:
    """Tell whether an entry is of the run's weights and of the data that it was trained on, by what lies on disk.

    One that was begun before the run was trained again, and written after, is newer than weights that it is not of.
    """
    about = entry.document.get("subject") or {}
    made_by, own = about.get("weights"), (opened.manifest.get("weights") or {}).get("digest")
    if about.get("data_changed") or (None not in (made_by, own) and made_by != own):
        return False
    return entry.file.stat().st_mtime_ns >= max(modified for _, modified, _ in opened.stamp)


def columns_on_disk(opened: OpenSubject, part: PartName) -> Arrays | None:
    """Return the columns of a part, if it was evaluated."""
    entry = entry_of(opened, "evaluation", {**_EVALUATION, "split": part})
    if entry is None:
        return None
    numbers, label = _numbers(entry), labels_on_disk(opened, part)
    if numbers is None or label is None:
        return None
    columns = explored(opened.basics.task).columns(entry.result, entry.arrays)
    return as_sent(columns, numbers, label.arrays["label"])


def labels_on_disk(opened: OpenSubject, part: PartName) -> Arrays | None:
    """Return the labels of a part, if it was evaluated by them, or all of its images were embedded."""
    entry = entry_of(opened, "evaluation", {**_EVALUATION, "split": part})
    numbers = None if entry is None else _numbers(entry)
    if entry is None or numbers is None:
        return _labels_of_embedding(opened, part)
    if explored(opened.basics.task).label_of == "pixel":
        return Arrays({"numbers": numbers, "label": np.full(len(numbers), -1, np.int32)})
    targets = entry.arrays.get("targets")
    if targets is None or len(targets) != len(numbers):
        return None
    first = targets if targets.ndim == 1 else np.where(targets.any(axis=1), targets.argmax(axis=1), -1)
    return Arrays({"numbers": numbers, "label": first.astype(np.int32)})


def _labels_of_embedding(opened: OpenSubject, part: PartName) -> Arrays | None:
    """Return the labels of a part from an embedding of all of its images; None where there is none.

    The images of a whole part are numbered 0, 1, 2 and so on, in its order.
    """
    if opened.path is None or not opened.stamp or opened.data_changed:
        return None
    images, classes = opened.basics.parts.get(part), len(opened.basics.classes)
    for entry in opened.store.entries("embedding"):
        if entry.settings.get("split") != part or not is_current(opened, entry):
            continue
        numbers, labels = entry.arrays["numbers"], entry.arrays["labels"]
        order = np.argsort(numbers, kind="stable")
        if len(numbers) == images and np.array_equal(numbers[order], np.arange(images)):
            known = labels[order]
            return Arrays({"numbers": numbers[order], "label": np.where(known < classes, known, -1).astype(np.int32)})
    return None


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
