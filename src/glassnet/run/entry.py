"""One analysis on disk: an entry that is there, and a draft of one that is being made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glassnet.errors import InputError
from glassnet.files import parse_json, regular, write_text
from glassnet.run.figure_files import write_figure

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure

ENTRY_VERSION = 1
FILE = "analysis.json"


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
class Elsewhere:
    """Where the files of an entry lie that an earlier version wrote, in a layout of its own.

    Attributes:
        run: Folder of the run.
        files: What goes when it is removed, the one that names it first.
        figures: Folder of its figures.
        load: Reads its arrays.
        current: Whether the run's weights are no newer than it.
        within: KIND/NAME of the entry that must go first; empty for none.
    """

    run: Path
    files: tuple[Path, ...]
    figures: Path
    load: Callable[[], Mapping[str, np.ndarray]]
    current: bool
    within: str = ""


@dataclass(frozen=True)
class Entry:
    """An analysis on disk.

    Attributes:
        kind: Its kind.
        name: Its name.
        path: Its folder; of an entry of an earlier version, the file that it is read from.
        document: What analysis.json says.
        elsewhere: Where its other files are, of an entry of an earlier version.
    """

    kind: str
    name: str
    path: Path
    document: Mapping[str, Any]
    elsewhere: Elsewhere | None = field(default=None, repr=False, compare=False)

    @property
    def file(self) -> Path:
        """The file that the document was read from."""
        return self.path if self.elsewhere else self.path / FILE

    @property
    def settings(self) -> Mapping[str, Any]:
        """The settings as resolved."""
        return self._part("settings")

    @property
    def made_of(self) -> Mapping[str, Any]:
        """Digests and names of the model and the images."""
        return self._part("made_of")

    @property
    def made(self) -> float:
        """When it was made, in seconds since 1970, by which entries are sorted; 0 where that is not readable."""
        try:
            return datetime.fromisoformat(str(self.document.get("made"))).timestamp()
        except (ValueError, OverflowError):
            return 0.0

    @property
    def result(self) -> Any:
        """What was found, as JSON values."""
        return self.document.get("result")

    @property
    def browsed(self) -> bool:
        """Whether the explorer made it as somebody looked around: without figures, and not for a report."""
        return self.document.get("browsed") is True

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
        if self.elsewhere is not None:
            return self.elsewhere.load()
        import numpy as np

        loaded: dict[str, np.ndarray] = {}
        file_path = self.path / "arrays.npz"
        try:
            if file_path.exists():
                with regular(file_path).open("rb") as opened, np.load(opened, allow_pickle=False) as file:
                    loaded |= {key: file[key] for key in file.files}
            for file_path in sorted(self.path.rglob("*.npy")):
                key = file_path.relative_to(self.path).with_suffix("").as_posix()
                loaded[key] = np.load(regular(file_path), mmap_mode="r", allow_pickle=False)
        except Exception as error:  # zip, zlib and NumPy each raise their own on damaged bytes
            raise InputError(f"{file_path} is damaged ({error}); {self.again}") from None
        return loaded

    def figure_file(self, name: str, suffix: str) -> Path:
        """Return where the file of a figure lies; suffix is "png" or "svg"."""
        return (self.elsewhere.figures if self.elsewhere else self.path) / f"{name}.{suffix}"

    @property
    def again(self) -> str:
        """What to do where it is damaged."""
        run = self.elsewhere.run if self.elsewhere else self.path.parent.parent.parent
        return again(run, f"{self.kind}/{self.name}")

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
            file_path = self.folder / f"{key}.npy"
            file_path.parent.mkdir(parents=True, exist_ok=True)
            np.save(file_path, arrays[key], allow_pickle=False)
        if small:
            with (self.folder / "arrays.npz").open("wb") as file:
                np.savez_compressed(file, allow_pickle=False, **small)

    def save_plot(self, plot: Plot) -> None:
        """Write a figure as PNG (150 dpi) and SVG, and put its words into the document."""
        name = plot.words.name
        write_figure(plot.figure, self.folder / f"{name}.png", self.folder / f"{name}.svg")
        self.document.setdefault("figures", []).append(vars(plot.words))

    def save_text(self, name: str, text: str) -> None:
        """Write a text file, such as predictions.csv."""
        write_text(self.folder / name, text)


def full_name(place: Path) -> str:
    """Return KIND/NAME of the entry in a folder."""
    return f"{place.parent.name}/{place.name}"


def again(run: Path, name: str) -> str:
    """Say what to do with a damaged entry of a run, named KIND/NAME."""
    return f"remove it with `glassnet analyses {run} --remove {name}` and make it again."


def read_entry(place: Path) -> Entry | None:
    """Read an entry; None where another process has removed it meanwhile.

    Raises:
        InputError: It is damaged, or of another version.
    """
    file, advice = place / FILE, again(place.parent.parent.parent, full_name(place))
    regular(file)
    try:
        document = parse_json(file.read_bytes())
    except (ValueError, OSError) as error:
        if not place.exists():
            return None
        raise InputError(f"{file} is damaged ({error}); {advice}") from None
    if not isinstance(document, dict) or type(document.get("entry_version")) is not int:
        raise InputError(f"{file} is damaged (it has no entry_version); {advice}")
    if document["entry_version"] != ENTRY_VERSION:
        raise InputError(
            f"{file} has entry version {document['entry_version']}, but this glassnet reads {ENTRY_VERSION}; upgrade "
            f"with `pip install --upgrade glassnet`, or {advice}"
        )
    return Entry(place.parent.name, place.name, place, document)
