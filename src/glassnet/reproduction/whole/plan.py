"""The plan of a reproduction: what is trained, on which data, what is finished, and how long the rest takes.

A training that serves several figures stands in it once.
"""

from __future__ import annotations

import os
import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from glassnet.data import find_source, load_dataset
from glassnet.devices import choose_device, choose_precision
from glassnet.errors import InputError
from glassnet.formats import count
from glassnet.reproduction.budget import BUDGETS, USUAL_IMAGES, filled
from glassnet.reproduction.part import Part
from glassnet.reproduction.trainings import Training
from glassnet.reproduction.whole.data import DataChoice, used_data
from glassnet.reproduction.whole.rates import Rate, kind_of, measure_rates
from glassnet.settings.train import ReproduceSettings
from glassnet.tables import Table
from glassnet.training import epochs_done
from glassnet.training.resume import identity

MEASURED_ON = "two cores of an AMD EPYC with AVX-512 bf16, all of the report's data"
ANALYSES: Mapping[str, float] = {
    "classification": 1,
    "segmentation": 20,
    "reconstruction": 200,
    "features": 25,
    "gradcam": 45,
    "channels": 15,
}
"""Seconds that a part takes besides its trainings, with one seed, on `MEASURED_ON`, in a whole reproduction.

That of gradcam, which explained 500 images in 14 seconds, is scaled to `USUAL_IMAGES`.
"""


@dataclass(frozen=True)
class Planned:
    """A training of the plan.

    Attributes:
        training: What is trained.
        parts: Those that need it; the first one trains it.
        figures: Of the report, that it serves in any part.
        done: Epochs that are done; None where it is finished.
        seconds: What is left of it, estimated; None where nothing was measured.
    """

    training: Training
    parts: tuple[str, ...]
    figures: tuple[str, ...]
    done: int | None
    seconds: float | None = None

    @property
    def status(self) -> str:
        """What there is of it already."""
        if self.done is None:
            return "finished"
        return f"epoch {self.done} of {self.training.settings.epochs}" if self.done else "to do"


@dataclass(frozen=True)
class WholePlan:
    """What a reproduction does.

    Attributes:
        budget: Its name; None for a part with settings of its own.
        settings: By part, as the part is given them.
        about: By part, what it shows.
        data: Chosen for each of the report's data sets; empty where a single part is planned.
        trainings: In order, each once.
        finished: Parts whose tables and figures are there already.
        rates: Seconds an image, by kind of training.
    """

    budget: str | None
    settings: Mapping[str, ReproduceSettings]
    about: Mapping[str, str]
    data: tuple[DataChoice, ...]
    trainings: tuple[Planned, ...]
    finished: tuple[str, ...]
    rates: Mapping[str, Rate]

    @property
    def seconds(self) -> tuple[float, float]:
        """Seconds that the trainings and the analyses are estimated to take from here."""
        left = [name for name in self.settings if name not in self.finished]
        return sum(one.seconds or 0 for one in self.trainings), sum(self.analysis_seconds(name) for name in left)

    def analysis_seconds(self, part: str) -> float:
        """Seconds that a part's tables and figures are estimated to take; those of gradcam grow with its images."""
        seconds, images = ANALYSES.get(part, 0.0), self.settings[part].images
        return seconds * images / USUAL_IMAGES if part == "gradcam" and images else seconds

    def tables(self) -> list[Table]:
        """Lay out the data, the trainings and the parts."""
        data = [data_table(self.data)] if self.data else []
        return [*data, trainings_table(self.trainings, left=True), _parts_table(self)]

    def estimate(self) -> str:
        """Say how long it takes, and what that is taken from."""
        trainings, analyses = self.seconds
        measured = f"from a few steps of each network on this machine ({machine()}{self._alone()})"
        return (
            f"Estimate: {words(trainings + analyses)}. Trainings {words(trainings)}, "
            + (measured if self.rates else "as none is left to do")
            + f"; tables and figures {words(analyses)}, a rough figure for {MEASURED_ON}."
        )

    def _alone(self) -> str:
        """Say so where others take the processors, and what the trainings would take without them."""
        load, cores = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0, os.cpu_count() or 1
        if load <= 1.5 * cores or not self.rates:
            return ""
        shares = {kind: rate.share for kind, rate in self.rates.items()}
        alone = sum((one.seconds or 0) * shares.get(kind_of(one.training.settings), 1) for one in self.trainings)
        return f"; it is busy, {load:.0f} processes for {cores} cores, and alone would take about {words(alone)}"

    def to_json(self) -> dict[str, Any]:
        """Return all of it as JSON values."""
        trainings, analyses = self.seconds
        return {
            "budget": self.budget,
            "seeds": {name: list(one.seeds) for name, one in self.settings.items() if one.seeds},
            "data": [vars(one) | {"official": one.official} for one in self.data],
            "trainings": [_planned_json(one) for one in self.trainings],
            "finished_parts": list(self.finished),
            "estimate": {
                "seconds": trainings + analyses,
                "training_seconds": trainings,
                "training_seconds_from": f"measured on this machine, {machine()}",
                "analysis_seconds": analyses,
                "analysis_seconds_from": f"measured on {MEASURED_ON}",
            },
        }


