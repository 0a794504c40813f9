"""The plan of a grid on disk, OUT/grid.json: base settings, axes and named cells, written before anything trains."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glassnet import experiment
from glassnet.data import find_source
from glassnet.errors import InputError
from glassnet.files import read_json, sweep_dead, write_json
from glassnet.settings import ResolvedSettings, TrainSettings, from_json, to_json
from glassnet.settings.convert import to_text
from glassnet.settings.train import Names
from glassnet.tasks import TASKS
from glassnet.training.resume import identity
from glassnet.tuning.grid import NO_AXIS, cell_name, span, value_of

FILE = "grid.json"


@dataclass(frozen=True)
class Plan:
    """What a folder's grid consists of.

    Attributes:
        base: Settings that no axis sets.
        axes: Names that were varied, in any of the grids that the folder has seen.
        cells: Settings by the cell's name; seed and run directory are set for each run.
        asked: Names of the cells of the present grid.
    """

    base: TrainSettings
    axes: tuple[str, ...]
    cells: Mapping[str, ResolvedSettings]
    asked: tuple[str, ...]


def run_path(out: Path, name: str, seed: int) -> Path:
    """Return the run directory of a cell's seed."""
    return out / f"{name}_seed={seed}"


def named(base: TrainSettings) -> Names:
    """Name data set and model of a grid; the usual ones for a task that has an accuracy, where the data set allows it.

    Raises:
        InputError: A name or value is wrong.
    """
    learnable: Iterable[str] = TASKS
    if base.data is not None:
        source, where = find_source(base.data, base.data_root)
        learnable = source.learnable(where)
    judged = [name for name in learnable if name in TASKS and TASKS[name].judged_by_accuracy]
    if base.task is None and base.model is None and judged:
        base = dataclasses.replace(base, task=judged[0])
    resolved = experiment.resolve(base)
    return Names(data=resolved.data, model=resolved.model)


def make_plan(base: TrainSettings, axes: Mapping[str, Sequence[Any]], out: Path) -> Plan:
    """Span the grid and join it to what the folder was planned for before; nothing is written.

    Raises:
        InputError: A name or value on the grid is wrong, or the folder has a grid on other base settings, or is
            something else than a grid's.
    """
    names = named(base)
    base = dataclasses.replace(base, data=names.data, model=names.model, seed=0, out=None, resume=None)
    before = _read(out)
    if before:
        _check_base(before.base, base, axes, out)
    cells = dict(before.cells) if before else {}
    known = {_key(settings): name for name, settings in cells.items()}
    asked = []
    for settings in span(base, axes):
        resolved = experiment.resolve(settings)
        if not TASKS[resolved.task].judged_by_accuracy:
            raise InputError(
                f"a grid compares accuracies, but {resolved.model} on {resolved.data} learns {resolved.task} and has "
                "no accuracy; train its settings one by one with `glassnet train`."
            )
        if _key(resolved) not in known:
            name = _free_name(cell_name({axis: value_of(resolved, axis) for axis in axes}), cells)
            known[_key(resolved)], cells[name] = name, resolved
        asked.append(known[_key(resolved)])
    varied = (*(before.axes if before else ()), *axes)
    return Plan(before.base if before else base, tuple(dict.fromkeys(varied)), cells, tuple(dict.fromkeys(asked)))


def write_plan(plan: Plan, out: Path) -> None:
    """Write OUT/grid.json."""
    cells = {name: to_json(settings) for name, settings in plan.cells.items()}
    write_json(out / FILE, {"base": to_json(plan.base), "axes": list(plan.axes), "cells": cells})


def _read(out: Path) -> Plan | None:
    """Read OUT/grid.json; None where the folder is empty or not there."""
    if not (out / FILE).exists():
        sweep_dead(out)  # killed in the first write of its plan, it has left no more than a temporary file
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise InputError(f"{out} is not empty and not the folder of a grid (it has no {FILE}); give another --out.")
        return None
    try:
        saved = read_json(out / FILE)
        read = {name: experiment.read_settings(values, source=out / FILE) for name, values in saved["cells"].items()}
        base = from_json(TrainSettings, saved["base"])
        return Plan(base, tuple(saved["axes"]), read, ())
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{out / FILE} is damaged ({error!r}); restore it, or give another --out.") from None


def _check_base(before: TrainSettings, base: TrainSettings, axes: Mapping[str, Any], out: Path) -> None:
    """Refuse base settings that differ in what the present grid does not set itself."""
    old, new = _flat(before), _flat(base)
    changed = [name for name in (*new, *old) if name not in axes and old.get(name) != new.get(name)]
    if changed:
        listed = ", ".join(
            f"{name} {old.get(name, 'default')}, got {new.get(name, 'default')}" for name in dict.fromkeys(changed)
        )
        raise InputError(
            f"{out} holds a grid with other settings ({listed}); give another --out, or put {changed[0]} on the grid."
        )


def _flat(settings: TrainSettings) -> dict[str, str]:
    """Return settings and model options by name, as texts."""
    resolved = experiment.resolve(settings)
    fields = {f.name: to_text(getattr(resolved, f.name)) for f in dataclasses.fields(resolved) if f.name not in NO_AXIS}
    return fields | {name: text for name, _, text in (word.partition("=") for word in settings.model_options)}


def _key(settings: ResolvedSettings) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(identity(settings).items()))


def _free_name(name: str, taken: Mapping[str, Any]) -> str:
    """Number a name on where two cells differ only in signs that no file name has."""
    numbered = (name if number == 1 else f"{name}-{number}" for number in range(1, len(taken) + 2))
    return next(one for one in numbered if one not in taken)
