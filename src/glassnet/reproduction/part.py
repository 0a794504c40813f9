"""What a part of the reproduction gives, the folder that it is written to, and the stages that it is made in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from glassnet.console import say
from glassnet.devices import code_digest, versions
from glassnet.errors import InputError
from glassnet.experiment import Run
from glassnet.files import write_json, write_text
from glassnet.reproduction.claims import Verdict
from glassnet.reproduction.reported import verdict_table
from glassnet.reproduction.trainings import Training
from glassnet.run import RunDirectory
from glassnet.settings import to_json
from glassnet.settings.train import ReproduceSettings
from glassnet.tables import Table


@dataclass(frozen=True)
class SavedFigure:
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
    figures: tuple[SavedFigure, ...]
    notes: tuple[str, ...]
    details: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return all of it as JSON values."""
        return {
            "part": self.part,
            "out": str(self.out),
            "verdicts": [asdict(verdict) for verdict in self.verdicts],
            "tables": [_to_json(table) for table in self.tables],
            "figures": [asdict(figure) for figure in self.figures],
            "notes": list(self.notes),
            **self.details,
        }

    @classmethod
    def from_json(cls, told: Mapping[str, Any], out: Path) -> Reproduction:
        """Read back what `to_json` returned, from the folder where it lies now.

        Raises:
            KeyError, TypeError: It is something else.
        """
        own = ("part", "out", "verdicts", "tables", "figures", "notes")
        return cls(
            part=told["part"],
            out=out,
            tables=tuple(_table_of(table) for table in told["tables"]),
            verdicts=tuple(_verdict_of(verdict) for verdict in told["verdicts"]),
            figures=tuple(SavedFigure(**figure) for figure in told["figures"]),
            notes=tuple(told["notes"]),
            details={name: value for name, value in told.items() if name not in (*own, *MADE)},
        )

    def to_markdown(self) -> str:
        """Return tables, verdicts, notes and figures as a fragment of Markdown, figures by path below the folder."""
        pictures = [f"### {f.title}\n\n![{f.alt}](figures/{f.name}.png)" for f in self.figures]
        notes = ["\n".join(f"- {note}" for note in self.notes)] if self.notes else []
        tables = [table.markdown() for table in (*self.tables, verdict_table(self.verdicts))]
        return "\n\n".join([*tables, *notes, *pictures]) + "\n"


def _to_json(table: Table) -> dict[str, Any]:
    return {"title": table.caption, "header": table.columns, "rows": table.rows, "note": table.note}


def _table_of(told: Mapping[str, Any]) -> Table:
    rows = tuple(tuple(row) for row in told["rows"])
    return Table(told["title"], tuple(told["header"]), rows, note=told["note"])


def _verdict_of(told: Mapping[str, Any]) -> Verdict:
    interval = told["interval"]
    return Verdict(**{**told, "interval": interval and tuple(interval), "joins": tuple(told.get("joins", ()))})


@dataclass(frozen=True)
class Part:
    """A part of the report that can be done again.

    Attributes:
        about: In a line.
        trainings: Lists what it trains in a folder, before anything is trained.
        reproduce: Does it, or what is left of it, in a folder.
        options: Settings that this part reads and others do not.
    """

    about: str
    trainings: Callable[[ReproduceSettings, Path], Sequence[Training]]
    reproduce: Callable[[ReproduceSettings, Path], Reproduction]
    options: tuple[str, ...]


def open_folder(out: Path) -> RunDirectory:
    """Take a folder to keep files and figures in, as a run does."""
    if out.exists() and not out.is_dir():
        raise InputError(f"--out is {out}, which is a file; expected a new folder, or that of an earlier reproduction.")
    return RunDirectory(out, {})


def save_plot(
    folder: RunDirectory, name: str, figure: Figure, *, title: str, alt: str, caption: str = ""
) -> SavedFigure:
    """Write a figure into the folder's figures/, as .png and .svg: the one place where a part saves its figures."""
    folder.save_figure(name, figure, title=title, alt=alt, caption=caption)
    return SavedFigure(name, title, alt)


MADE = ("schema_version", "settings", "versions", "made_of")
"""What PART.json holds besides the part: how it was made."""


def write(reproduction: Reproduction, settings: ReproduceSettings, made_of: Mapping[str, Any] | None = None) -> None:
    """Write PART.md, and last PART.json, which holds the settings, the versions and what it was made of too."""
    write_text(reproduction.out / f"{reproduction.part}.md", reproduction.to_markdown())
    made = {
        "schema_version": 1,
        "settings": to_json(settings),
        "versions": versions("torch", "numpy", "scikit-learn", "matplotlib"),
        "made_of": dict(made_of or {}),
    }
    write_json(reproduction.out / f"{reproduction.part}.json", made | reproduction.to_json())


@dataclass(frozen=True, eq=False)
class Stage:
    """What a stage gave: arrays by name, and numbers as JSON values."""

    arrays: Mapping[str, np.ndarray]
    numbers: Mapping[str, Any]


def stage(folder: RunDirectory, name: str, inputs: Mapping[str, Any], compute: Callable[[], Stage]) -> Stage:
    """Return what `compute` gives, from stages/NAME.npz and .json if it was computed before from the same inputs.

    The JSON file is written last, so that a stage that was killed has none and is done again.

    Args:
        folder: Holds the stages.
        name: Of the stage.
        inputs: All that decides the result, as JSON values.
        compute: Does the work.
    """
    arrays_file, numbers_file = f"stages/{name}.npz", f"stages/{name}.json"
    earlier = _read(folder, numbers_file)
    if earlier.get("inputs") == dict(inputs) and folder.has(arrays_file):
        say(f"{name}: already finished")
        return Stage(folder.load_arrays(arrays_file), earlier["numbers"])
    say(f"{name}: running")
    # A stop between the two files would pair old numbers with new arrays.
    folder.file(numbers_file).unlink(missing_ok=True)
    result = compute()
    folder.save_arrays(arrays_file, result.arrays)
    folder.save_json(numbers_file, {"inputs": dict(inputs), "numbers": dict(result.numbers)})
    return result


def run_inputs(run: Run) -> dict[str, Any]:
    """Return what identifies a finished run, for the stages that measure it: trained anew, it is another."""
    code = code_digest("data", "models", "tasks")
    return {"run": run.name, "started": run.manifest.get("started"), "metrics": run.metrics, "code": code}


def _read(folder: RunDirectory, file: str) -> dict[str, Any]:
    """Read a stage's JSON; a file that is damaged counts as none, since the stage can be done again."""
    if not folder.has(file):
        return {}
    try:
        read = folder.load_json(file)
    except InputError:
        return {}
    return read if isinstance(read, dict) and isinstance(read.get("numbers"), dict) else {}
