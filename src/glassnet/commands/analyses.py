"""`glassnet analyses`: what a run holds; remove, rename."""

from __future__ import annotations

from glassnet.commands.answer import Answer
from glassnet.errors import InputError
from glassnet.formats import duration, plain
from glassnet.run.store import Entry, Store
from glassnet.settings.analysis import AnalysesSettings
from glassnet.tables import text_table


def analyses(settings: AnalysesSettings) -> Answer:
    """List the analyses of a run, or remove or rename one.

    Raises:
        InputError: There is no such folder or analysis.
    """
    if not settings.run.is_dir():
        raise InputError(f"no run at {settings.run}: expected a run directory, as `glassnet train` writes one.")
    store = Store(settings.run)
    if settings.remove:
        gone = store.remove(settings.remove)
        return Answer(f"removed {gone.kind}/{gone.name}", {"removed": f"{gone.kind}/{gone.name}"})
    if settings.rename:
        new = store.rename(*settings.rename)
        return Answer(f"renamed {settings.rename[0]} to {new.kind}/{new.name}", {"renamed": f"{new.kind}/{new.name}"})
    entries = store.entries()
    rows = [
        (f"{one.kind}/{one.name}", _settings(one), _made(one), duration(one.document.get("seconds"))) for one in entries
    ]
    listed = [{"name": f"{one.kind}/{one.name}", "path": str(one.path), "settings": one.settings} for one in entries]
    if not rows:
        return Answer(
            f"{settings.run} holds no analyses yet; `glassnet report {settings.run}` makes some.", {"analyses": []}
        )
    return Answer(text_table(("analysis", "settings", "made", "took"), rows), {"analyses": listed})


def _settings(entry: Entry) -> str:
    return ", ".join(f"{key} {plain(value)}" for key, value in entry.settings.items() if value not in (None, [], ""))


def _made(entry: Entry) -> str:
    return str(entry.document.get("made", "")).replace("T", " ")[:16]
