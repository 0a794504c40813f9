"""`glassnet train`, `tune` and `reproduce`: runs, grids of runs, and the 2019 report redone."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from glassnet.cli import Answer
from glassnet.errors import InputError, unknown_name
from glassnet.experiment import Run
from glassnet.files import writable_target, write_text
from glassnet.models.references import is_reference, short_name
from glassnet.run.store import slug
from glassnet.settings import ReproduceSettings, TrainSettings, TuneSettings
from glassnet.tables import text_table
from glassnet.training import train as train_run

if TYPE_CHECKING:
    from glassnet.reproduction import Reproduction
    from glassnet.tuning import Cell, Tuning

ALL = "all"
"""Every part of the 2019 report."""
FILE_WIDTH = 1000
"""Characters in a line of a part's text file, where nothing needs to be wrapped."""


def train(settings: TrainSettings) -> Answer:
    """Train, and say how good the run is and where it lies."""
    return describe(train_run(settings))


def describe(run: Run) -> Answer:
    """Say a run's final figures."""
    metrics, data, model = run.metrics, run.manifest["data"], run.manifest["model"]
    warnings = "".join(f"{line}\n" for line in metrics.get("test_warnings", ()))
    text = (
        f"{model['name']} ({model['parameters']:,} parameters) on {data['name']}: {run.task.summary_line(metrics)} "
        f"on {data['test']:,} images; saved epoch {metrics['epoch']}, {run.manifest['seconds']:.0f} s.\n"
        f"{warnings}run: {run.path}\nnext: glassnet report {run.path}"
    )
    return Answer(text, {"run": str(run.path), "metrics": metrics, "seconds": run.manifest["seconds"]})


def tune(settings: TuneSettings) -> Answer:
    """Train the grid, choose on validation, and show the test column once, at the end.

    Raises:
        InputError: A name or value on the grid is wrong, or the folder has a grid on other settings.
        WorkError: No training came to an end.
    """
    from glassnet.scale import tune as tune_grid
    from glassnet.tuning import named, parse_grid

    fields = (field.name for field in dataclasses.fields(TrainSettings))
    base = TrainSettings(**{name: getattr(settings, name) for name in fields} | {"out": None})
    names = named(base)
    model = slug([short_name(names.model)]) if is_reference(names.model) else names.model
    out = settings.out or Path("runs") / f"tune-{names.data.partition(':')[0]}-{model}"
    result = tune_grid(
        base,
        parse_grid(settings.grid),
        seeds=settings.seeds,
        out=out,
        engine=settings.engine,
        workers=settings.workers,
        address=settings.address,
        trial_cpus=settings.trial_cpus,
    )
    return describe_grid(result)


def describe_grid(result: Tuning) -> Answer:
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


ALL = "all"
FILE_WIDTH = 1000
"""Characters in a line of a part's text file, where nothing needs to be wrapped."""


def reproduce(settings: ReproduceSettings) -> Answer:
    """Reproduce a part of the report, or all of them one after another, or list the parts."""
    from glassnet.reproduction import PARTS

    if settings.part is None:
        rows = [(name, part.about) for name, part in PARTS.items()]
        text = text_table(("part", "about"), [*rows, (ALL, "every part, one after another")])
        return Answer(text, {"parts": [{"name": name, "about": about} for name, about in rows]})
    if settings.part == ALL:
        _check_options(settings, tuple(PARTS))
        if settings.models:
            raise InputError(
                f"--models is {' '.join(settings.models)}, but each part has networks of its own; name a part in place "
                f"of {ALL}."
            )
        root = settings.out or Path("runs")
        answers = [_one(settings, name, root / f"reproduce-{name}") for name in PARTS]
        return Answer("\n\n\n".join(a.text for a in answers), {"parts": [dict(a.data) for a in answers]})
    if settings.part not in PARTS:
        raise unknown_name("part of the report", settings.part, [*PARTS, ALL], noun="parts")
    _check_options(settings, (settings.part,))
    return _one(settings, settings.part, settings.out or Path("runs") / f"reproduce-{settings.part}")


def _check_options(settings: ReproduceSettings, parts: tuple[str, ...]) -> None:
    """Refuse an option that was given and that none of the parts reads."""
    from glassnet.reproduction import PARTS

    fields = {field.name: field.default for field in dataclasses.fields(settings)}
    for option in {option: None for part in PARTS.values() for option in part.options}:
        readers = [name for name, part in PARTS.items() if option in part.options]
        if getattr(settings, option) != fields[option] and not set(readers) & set(parts):
            raise InputError(
                f"--{option} is of no use to {' and '.join(parts)}, only to {', '.join(readers)}; leave it out."
            )


def _one(settings: ReproduceSettings, name: str, out: Path) -> Answer:
    """Do one part, and write its text, Markdown and JSON."""
    from glassnet.reproduction import PARTS
    from glassnet.reproduction.part import write

    writable_target(out, folder=True)
    done = PARTS[name].reproduce(settings, out)
    write_text(out / f"{name}.txt", _text(done, FILE_WIDTH) + "\n")
    write(done, settings)
    written = f"written: {out / name}.txt, .md and .json, figures in {out / 'figures'}"
    return Answer(f"{_text(done)}\n\n{written}", done.to_json())


def _text(done: Reproduction, width: int | None = None) -> str:
    from glassnet.reproduction import verdict_table

    tables = (table.text(width) for table in (*done.tables, verdict_table(done.verdicts)))
    return "\n\n".join(tables) + "\n\n" + "\n".join(done.notes)
