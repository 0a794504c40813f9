"""One or more runs or networks as a self-contained HTML page that opens from disk without a network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, get_args

from glassnet.analysis import Context
from glassnet.analysis.base import Precision
from glassnet.blocks import Page
from glassnet.console import say
from glassnet.devices import choose_device
from glassnet.errors import InputError, unknown_name
from glassnet.experiment import Run
from glassnet.files import may_write, writable_target, write_text
from glassnet.formats import DASH, count, duration
from glassnet.reports.assemble import ReportAnalyses, gather, metrics_of, run_report
from glassnet.reports.page import render
from glassnet.subject import Subject, as_subject
from glassnet.tables import Table, make_table

__all__ = ["render", "report"]

Subjects = Subject | Run | str | Path


def report(
    subjects: Subjects | Sequence[Subjects],
    *,
    out: str | Path | None = None,
    seed: int = 0,
    precision: str = "fp32",
    device: str = "auto",
    data_root: Path | None = None,
) -> Path:
    """Write the report of one or more runs or networks; analyses it needs and does not find are made first.

    Existing analyses do not change; new ones are added. The page is written completely or not at all.

    Args:
        subjects: Runs, paths of runs, or subjects; several are compared at the top of the page.
        out: HTML file to write; default: report.html in the folder of the first one.
        seed: Seed for embeddings that are made.
        precision: "fp32" or "bf16", for analyses that are made.
        device: Where to compute them.
        data_root: Folder that holds the data sets.

    Returns:
        The path of the page.

    Raises:
        InputError: There is no run, the page cannot be written, or the precision, seed or device is unknown.
    """
    _check(seed, precision)
    several = isinstance(subjects, Sequence | Iterator) and not isinstance(subjects, str)
    given: list[Any] = list(subjects) if several else [subjects]  # type: ignore[arg-type]
    if not given:
        raise InputError("no run was given, expected at least one run directory; train one with `glassnet train`.")
    where = choose_device(device)
    chosen = _each_once(as_subject(one, data_root=data_root) for one in given)
    path = _path(chosen[0], out)
    contexts = (Context(where, data_root) for _ in chosen)
    gathered = [
        gather(subject, seed=seed, precision=precision, context=context)
        for subject, context in zip(chosen, contexts, strict=True)
    ]
    reports = tuple(map(run_report, gathered))
    write_text(path, render(Page(reports, _comparison(gathered) if len(gathered) > 1 else None)))
    return path


def _check(seed: Any, precision: Any) -> None:
    """Refuse, before any work is done, what every analysis would refuse."""
    if precision not in get_args(Precision):
        raise unknown_name("precision", str(precision), get_args(Precision), noun="precisions")
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise InputError(f"seed is {seed!r}, expected a whole number of at least 0.")


def _each_once(subjects: Iterable[Subject]) -> list[Subject]:
    """Return the subjects, a run that is given twice once."""
    each: dict[Any, Subject] = {}
    for subject in subjects:
        key = id(subject) if subject.run is None else subject.run.path.resolve()
        if key in each:
            say(f"{subject.name} is given more than once; the report includes it once.")
        each.setdefault(key, subject)
    return list(each.values())


def _path(first: Subject, out: str | Path | None) -> Path:
    if out is None:
        if first.path is None:
            raise InputError(f"{first.name} has no folder to write to; give a file, as in out='report.html'.")
        if not may_write(first.path):
            raise InputError(
                f"{first.path} is read-only, so the report cannot be written there; give another file, as in --out "
                "report.html."
            )
        return writable_target(first.path / "report.html", "the report")
    path = Path(out)
    if path.is_dir():
        raise InputError(f"--out is the folder {path}, expected a file, as in {path / 'report.html'}.")
    return writable_target(path)


def _comparison(gathered: Sequence[ReportAnalyses]) -> Table:
    """Set the main numbers of several subjects side by side: those that their own headlines show."""
    heads = list(dict.fromkeys(head for one in gathered for head, _ in one.subject.task.views().comparison))
    rows = []
    for one in gathered:
        subject, metrics = one.subject, metrics_of(one)
        own = {head: write(metrics) for head, write in subject.task.views().comparison}
        manifest = {} if subject.run is None else subject.run.manifest
        rows.append(
            (
                subject.name,
                subject.model_name,
                str(subject.data or DASH),
                count(sum(parameter.numel() for parameter in subject.model().parameters())),
                *(own.get(head, DASH) for head in heads),
                duration(manifest.get("seconds")),
            )
        )
    columns = ("Run", "Model", "Data", "Parameters", *heads, "Training time")
    return make_table("The runs in this report", columns, rows, words=(0, 1, 2))