def _planned_json(one: Planned) -> dict[str, Any]:
    settings = one.training.settings
    return {
        "parts": list(one.parts),
        "figures": list(one.figures),
        "model": settings.model,
        "model_options": list(settings.model_options),
        "data": settings.data,
        "seed": settings.seed,
        "epochs": settings.epochs,
        "run": str(one.training.path),
        "status": one.status,
        "seconds_left": one.seconds,
    }


def part_settings(
    settings: ReproduceSettings, parts: Mapping[str, Part], data: Sequence[DataChoice]
) -> dict[str, ReproduceSettings]:
    """Give each part its settings: the budget's seeds, its own data, one seed for all that is trained once.

    Raises:
        InputError: The one seed is not among those of part classification, so that a network would be trained twice.
    """
    used, given = used_data(data), {}
    for name in parts:
        one = filled(settings, name)
        if name == "segmentation":
            one = replace(one, data=used["voc-aug"])
        elif name == "reconstruction":
            sets = dict.fromkeys(used[wanted] for wanted in ("mnist", "cifar10", "stanford_dogs"))
            one = replace(one, data="mnist", datasets=settings.datasets or tuple(sets))
        else:
            one = replace(one, data=used["mnist"])
        given[name] = one
    seeds = given["classification"].seeds
    if settings.seed not in seeds:
        raise InputError(
            f"--seed is {settings.seed}, expected one of the --seeds {' '.join(map(str, seeds))}, so that one training "
            "of the report's network serves all its figures."
        )
    return given


def list_trainings(
    settings: Mapping[str, ReproduceSettings], parts: Mapping[str, Part], out: Path
) -> tuple[Planned, ...]:
    """List the trainings of some parts in one folder, each once, and what there is of each.

    Raises:
        InputError: The folder holds a run of other settings.
    """
    planned: dict[tuple[tuple[str, str], ...], Planned] = {}
    for name, one in settings.items():
        for training in parts[name].trainings(one, out):
            seed = {"seed": str(training.settings.seed)}
            key = tuple(sorted((identity(training.settings) | seed).items()))
            if key in planned:  # until the folder exists, each part has a path of its own for the run
                figures = dict.fromkeys((*planned[key].figures, *training.figures))
                planned[key] = replace(planned[key], parts=(*planned[key].parts, name), figures=tuple(figures))
            else:
                done = epochs_done(training.settings, training.path)
                planned[key] = Planned(training, (name,), training.figures, done)
    return tuple(planned.values())


