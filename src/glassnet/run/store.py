"""The analyses of a run: each an entry of its own, written whole or not at all, and never changed afterwards.

    analyses/<kind>/<name>/
      analysis.json   settings as resolved, what it was made of, versions, code, seconds, the result with every measure,
                      and the words of its figures
      arrays.npz      the result's arrays, by the keys that stand in analysis.json
      *.npy           arrays too large for memory
      *.png *.svg     figures
      *.csv           tables for other programs

An entry is made under a temporary name and renamed, so that a process that is killed leaves no half of one. Asked for
again with the same settings it is found; with other settings another one is made.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glassnet.errors import InputError, unknown_name
from glassnet.files import read_json, write_json, write_text

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure

ENTRY_VERSION = 1
FILE = "analysis.json"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+=,@-]*")
LONGEST_NAME = 100


@dataclass(frozen=True)
class FigureWords:
    """What is said of a figure that lies in an entry.

    Attributes:
        name: File name without suffix.
        title: Its heading.
        alt: What it shows, in words, for those who cannot see it.
        caption: How to read it, and the numbers that it shows.
        lead: One sentence that says what to see in it.
    """

    name: str
    title: str
    alt: str
    caption: str = ""
    lead: str = ""


@dataclass(frozen=True)
class Plot:
    """A figure and its words, before it is written."""

    figure: Figure
    words: FigureWords


@dataclass(frozen=True)
class Entry:
    """An analysis on disk."""

    kind: str
    name: str
    path: Path
    document: Mapping[str, Any]

    @property
    def settings(self) -> Mapping[str, Any]:
        """The settings as resolved."""
        return self._part("settings")

    @property
    def made_of(self) -> Mapping[str, Any]:
        """Digests and names of the model and the images."""
        return self._part("made_of")

    @property
    def result(self) -> Any:
        """What was found, as JSON values."""
        return self.document.get("result")

    @property
    def figures(self) -> tuple[FigureWords, ...]:
        """The words of its figures."""
        rows = self.document.get("figures")
        keys = ("name", "title", "alt", "caption", "lead")
        return tuple(
            FigureWords(**{key: str(row[key]) for key in keys if key in row})
            for row in (rows if isinstance(rows, list) else [])
            if isinstance(row, dict) and {"name", "title", "alt"} <= row.keys()
        )

    @cached_property
    def arrays(self) -> Mapping[str, np.ndarray]:
        """The arrays of the result; those of files of their own are mapped.

        Raises:
            InputError: A file is damaged.
        """
        import numpy as np

        try:
            loaded: dict[str, np.ndarray] = {}
            if (self.path / "arrays.npz").exists():
                with np.load(self.path / "arrays.npz", allow_pickle=False) as file:
                    loaded |= {key: file[key] for key in file.files}
            for file_path in sorted(self.path.glob("*.npy")):
                loaded[file_path.stem] = np.load(file_path, mmap_mode="r", allow_pickle=False)
        except Exception as error:  # zip, zlib and NumPy each raise their own on damaged bytes
            raise InputError(f"the arrays of {self.path} are damaged ({error}); {self._again}") from None
        return loaded

    def figure_file(self, name: str, suffix: str) -> Path:
        """Return where the file of a figure lies; suffix is "png" or "svg"."""
        return self.path / f"{name}.{suffix}"

    @property
    def _again(self) -> str:
        return f"remove it with `glassnet analyses RUN --remove {self.kind}/{self.name}` and make it again."

    def _part(self, key: str) -> Mapping[str, Any]:
        value = self.document.get(key)
        return value if isinstance(value, dict) else {}


@dataclass(frozen=True)
class Draft:
    """An entry that is being made: its folder under a temporary name, and what goes into it."""

    kind: str
    folder: Path
    document: dict[str, Any] = field(default_factory=dict)

    def save_arrays(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Write the arrays to arrays.npz, and what is mapped from a file to a file of its own."""
        import numpy as np

        small = {key: array for key, array in arrays.items() if not isinstance(array, np.memmap)}
        for key in arrays.keys() - small.keys():
            np.save(self.folder / f"{key}.npy", arrays[key], allow_pickle=False)
        if small:
            with (self.folder / "arrays.npz").open("wb") as file:
                np.savez_compressed(file, allow_pickle=False, **small)

    def save_plot(self, plot: Plot) -> None:
        """Write a figure as PNG (150 dpi) and SVG, and put its words into the document."""
        name = plot.words.name
        plot.figure.savefig(self.folder / f"{name}.png", dpi=150)
        plot.figure.savefig(self.folder / f"{name}.svg", transparent=True, metadata={"Date": None})
        self.document.setdefault("figures", []).append(vars(plot.words))

    def save_text(self, name: str, text: str) -> None:
        """Write a text file, such as predictions.csv."""
        write_text(self.folder / name, text)


