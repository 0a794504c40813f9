"""`glassnet tune`: a grid of runs, its table, and which differences are real."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from glassnet.cli.answer import Answer
from glassnet.settings import TrainSettings, TuneSettings
from glassnet.tables import text_table

if TYPE_CHECKING:
    from glassnet.tuning import Cell, Tuning


def tune(settings: TuneSettings) -> Answer:
    """Train the grid, choose on validation, and show the test column once, at the end.

    Raises:
        InputError: A name or value on the grid is wrong, or the folder has a grid on other settings.
        WorkError: No training came to an end.
    """
    from glassnet.tuning import named, parse_grid
    from glassnet.tuning import tune as tune_grid

    fields = (field.name for field in dataclasses.fields(TrainSettings))
    base = TrainSettings(**{name: getattr(settings, name) for name in fields} | {"out": None})
    names = named(base)
    out = settings.out or Path("runs") / f"tune-{names.data.partition(':')[0]}-{names.model}"
    return describe(tune_grid(base, parse_grid(settings.grid), seeds=settings.seeds, out=out))


def describe(result: Tuning) -> Answer:
    """Say a grid's figures: the table on validation, the choice, the test column."""
    best = result.best
    parts = [
        "Validation, the best first, mean ± standard deviation over seeds:",
        text_table(*_validation(result), names=max(1, len(result.axes))),
        _tests(result),
        f"chosen on validation: {best.name}",
        "Test, looked at after the choice:",
        text_table(("setting", "accuracy", "loss"), [_tested(cell) for cell in result.cells]),
        f"runs: {result.out}\nfigure: {result.out / 'figures' / 'tuning.png'}\nnext: glassnet report {best.runs[0]}",
    ]
    return Answer("\n\n".join(parts), result.to_json())


def _validation(result: Tuning) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Lay out a row a cell: its values, its figures on the held-out images, and its difference from the best."""
    header = (
        *result.axes,
        "seeds",
        "accuracy",
        "loss",
        "parameters",
        "seconds",
        "minus best",
        "95% interval",
        "p",
        "real",
    )
    return header, [(*_values(cell, result.axes), *_figures(cell), *_difference(cell, result)) for cell in result.cells]


def _values(cell: Cell, axes: Sequence[str]) -> tuple[str, ...]:
    from glassnet.settings.convert import to_text

    return tuple("–" if cell.values[axis] is None else to_text(cell.values[axis]) for axis in axes)


def _figures(cell: Cell) -> tuple[str, ...]:
    seeds = f"{len(cell.seeds)}" + (f" of {len(cell.seeds) + len(cell.unfinished)}" if cell.unfinished else "")
    return (
        seeds,
        _spread(cell.validation_accuracy),
        _spread(cell.validation_loss),
        f"{cell.parameters:,}",
        _spread(cell.seconds, digits=1),
    )


def _difference(cell: Cell, result: Tuning) -> tuple[str, ...]:
    difference = result.differences[cell.name]
    if cell is result.best:
        return "best", "", "", ""
    if difference is None:
        return "–", "–", "–", "cannot say"
    bounds = difference.interval
    interval = "–" if bounds is None else f"{bounds[0]:+.4f} to {bounds[1]:+.4f}"
    return (
        f"{difference.mean:+.4f}",
        interval,
        f"{difference.adjusted_p:.3f}",
        "yes" if difference.real else "not shown",
    )


def _tests(result: Tuning) -> str:
    """Say how the differences were judged, and where they could not be."""
    if len(result.cells) == 1:
        return "One setting: there is nothing to compare."
    judged = [difference for difference in result.differences.values() if difference is not None]
    if not judged:
        return "Which differences are real cannot be said: that takes at least 2 seeds a setting; add some to --seeds."
    cells = len(result.cells)
    text = (
        f"Differences in validation accuracy are paired over seeds (t-test); p is corrected by Holm for all "
        f"{cells * (cells - 1) // 2} pairs of settings, each interval is its own. 'not shown' is no proof of equality."
    )
    if len(judged) < cells - 1:
        text += " 'cannot say': fewer than 2 seeds are common with the best."
    if any(len(cell.seeds) < len(result.best.seeds) for cell in result.cells):
        text += " The choice is made among the settings with most seeds."
    return text


def _tested(cell: Cell) -> tuple[str, ...]:
    return cell.name, _spread(cell.test_accuracy), _spread(cell.test_loss)


def _spread(values: Sequence[float], *, digits: int = 4) -> str:
    from glassnet.tuning import spread

    mean, std = spread(values)
    return f"{mean:.{digits}f}" + ("" if std is None else f" ± {std:.{digits}f}")
