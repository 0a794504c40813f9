"""`glassnet reproduce`: the 2019 report, part by part, its numbers beside ours and a verdict on its claims."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from glassnet.cli.answer import Answer
from glassnet.errors import InputError, unknown_name
from glassnet.files import writable_target, write_text
from glassnet.reproduction import PARTS, Reproduction, verdict_table
from glassnet.reproduction.part import write
from glassnet.settings.reproduce import ReproduceSettings
from glassnet.tables import text_table

ALL = "all"
FILE_WIDTH = 1000
"""Characters in a line of a part's text file, where nothing needs to be wrapped."""


def reproduce(settings: ReproduceSettings) -> Answer:
    """Reproduce a part of the report, or all of them one after another, or list the parts."""
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
    fields = {field.name: field.default for field in dataclasses.fields(settings)}
    for option in {option: None for part in PARTS.values() for option in part.options}:
        readers = [name for name, part in PARTS.items() if option in part.options]
        if getattr(settings, option) != fields[option] and not set(readers) & set(parts):
            raise InputError(
                f"--{option} is of no use to {' and '.join(parts)}, only to {', '.join(readers)}; leave it out."
            )


def _one(settings: ReproduceSettings, name: str, out: Path) -> Answer:
    """Do one part, and write its text, Markdown and JSON."""
    writable_target(out, folder=True)
    done = PARTS[name].reproduce(settings, out)
    write_text(out / f"{name}.txt", _text(done, FILE_WIDTH) + "\n")
    write(done, settings)
    written = f"written: {out / name}.txt, .md and .json, figures in {out / 'figures'}"
    return Answer(f"{_text(done)}\n\n{written}", done.to_json())


def _text(done: Reproduction, width: int | None = None) -> str:
    tables = (table.text(width) for table in (*done.tables, verdict_table(done.verdicts)))
    return "\n\n".join(tables) + "\n\n" + "\n".join(done.notes)
