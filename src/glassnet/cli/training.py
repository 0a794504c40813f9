"""`glassnet train`, `tune` and `reproduce`: runs, grids of runs, and the 2019 report redone."""

from __future__ import annotations

import dataclasses
from collections import Counter
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
        return "Only one setting, so there is nothing to compare."
    judged = [difference for difference in result.differences.values() if difference is not None]
    if not judged:
        return "At least 2 seeds per setting are needed to tell which differences are real; add some to --seeds."
    cells = len(result.cells)
    text = (
        "Differences in validation accuracy are paired over seeds (t-test). p values are corrected by Holm's method "
        f"for all {cells * (cells - 1) // 2} pairs of settings; the intervals are not. 'not shown' does not prove "
        "equality."
    )
    if len(judged) < cells - 1:
        text += " 'cannot say': fewer than 2 seeds in common with the best setting."
    if any(len(cell.seeds) < len(result.best.seeds) for cell in result.cells):
        text += " Only settings with the most seeds can be chosen."
    return text


def _tested(cell: Cell) -> tuple[str, ...]:
    return cell.name, _spread(cell.test_accuracy), _spread(cell.test_loss)


def _spread(values: Sequence[float], *, digits: int = 4) -> str:
    from glassnet.tuning import spread

    mean, std = spread(values)
    return f"{mean:.{digits}f}" + ("" if std is None else f" ± {std:.{digits}f}")


def reproduce(settings: ReproduceSettings) -> Answer:
    """Reproduce the report, or a part of it, or print the plan.

    Raises:
        InputError: There is no such part, an option is of no use to it, or the folder holds runs of other settings.
    """
    from glassnet.reproduction import PARTS
    from glassnet.reproduction.budget import filled

    if settings.part is None:
        return _whole(settings)
    if settings.part not in PARTS:
        raise unknown_name("part of the report", settings.part, PARTS, noun="parts")
    _check_options(settings, (settings.part,))
    given, out = filled(settings, settings.part), settings.out or Path("runs") / f"reproduce-{settings.part}"
    return _planned(given, out) if settings.dry_run else _one(given, settings.part, out)


def _whole(settings: ReproduceSettings) -> Answer:
    """Do all parts, or print their plan."""
    from glassnet.reproduction import PARTS
    from glassnet.reproduction.claims import whole_claims
    from glassnet.reproduction.whole import DEFAULT_BUDGET, describe, entries_table, make_plan, reproduce_all

    _check_options(settings, tuple(PARTS))
    for option in ("models", "run", "runs"):
        if given := getattr(settings, option):
            listed = " ".join(map(str, given)) if isinstance(given, tuple) else given
            raise InputError(f"--{option} is {listed}, but all parts share their networks; name a part to use it.")
    out = settings.out or Path("runs") / f"reproduce-{settings.budget or DEFAULT_BUDGET}"
    if settings.dry_run:
        plan = make_plan(settings, out, fetch=False)
        return Answer(describe(plan), plan.to_json())
    done = reproduce_all(settings, out)
    verdicts = [verdict for part in done.parts.values() for verdict in whole_claims(part.verdicts)]
    counted = Counter(verdict.supported for verdict in verdicts)
    decided = ", ".join(f"{counted[name]} {name}" for name in ("supported", "refuted", "undecided"))
    lines = [
        entries_table(done.index, "The 2019 report's numbers and ours").text(),
        f"claims: {decided}",
        f"report: {(out / 'report.html').resolve()}\nnumbers: {out / 'results.json'}, {out / 'index.md'}; figures in "
        f"{out / 'figures'}",
    ]
    return Answer("\n\n".join(lines), done.to_json())


def _planned(settings: ReproduceSettings, out: Path) -> Answer:
    """Print the plan of a part."""
    from glassnet.reproduction.whole import describe, plan_part

    assert settings.part is not None
    plan = plan_part(settings, settings.part, out)
    return Answer(describe(plan), plan.to_json())


def _check_options(settings: ReproduceSettings, parts: tuple[str, ...]) -> None:
    """Refuse an option that was given and that none of the parts reads."""
    from glassnet.reproduction import PARTS

    fields = {field.name: field.default for field in dataclasses.fields(settings)}
    for option in {option: None for part in PARTS.values() for option in part.options}:
        readers = [name for name, part in PARTS.items() if option in part.options]
        if getattr(settings, option) != fields[option] and not set(readers) & set(parts):
            raise InputError(
                f"--{option} applies to {', '.join(readers)} only, not to {' and '.join(parts)}; leave it out."
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
