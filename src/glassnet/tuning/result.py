"""What a grid gave: each cell's figures over its seeds, the choice on validation, and the tests against it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from glassnet.display import Shown, fraction
from glassnet.errors import InputError, WorkError
from glassnet.experiment import Run
from glassnet.settings.convert import to_text
from glassnet.stats import PairedDifference, holm, paired_t
from glassnet.tables import Table, make_table
from glassnet.training.resume import identity
from glassnet.tuning.grid import value_of
from glassnet.tuning.plan import Plan, run_path

MEASURES = ("validation_accuracy", "validation_loss", "test_accuracy", "test_loss")


@dataclass(frozen=True, repr=False)
class Cell(Shown):
    """One combination of the grid's values, trained with several seeds.

    Attributes:
        name: What its runs' folders begin with.
        values: Its value on each axis; None where its model has no such option.
        parameters: Trainable numbers in its model.
        seeds: Those that are finished; the figures below are in their order.
        unfinished: Seeds that were begun and have no result: stopped, or lost to a loss that became NaN.
        runs: A run directory a seed.
        seconds: Spent in training and validation.
        validation_accuracy: Of the saved epoch, on the held-out part of the training images.
        validation_loss: Likewise.
        test_accuracy: Of the same weights; no choice was made by it.
        test_loss: Likewise.
    """

    name: str
    values: Mapping[str, Any]
    parameters: int
    seeds: tuple[int, ...]
    unfinished: tuple[int, ...]
    runs: tuple[Path, ...]
    seconds: tuple[float, ...]
    validation_accuracy: tuple[float, ...]
    validation_loss: tuple[float, ...]
    test_accuracy: tuple[float, ...]
    test_loss: tuple[float, ...]


@dataclass(frozen=True, repr=False)
class Tuning(Shown):
    """A grid's result.

    Attributes:
        out: Folder of its runs.
        axes: Names of what was varied.
        cells: The best on validation first.
        differences: For each cell's name, its validation accuracy minus the best cell's, paired over seeds; None for
            the best itself and where fewer than two seeds are common.
    """

    out: Path
    axes: tuple[str, ...]
    cells: tuple[Cell, ...]
    differences: Mapping[str, PairedDifference | None]

    @property
    def best(self) -> Cell:
        """The cell with the highest mean validation accuracy, of those with most seeds; the lower loss parts equals."""
        return self.cells[0]

    def cell(self, **values: Any) -> Cell:
        """Return the one cell with these values.

        Raises:
            InputError: No cell has them, or more than one.
        """
        matching = [
            cell
            for cell in self.cells
            if all(to_text(cell.values.get(name)) == to_text(value) for name, value in values.items())
        ]
        if len(matching) != 1:
            asked = ", ".join(f"{name}={to_text(value)}" for name, value in values.items())
            names = ", ".join(cell.name for cell in self.cells)
            raise InputError(f"{len(matching)} cells have {asked}, expected one; the cells are: {names}.")
        return matching[0]

    def __repr__(self) -> str:
        """Say in one line what was tuned, and which setting is best."""
        return f"Tuning({len(self.cells)} settings of {', '.join(self.axes)}; best on validation: {self.best.name})"

    def _table(self) -> Table:
        rows = [
            (cell.name, len(cell.seeds), fraction(_mean(cell.validation_accuracy)), fraction(_mean(cell.test_accuracy)))
            for cell in self.cells
        ]
        return make_table("Mean accuracy over seeds", ("setting", "seeds", "validation", "test"), rows)

    def to_json(self) -> dict[str, Any]:
        """Return all figures as JSON values, with mean and standard deviation."""
        return {
            "schema_version": 1,
            "out": str(self.out),
            "axes": list(self.axes),
            "best": self.best.name,
            "cells": [_cell_to_json(cell, self.differences[cell.name]) for cell in self.cells],
        }


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _cell_to_json(cell: Cell, difference: PairedDifference | None) -> dict[str, Any]:
    figures = {
        measure: {"values": list(values), "mean": mean, "std": std}
        for measure in (*MEASURES, "seconds")
        for values in (getattr(cell, measure),)
        for mean, std in (spread(values),)
    }
    return {
        "name": cell.name,
        "values": {name: list(v) if isinstance(v, tuple) else v for name, v in cell.values.items()},
        "parameters": cell.parameters,
        "seeds": list(cell.seeds),
        "unfinished": list(cell.unfinished),
        "runs": [str(path) for path in cell.runs],
        **figures,
        "difference_from_best": asdict(difference) | {"real": difference.real} if difference else None,
    }


def collect(plan: Plan, out: Path) -> Tuning:
    """Read the finished runs of a plan and order its cells, the best first.

    Raises:
        WorkError: No run is finished.
        InputError: A run is damaged, or was trained with other settings than its name says.
    """
    read = (_read_cell(plan, name, out) for name in plan.cells)
    cells = [cell for cell in read if cell is not None]
    if not cells:
        raise WorkError(
            f"no training of the grid in {out} finished; lower learning_rate, or train one cell on its own."
        )
    cells.sort(key=_rank)
    accuracies = {cell.name: dict(zip(cell.seeds, cell.validation_accuracy, strict=True)) for cell in cells}
    compared = compare_all(accuracies)
    differences = {cell.name: compared.get((cell.name, cells[0].name)) for cell in cells}
    return Tuning(out, plan.axes, tuple(cells), differences)


def _rank(cell: Cell) -> tuple[float, ...]:
    """Order cells: most seeds, then the highest mean accuracy, then the lowest mean loss."""
    return -len(cell.seeds), -spread(cell.validation_accuracy)[0], spread(cell.validation_loss)[0]


def _read_cell(plan: Plan, name: str, out: Path) -> Cell | None:
    """Read a cell's finished runs; None where there are none."""
    seeds = _seeds(out, name)
    finished = [seed for seed in seeds if (run_path(out, name, seed) / "run.json").exists()]
    runs = [Run.open(run_path(out, name, seed)) for seed in finished]
    for seed, run in zip(finished, runs, strict=True):
        if run.settings.seed != seed or identity(run.settings) != identity(plan.cells[name]):
            raise InputError(
                f"{run.path} was not trained with the settings in its name; move it away to train it again."
            )
    if not runs:
        return None
    return Cell(
        name=name,
        values={axis: value_of(plan.cells[name], axis) for axis in plan.axes},
        parameters=runs[0].manifest["model"]["parameters"],
        seeds=tuple(finished),
        unfinished=tuple(seed for seed in seeds if seed not in finished),
        runs=tuple(run.path for run in runs),
        seconds=tuple(run.manifest["seconds"] for run in runs),
        **{measure: _figures(runs, measure) for measure in MEASURES},
    )


