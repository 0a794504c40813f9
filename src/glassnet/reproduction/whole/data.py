"""Which data each part of the report is done again on: official data where they can be had, embedded samples else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from glassnet.console import say
from glassnet.data import find_source, load_dataset
from glassnet.download import is_offline
from glassnet.errors import GlassnetError, InputError
from glassnet.settings.train import ReproduceSettings

STAND_INS = {
    "mnist": "mnist-sample",
    "voc-aug": "digit-scenes",
    "cifar10": "photos-sample",
    "stanford_dogs": "photos-sample",
}
"""The report's data sets, and the embedded sample that stands in for each."""


@dataclass(frozen=True)
class DataChoice:
    """The data that stand for one of the report's data sets.

    Attributes:
        wanted: The report's data set.
        used: The data set that is used.
        why: Where it comes from, or why it is not the one that is wanted.
        train: Number of its training images.
        test: Number of its test images.
        note: What the data set says of itself; "" where it was not read.
    """

    wanted: str
    used: str
    why: str
    train: int
    test: int
    note: str

    @property
    def official(self) -> bool:
        """Whether it is the report's data set."""
        return self.used == self.wanted


def choose_data(settings: ReproduceSettings, kept: Mapping[str, str], *, fetch: bool) -> tuple[DataChoice, ...]:
    """Choose the data for each of the report's data sets.

    Args:
        settings: Data, data sets and data root.
        kept: What was chosen when the folder began, by the report's data set: a reproduction keeps to it.
        fetch: Whether to download what is missing.

    Raises:
        InputError: The data that a reproduction began with are no longer there, or --data names neither mnist nor its
            sample.
    """
    if settings.data not in ("mnist", "mnist-sample"):
        raise InputError(
            f"--data is {settings.data}, expected mnist or mnist-sample when all parts are reproduced; name a part to "
            "use other data."
        )
    return tuple(_choice(name, settings, kept, fetch=fetch) for name in STAND_INS)


def _choice(name: str, settings: ReproduceSettings, kept: Mapping[str, str], *, fetch: bool) -> DataChoice:
    if settings.data == "mnist-sample":
        return _sample(name, "embedded sample, as --data says")
    if kept.get(name, name) != name:
        return _sample(name, "embedded sample, which this folder began with")
    source, root = find_source(name, settings.data_root)
    if source.find(root) is None:
        if source.fetch is None or is_offline():
            why = "this process is offline" if source.fetch is not None else "it cannot be fetched"
            return _instead(name, f"{name} is not in {root}, and {why}", kept)
        if not fetch:
            return DataChoice(name, name, "to be fetched", source.train or 0, source.test or 0, "")
    try:
        return _read(name, settings.data_root, "found" if source.find(root) else "fetched")
    except (GlassnetError, OSError) as error:
        return _instead(name, str(error), kept)


def _read(name: str, root: Path | None, why: str) -> DataChoice:
    dataset = load_dataset(name, root=root)
    return DataChoice(name, name, why, len(dataset.train), len(dataset.test), dataset.note)


def _instead(name: str, reason: str, kept: Mapping[str, str]) -> DataChoice:
    """Take the sample; but a reproduction that began with the official data does not go on with another."""
    if kept.get(name) == name:
        raise InputError(
            f"this reproduction began with {name}, which is no longer available ({reason}); restore it, or give "
            "another --out."
        )
    say(f"{name} is replaced by {STAND_INS[name]}: {reason}")
    return _sample(name, f"embedded sample: {reason}")


def _sample(name: str, why: str) -> DataChoice:
    sample = STAND_INS[name]
    source, _ = find_source(sample)
    train, test = source.train, source.test
    if train is None or test is None:
        dataset = load_dataset(sample)
        train, test = len(dataset.train), len(dataset.test)
    return DataChoice(name, sample, why, train, test, find_source(sample)[0].summary)


def used_data(choices: Sequence[DataChoice]) -> dict[str, str]:
    """Return what is used by the report's data set."""
    return {one.wanted: one.used for one in choices}
