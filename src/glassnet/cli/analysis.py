"""`glassnet eval`, `report` and `analyses`: measure a model, put what is known of it on a page, and list it."""

from __future__ import annotations

from glassnet.analysis import analyse
from glassnet.cli import Answer
from glassnet.cli.subjects import answer_about, context_of, kept_at, open_subject, open_subjects, precision_of
from glassnet.errors import InputError
from glassnet.formats import duration, plain
from glassnet.reports import report as write_report
from glassnet.run.legacy import PREFIX
from glassnet.run.store import Entry, Store
from glassnet.settings import AnalysesSettings, EvalSettings, ReportSettings
from glassnet.tables import text_table


def evaluate(settings: EvalSettings) -> Answer:
    """Measure a run or a network on images, and keep the evaluation."""
    subject = open_subject(settings, settings.run, images=settings.data, out=settings.out)
    done = analyse(
        subject,
        "evaluation",
        split=settings.split,
        data=settings.data if subject.run else None,
        flip=settings.flip,
        precision=precision_of(settings),
        name=settings.name,
        context=context_of(settings, batch_size=settings.batch_size),
    )
    data = settings.data or subject.data or subject.name
    measured = subject.task.views().text(done.result)
    text = (
        f"{subject.name} on {data} ({settings.split}, {done.result.images:,} images): {measured}\n\n{kept_at([done])}"
    )
    about = {"run": str(subject.path), "data": data, "split": settings.split, **done.to_json()}
    return answer_about(subject, text, about)


def report(settings: ReportSettings) -> Answer:
    """Complete what a report needs, and write it."""
    subjects = open_subjects(settings)
    path = write_report(
        subjects,
        out=settings.out,
        seed=settings.seed,
        precision=precision_of(settings),
        device=settings.device,
        data_root=settings.data_root,
    )
    folders = [str(subject.path) for subject in subjects]
    changed = [subject.data_changed or None for subject in subjects]
    notes = [f"note: {one}" for one in changed if one]
    about = {"run": folders[0], "runs": folders, "report": str(path.resolve()), "data_changed": changed}
    return Answer("\n".join([f"report: {path.resolve()}", *notes]), about)


def analyses(settings: AnalysesSettings) -> Answer:
    """List the analyses of a run, or remove or rename one.

    Raises:
        InputError: There is no such folder or analysis.
    """
    if not settings.run.is_dir():
        raise InputError(f"no run at {settings.run}: expected a run directory, as `glassnet train` writes one.")
    if not any((settings.run / name).exists() for name in ("run.json", "metrics.jsonl", "analyses")):
        raise InputError(
            f"{settings.run} is no run and holds no analyses; expected a run directory, or the folder of a network's "
            "analyses."
        )
    store = Store(settings.run)
    if settings.remove:
        gone = store.remove(settings.remove)
        return Answer(f"removed {gone.kind}/{gone.name}", {"removed": f"{gone.kind}/{gone.name}"})
    if settings.rename:
        new = store.rename(*settings.rename)
        return Answer(f"renamed {settings.rename[0]} to {new.kind}/{new.name}", {"renamed": f"{new.kind}/{new.name}"})
    entries = store.entries()
    if not entries:
        text = f"{settings.run} holds no analyses yet; `glassnet report {settings.run}` makes some."
        return Answer(text, {"analyses": []})
    rows = [
        (f"{one.kind}/{one.name}", _settings(one), _made(one), duration(one.document.get("seconds"))) for one in entries
    ]
    listed = [
        {
            "name": f"{one.kind}/{one.name}",
            "path": str(one.path),
            "settings": one.settings,
            "earlier_version": one.elsewhere is not None,
        }
        for one in entries
    ]
    text = text_table(("analysis", "settings", "made", "took"), rows)
    if any(one.elsewhere for one in entries):
        text += f"\nThose named {PREFIX}… were made by an earlier version of glassnet."
    return Answer(text, {"analyses": listed})


def _settings(entry: Entry) -> str:
    return ", ".join(f"{key} {plain(value)}" for key, value in entry.settings.items() if value not in (None, [], ""))


def _made(entry: Entry) -> str:
    return str(entry.document.get("made", "")).replace("T", " ")[:16]