class Store:
    """The analyses below one folder, by kind and name."""

    def __init__(self, folder: Path) -> None:
        """Take the folder of a run, which holds analyses/."""
        self.folder = folder

    @property
    def root(self) -> Path:
        """Where the kinds' folders are."""
        return self.folder / "analyses"

    def entries(self, kind: str | None = None) -> list[Entry]:
        """List the entries, of one kind or of all, the oldest first.

        Raises:
            InputError: The analysis.json of one is damaged.
        """
        pattern = f"{kind or '*'}/*/{FILE}"
        found = [file for file in self.root.glob(pattern) if not file.parent.name.startswith(".")]
        entries = [_read(file) for file in found]
        return sorted(entries, key=lambda one: (str(one.document.get("made", "")), one.kind, one.name))

    def find(self, kind: str, settings: Mapping[str, Any], made_of: Mapping[str, Any]) -> Entry | None:
        """Return the entry of these settings, made of these things; None where there is none."""
        wanted = (_canonical(settings), _canonical(made_of))
        for entry in self.entries(kind):
            if (_canonical(entry.settings), _canonical(entry.made_of)) == wanted:
                return entry
        return None

    def entry(self, name: str) -> Entry:
        """Return the entry of a name as `glassnet analyses` lists it: KIND/NAME, or NAME where it is the only one.

        Raises:
            InputError: There is no such entry, or several kinds have one.
        """
        entries = self.entries()
        fitting = [one for one in entries if name in (one.name, f"{one.kind}/{one.name}")]
        if len(fitting) == 1:
            return fitting[0]
        names = [f"{one.kind}/{one.name}" for one in entries]
        if fitting:
            same = " and ".join(f"{one.kind}/{one.name}" for one in fitting)
            raise InputError(f"'{name}' names {same}; give one of them.")
        raise unknown_name("analysis", name, names, where=f" in {self.folder}", noun="analyses")

    @contextlib.contextmanager
    def draft(self, kind: str, name: str, *, chosen: bool) -> Iterator[Draft]:
        """Yield the draft of an entry, which takes its name when the block ends well, and vanishes if not.

        Args:
            kind: Kind of the analysis.
            name: Its name.
            chosen: Whether the user chose the name, which must then be free; else it is numbered on.

        Raises:
            InputError: The name is taken or cannot be that of a folder, or the disk refuses.
        """
        _check_name(name)
        place = self.root / kind
        if chosen and (place / name).exists():
            raise InputError(
                f"{self.folder} has an analysis {kind}/{name} with other settings; choose another --name, or remove "
                f"it with `glassnet analyses {self.folder} --remove {kind}/{name}`."
            )
        folder = place / f".{name[:60]}.{os.getpid()}.tmp"
        try:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            draft = Draft(kind, folder)
            yield draft
            write_json(folder / FILE, {"entry_version": ENTRY_VERSION, "kind": kind, **draft.document})
            _rename(folder, place, name, chosen=chosen)
        except OSError as error:
            raise InputError(
                f"cannot write the analysis {kind}/{name} below {self.folder} ({error.strerror or error}); make room, "
                "or take a folder that you may write to."
            ) from None
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def remove(self, name: str) -> Entry:
        """Remove an entry by its name, and return what it was.

        Raises:
            InputError: There is no such entry.
        """
        entry = self.entry(name)
        gone = entry.path.with_name(f".{entry.name[:60]}.{os.getpid()}.removed")
        entry.path.rename(gone)  # at once, so that no reader sees half of it
        shutil.rmtree(gone, ignore_errors=True)
        return entry

    def rename(self, name: str, new: str) -> Entry:
        """Give an entry another name.

        Raises:
            InputError: There is no such entry, or the new name is taken or cannot be that of a folder.
        """
        entry = self.entry(name)
        _check_name(new)
        target = entry.path.with_name(new)
        if target.exists():
            raise InputError(f"{entry.kind}/{new} exists already in {self.folder}; choose another name.")
        entry.path.rename(target)
        return _read(target / FILE)


def _read(file: Path) -> Entry:
    document = read_json(file)
    if not isinstance(document, dict) or document.get("entry_version") != ENTRY_VERSION:
        raise InputError(
            f"{file} is damaged, or a newer glassnet wrote it (entry_version is not {ENTRY_VERSION}); remove its "
            "folder, or upgrade."
        )
    return Entry(file.parent.parent.name, file.parent.name, file.parent, document)


def _rename(folder: Path, place: Path, name: str, *, chosen: bool) -> None:
    """Give the finished folder its name; another process may have taken it meanwhile."""
    number = 1
    while True:
        target = place / (name if number == 1 else f"{name}-{number}")
        try:
            folder.rename(target)
        except OSError:
            if chosen or not target.exists():
                raise
            number += 1
        else:
            return


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name) or len(name) > LONGEST_NAME:
        raise InputError(
            f"'{name}' cannot name an analysis, expected up to {LONGEST_NAME} letters, digits and . _ + = , @ -, the "
            "first a letter or a digit."
        )


def slug(words: Sequence[str]) -> str:
    """Join words to a name that `draft` takes: short, and different for different words."""
    plain = [re.sub(r"[^A-Za-z0-9._+=,@]+", "-", word).strip("-._") for word in words]
    joined = "-".join(word for word in plain if word) or "analysis"
    joined = joined if joined[0].isalnum() else f"a{joined}"
    if len(joined) <= 60:
        return joined
    return f"{joined[:50].rstrip('-._')}-{hashlib.sha256(joined.encode()).hexdigest()[:6]}"


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
