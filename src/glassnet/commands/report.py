"""`glassnet report`: one HTML file of runs or networks, doing first what has not been done."""

from __future__ import annotations

from glassnet.commands.answer import Answer
from glassnet.commands.subjects import open_subject, precision_of
from glassnet.reports import report as write_report
from glassnet.settings import ReportSettings


def report(settings: ReportSettings) -> Answer:
    """Complete what a report needs, and write it."""
    subjects = [open_subject(settings, one, images=settings.data) for one in settings.run]
    path = write_report(
        subjects,
        out=settings.out,
        seed=settings.seed,
        precision=precision_of(settings),
        device=settings.device,
        data_root=settings.data_root,
    )
    folders = [str(subject.path) for subject in subjects]
    return Answer(f"report: {path.resolve()}", {"run": folders[0], "runs": folders, "report": str(path.resolve())})