def _figures(runs: Sequence[Run], measure: str) -> tuple[float, ...]:
    return tuple(float(run.metrics[measure]) for run in runs)


def _seeds(out: Path, name: str) -> list[int]:
    """Find the seeds that a cell has folders of."""
    matches = (re.fullmatch(re.escape(name) + r"_seed=(\d+)", path.name) for path in out.iterdir())
    return sorted(int(match[1]) for match in matches if match)


def spread(values: Sequence[float]) -> tuple[float, float | None]:
    """Return mean and standard deviation (n - 1 in the denominator), or None for it where there is one value."""
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None


def compare_all(figures: Mapping[str, Mapping[int, float]]) -> dict[tuple[str, str], PairedDifference]:
    """Test every pair of cells over the seeds that both have, with Holm's correction over all pairs.

    All pairs are counted, although only those with the best cell are shown: which cell is the best was read off the
    same figures, and a correction for fewer comparisons would trust its luck.

    Args:
        figures: For each cell's name its figure by seed.

    Returns:
        The difference first - second for each ordered pair with two common seeds or more.
    """
    differences: dict[tuple[str, str], PairedDifference] = {}
    for first, second in itertools.combinations(figures, 2):
        seeds = [seed for seed in figures[first] if seed in figures[second]]
        if len(seeds) > 1:
            differences[first, second] = paired_t(
                [figures[first][seed] for seed in seeds], [figures[second][seed] for seed in seeds]
            )
    adjusted = holm([difference.p for difference in differences.values()])
    one_way = {pair: replace(d, adjusted_p=p) for (pair, d), p in zip(differences.items(), adjusted, strict=True)}
    return one_way | {(second, first): _negated(d) for (first, second), d in one_way.items()}


def _negated(difference: PairedDifference) -> PairedDifference:
    low, high = (None, None) if difference.interval is None else (-difference.interval[1], -difference.interval[0])
    return replace(difference, mean=-difference.mean, low=low, high=high)