def estimated(trainings: Sequence[Planned], images: Mapping[str, int]) -> tuple[tuple[Planned, ...], dict[str, Rate]]:
    """Put the time that is left into each training, from a few steps of each kind that has something left.

    Args:
        trainings: As listed.
        images: Number of training images by data set; the data set's own word where it is not here.
    """
    left = [one for one in trainings if one.done is not None]
    rates = measure_rates(one.training for one in left)
    timed = []
    for one in trainings:
        seconds = 0.0
        if one.done is not None:
            settings = one.training.settings
            rate, epochs = rates[kind_of(settings)], settings.epochs - one.done
            seconds = rate.seconds(_images(settings.data, images), settings, epochs)
        timed.append(replace(one, seconds=seconds))
    return tuple(timed), rates


def _images(data: str, images: Mapping[str, int]) -> int:
    if data in images:
        return images[data]
    if data.startswith("voc-aug"):  # the two other splits of about as many images
        return images.get("voc-aug", find_source("voc-aug")[0].train or 0)
    known = find_source(data)[0].train
    return known if known is not None else len(load_dataset(data).train)


def machine() -> str:
    """Name what computes here."""
    device = choose_device("auto")
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    how = choose_precision("auto", device)
    return f"{platform.machine()} CPU, {threads} thread{'' if threads == 1 else 's'}, {how}"


def words(seconds: float) -> str:
    """Say a time roughly: an estimate has no more than two digits."""
    if seconds < 90:
        return f"{max(0, round(seconds / 5) * 5):d} s"
    if seconds < 90 * 60:
        return f"{round(seconds / 60):d} min"
    return f"{seconds / 3600:.1f} h"


def data_table(data: Sequence[DataChoice]) -> Table:
    """List the data that stand for each of the report's data sets."""
    rows = tuple(
        (one.wanted, one.used, count(one.train), count(one.test), f"{one.why}{f'; {one.note}' if one.note else ''}")
        for one in data
    )
    return Table("Data", ("the report's", "used", "training images", "test images", "where from"), rows)


def trainings_table(trainings: Sequence[Planned], *, left: bool = False) -> Table:
    """List the trainings, the seeds of a network in one row; with what is left of each if asked for."""
    groups: dict[tuple[str, ...], list[Planned]] = {}
    for one in trainings:
        settings = one.training.settings
        network = " ".join([settings.model, *settings.model_options, *(["binarised"] if settings.binarize else [])])
        size = "" if settings.image_size is None else f" at {settings.image_size} px"
        groups.setdefault((network, f"{settings.data}{size}", str(settings.epochs)), []).append(one)
    rows = tuple(
        (
            *key,
            " ".join(str(one.training.settings.seed) for one in group),
            ", ".join(dict.fromkeys(figure for one in group for figure in one.figures)) or "–",
            *((_statuses(group), words(sum(one.seconds or 0 for one in group))) if left else ()),
        )
        for key, group in groups.items()
    )
    header = ("network", "data", "epochs", "seeds", "figures", *(("status", "time left") if left else ()))
    return Table(f"Trainings: {len(trainings)}", header, rows, words=frozenset({0, 1, 3, 4, 5}))


def _statuses(group: Sequence[Planned]) -> str:
    counts = Counter(one.status for one in group)
    if len(counts) == 1:
        return next(iter(counts))
    return ", ".join(f"{number} {status}" for status, number in counts.items())


def _parts_table(plan: WholePlan) -> Table:
    rows = tuple(
        (name, about, "finished" if name in plan.finished else words(plan.analysis_seconds(name)))
        for name, about in plan.about.items()
    )
    budget = "" if plan.budget is None else f" (budget {plan.budget}: {BUDGETS[plan.budget].about})"
    return Table(f"Tables and figures{budget}", ("part", "shows", "time left"), rows, words=frozenset({0, 1, 2}))


def describe(plan: WholePlan) -> str:
    """Write the plan for a terminal."""
    return "\n\n".join([*(table.text() for table in plan.tables()), plan.estimate()])
