"""All parts of the 2019 report done again in one folder, from one plan, and one page that shows them."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from glassnet.console import say
from glassnet.devices import choose_device, code_digest, versions
from glassnet.errors import InputError
from glassnet.experiment import Run
from glassnet.files import parse_json, read_json, writable_target, write_json, write_text
from glassnet.reproduction import PARTS
from glassnet.reproduction.part import Reproduction, write
from glassnet.reproduction.whole.data import choose_data, used_data
from glassnet.reproduction.whole.index import Entry, entries_table, index_to_json, make_index
from glassnet.reproduction.whole.page import write_page
from glassnet.reproduction.whole.plan import (
    Planned,
    WholePlan,
    describe,
    estimated,
    list_trainings,
    machine,
    part_settings,
    words,
)
from glassnet.settings import to_json
from glassnet.settings.train import BudgetName, ReproduceSettings

__all__ = ["DEFAULT_BUDGET", "Whole", "describe", "entries_table", "make_plan", "plan_part", "reproduce_all"]

DEFAULT_BUDGET: BudgetName = "standard"
NOT_DECISIVE = ("out", "data_root", "device", "dry_run", "budget")
"""Settings of a part that do not change what it gives."""


@dataclass(frozen=True)
class Whole:
    """The report done again.

    Attributes:
        out: Folder of all of it.
        plan: What was to be done when this call began.
        parts: By name.
        index: Every table and figure, the report's number beside ours.
        seconds: That this call took.
    """

    out: Path
    plan: WholePlan
    parts: Mapping[str, Reproduction]
    index: tuple[Entry, ...]
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """Return all of it as JSON values."""
        return {
            "schema_version": 1,
            "versions": versions("torch", "numpy", "scikit-learn", "matplotlib"),
            "machine": machine(),
            "seconds_of_last_call": self.seconds,
            "plan": self.plan.to_json(),
            "index": index_to_json(self.index),
            "parts": {name: part.to_json() for name, part in self.parts.items()},
        }


def make_plan(settings: ReproduceSettings, out: Path, *, fetch: bool, measure: bool = True) -> WholePlan:
    """Plan all parts: choose the data, list the trainings and what is finished, and estimate the rest.

    Args:
        settings: As given.
        out: Folder of the reproduction.
        fetch: Whether to download data that are missing.
        measure: Whether to time a few steps of what is to be trained.

    Raises:
        InputError: A setting cannot be used, or the folder holds runs of other settings.
    """
    settings = replace(settings, budget=settings.budget or DEFAULT_BUDGET)
    data = choose_data(settings, _began_with(out), fetch=fetch)
    given = part_settings(settings, PARTS, data)
    trainings = list_trainings(given, PARTS, out)
    finished = tuple(name for name in given if _kept(name, given[name], trainings, out) is not None)
    images = {one.used: one.train for one in data}
    timed, rates = estimated(trainings, images) if measure else (trainings, {})
    about = {name: PARTS[name].about for name in given}
    return WholePlan(settings.budget, given, about, data, timed, finished, rates)


def plan_part(settings: ReproduceSettings, name: str, out: Path) -> WholePlan:
    """Plan a part by itself; its settings are filled in already.

    Raises:
        InputError: A setting cannot be used, or the folder holds runs of other settings.
    """
    given = {name: settings}
    timed, rates = estimated(list_trainings(given, PARTS, out), {})
    return WholePlan(settings.budget, given, {name: PARTS[name].about}, (), timed, (), rates)


def reproduce_all(settings: ReproduceSettings, out: Path) -> Whole:
    """Do all parts in one folder, or what is left of them, and write report.html, results.json and index.md.

    A part whose tables and figures were made before, from the same runs and by the same code, is read back. A training
    that is finished is not done again, and one that was stopped goes on from its last epoch.

    Raises:
        InputError: A setting cannot be used, or the folder holds runs of other settings; nothing has been trained.
    """
    begun = time.perf_counter()
    writable_target(out, folder=True)
    choose_device(settings.device)  # refused before the data are read
    plan = make_plan(settings, out, fetch=True)
    say(describe(plan))
    write_json(out / "plan.json", plan.to_json() | {"used": used_data(plan.data)})
    parts = {}
    for place, (name, given) in enumerate(plan.settings.items(), 1):
        say(f"part {place} of {len(plan.settings)}: {name}{_left(plan, name)}")
        parts[name] = _part(name, given, plan, out)
    whole = Whole(out, plan, parts, make_index(parts), time.perf_counter() - begun)
    write_text(out / "index.md", entries_table(whole.index, "Tables and figures of the 2019 report").markdown() + "\n")
    write_json(out / "results.json", whole.to_json())
    write_page(whole.plan, whole.parts, whole.index, out)
    return whole


def _left(plan: WholePlan, name: str) -> str:
    """Say how long the rest takes from a part on."""
    names = list(plan.settings)
    left = names[names.index(name) :]
    trainings, analyses = replace(
        plan,
        settings={one: plan.settings[one] for one in left},
        trainings=tuple(one for one in plan.trainings if one.parts[0] in left),
    ).seconds
    return f", about {words(trainings + analyses)} to go"


def _part(name: str, settings: ReproduceSettings, plan: WholePlan, out: Path) -> Reproduction:
    kept = _kept(name, settings, plan.trainings, out)
    if kept is not None:
        say(f"{name}: already finished")
        return kept
    done = PARTS[name].reproduce(settings, out)
    write(done, settings, _made_of(name, settings, plan.trainings))
    return done


def _kept(name: str, settings: ReproduceSettings, trainings: tuple[Planned, ...], out: Path) -> Reproduction | None:
    """Read a part back that was made from the same runs, with the same settings, by the same code; None without one."""
    file = out / f"{name}.json"
    if not file.exists() or any(one.done is not None for one in _trainings_of(name, trainings)):
        return None
    try:
        told = read_json(file)
        if told["made_of"] != _made_of(name, settings, trainings):
            return None
        done = Reproduction.from_json(told, out)
    except (InputError, KeyError, TypeError):  # damaged: it can be made again
        return None
    drawn = (out / "figures" / f"{figure.name}.{kind}" for figure in done.figures for kind in ("png", "svg"))
    return done if all(file.exists() for file in drawn) else None


def _made_of(name: str, settings: ReproduceSettings, trainings: tuple[Planned, ...]) -> dict[str, Any]:
    """Return what decides a part's numbers, as JSON values: its settings, its runs, and the code."""
    given = {key: value for key, value in to_json(settings).items() if key not in NOT_DECISIVE}
    runs = {one.training.path.name: _started(one.training.path) for one in _trainings_of(name, trainings)}
    return parse_json(json.dumps({"settings": given, "runs": runs, "code": code_digest("")}))


def _started(path: Path) -> Any:
    """Return when a run was begun; None where it came to no end, as where its loss became NaN."""
    return Run.open(path).manifest.get("started") if (path / "run.json").exists() else None


def _trainings_of(name: str, trainings: tuple[Planned, ...]) -> list[Planned]:
    """Return the trainings that a part needs: its own, and the report's network of part classification."""
    return [one for one in trainings if name in one.parts]


def _began_with(out: Path) -> Mapping[str, str]:
    """Return the data that a reproduction in the folder began with, by the report's data set."""
    file = out / "plan.json"
    if not file.exists():
        return {}
    used = read_json(file).get("used")
    if not isinstance(used, dict):
        raise InputError(f"{file} is damaged (it does not say which data are used); delete it, or give another --out.")
    return used
