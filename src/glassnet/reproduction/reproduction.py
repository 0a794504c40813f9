"""What a part of the reproduction gives, and the folder that it is written to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from glassnet.errors import InputError
from glassnet.files import write_json, write_text
from glassnet.reproduction.claims import Verdict
from glassnet.reproduction.tables import Table, markdown, verdict_table
from glassnet.run import RunDirectory
from glassnet.settings import to_json
from glassnet.settings.reproduce import ReproduceSettings
from glassnet.versions import versions


@dataclass(frozen=True)
class Drawn:
    """A figure in the folder's figures/, as .png and .svg."""

    name: str
    title: str
    alt: str


@dataclass(frozen=True)
class Reproduction:
    """A part of the report, done again.

    Attributes:
        part: Its name.
        out: Folder that holds all of it.
        tables: The numbers, the report's beside ours.
        verdicts: On its claims.
        figures: In the report's order.
        notes: What a reader must know of how this was made.
        details: All numbers in full, as JSON values.
    """

    part: str
    out: Path
    tables: tuple[Table, ...]
    verdicts: tuple[Verdict, ...]
    figures: tuple[Drawn, ...]
    notes: tuple[str, ...]
    details: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return all of it as JSON values."""
        return {
            "part": self.part,
            "out": str(self.out),
            "verdicts": [asdict(verdict) for verdict in self.verdicts],
            "tables": [asdict(table) for table in self.tables],
            "figures": [asdict(figure) for figure in self.figures],
            "notes": list(self.notes),
            **self.details,
        }

    def to_markdown(self) -> str:
        """Return tables, verdicts, notes and figures as a fragment of Markdown, figures by path below the folder."""
        shown = [f"### {f.title}\n\n![{f.alt}](figures/{f.name}.png)" for f in self.figures]
        notes = ["\n".join(f"- {note}" for note in self.notes)] if self.notes else []
        return "\n\n".join([*map(markdown, (*self.tables, verdict_table(self.verdicts))), *notes, *shown]) + "\n"


@dataclass(frozen=True)
class Part:
    """A part of the report that can be done again.

    Attributes:
        about: In a line.
        reproduce: Does it, or what is left of it, in a folder.
        options: Settings that this part reads and others do not.
    """

    about: str
    reproduce: Callable[[ReproduceSettings, Path], Reproduction]
    options: tuple[str, ...]


def folder(out: Path) -> RunDirectory:
    """Take a folder to keep files and figures in, as a run does."""
    if out.exists() and not out.is_dir():
        raise InputError(f"--out is {out}, which is a file; expected a folder, new or of an earlier reproduction.")
    return RunDirectory(out, {})


def write(reproduction: Reproduction, settings: ReproduceSettings) -> None:
    """Write PART.md, and last PART.json, which holds the settings and versions too."""
    write_text(reproduction.out / f"{reproduction.part}.md", reproduction.to_markdown())
    made = {
        "schema_version": 1,
        "settings": to_json(settings),
        "versions": versions("torch", "numpy", "scikit-learn", "matplotlib"),
    }
    write_json(reproduction.out / f"{reproduction.part}.json", made | reproduction.to_json())
