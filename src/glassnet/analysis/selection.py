"""Which images are explained: by index, by rule, or from a file; never picked by eye."""

from __future__ import annotations

import math
import re
from pathlib import Path

import torch
from jaxtyping import Bool
from torch import Tensor

from glassnet.analysis.base import Context
from glassnet.analysis.views import Group
from glassnet.data import Split
from glassnet.data.given import read_folder
from glassnet.data.pictures import SUFFIXES
from glassnet.errors import InputError
from glassnet.subject import Part, Subject

FIRST = "first"
_RULE = re.compile(r"\w+:\d+")


def select(subject: Subject, words: str, part: Part, precision: str, context: Context) -> list[Group]:
    """Return the images that --images asks for, as one or two groups.

    Args:
        subject: Whose images.
        words: Indices as in 3,14,15, a rule with a number as in correct:4, or the path of a file or a folder.
        part: Part of the images that indices and rules mean.
        precision: Of the forward pass that a rule needs.
        context: Where to compute.

    Raises:
        InputError: The words are no indices, no rule and no file, or an index is out of range.
    """
    rule, _, count = words.partition(":")
    explain = subject.task.views().explain
    rules = (FIRST, *explain.rules)
    if rule in rules and count.isdecimal() and int(count) > 0:
        if rule == FIRST:
            split = subject.part(part)
            rows = torch.arange(min(int(count), len(split)))
            return [
                Group(
                    FIRST,
                    "First images",
                    f"The first {part} images, not hand-picked.",
                    split.subset(rows),
                    subject.labelled,
                )
            ]
        if not subject.labelled:
            raise InputError(
                f"--images is '{words}', but the images of {subject.name} have no labels; use first:{count}."
            )
        return explain.select(subject, rule, int(count), part, context, precision)
    if words and all(word.strip().isdecimal() for word in words.split(",")):
        return [_by_index(subject, [int(word) for word in words.split(",")], part)]
    if words and Path(words).exists():
        return [context.once(("files", words, id(subject)), lambda: _from_files(subject, Path(words)))]
    if Path(words).suffix.lower() in SUFFIXES or "/" in words:
        raise InputError(f"--images is {words}, which does not exist; expected an image file or a folder of images.")
    usual = ", ".join(f"{one}:8" for one in rules)
    raise InputError(
        f"--images is '{words}', expected indices such as 3,14,15, a rule such as {usual}, or an image file or "
        "folder; no file or folder has this name."
    )


def hit_groups(
    split: Split, hit: Bool[Tensor, " n"], rule: str, wanted: int, *, part: Part, title: str, how: str
) -> list[Group]:
    """Take the first images that a model gets right, or wrong, or half of each.

    Args:
        split: The images.
        hit: Which of them it gets right.
        rule: correct, wrong or mixed.
        wanted: How many.
        part: The part that they are of.
        title: Heading of a group, in which {} stands for the rule.
        how: What it means to be right or wrong, in which {} stands for the rule too, after "images that are".
    """
    groups = {"correct": hit, "wrong": ~hit} if rule == "mixed" else {rule: hit if rule == "correct" else ~hit}
    share = math.ceil(wanted / len(groups))
    return [
        Group(
            name,
            title.format(name.capitalize()),
            f"The first {part} images that are {how.format(name)}, not hand-picked.",
            split.subset(chosen.nonzero().flatten()[:share]),
        )
        for name, chosen in groups.items()
    ]


def _by_index(subject: Subject, indices: list[int], part: Part) -> Group:
    split = subject.part(part)
    if max(indices) >= len(split):
        raise InputError(f"--images contains index {max(indices)}, expected 0 to {len(split) - 1}.")
    chosen = split.subset(torch.tensor(indices))
    return Group("chosen", "Chosen images", f"{part.capitalize()} images chosen by index.", chosen, subject.labelled)


def _from_files(subject: Subject, path: Path) -> Group:
    channels, size = subject.image_shape[0], subject.image_shape[1]
    own = None if subject.store is None else subject.store.root  # whose figures are no images to explain
    images, names, _ = read_folder(path, size, channels, skip_damaged=subject.skip_damaged, without=own)
    split = Split(images, torch.zeros(len(images), dtype=torch.int64), files=names)
    title = f"Images of {path.name}" if path.is_dir() else path.name
    return Group(path.stem, title, f"All images of {path.name}.", split, labelled=False)


def is_file(words: str) -> bool:
    """Tell whether --images names a file or a folder, not images of the data set."""
    return is_elsewhere(words) and Path(words).exists()


def is_elsewhere(words: str) -> bool:
    """Tell whether --images means no images of the data set: whether it is neither indices nor a rule with a number."""
    return bool(words) and not words.replace(",", "").replace(" ", "").isdecimal() and not _RULE.fullmatch(words)
