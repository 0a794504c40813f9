"""A finished run on disk, and the files that are added to it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from glassnet.console import printable
from glassnet.display import Shown, brief
from glassnet.errors import InputError
from glassnet.files import atomic, read_json, regular, write_json
from glassnet.formats import is_number
from glassnet.run.entry import FILE, read_entry
from glassnet.run.figure_files import write_figure
from glassnet.run.manifest import read_manifest
from glassnet.run.training_files import check_weights, read_history, read_weights
from glassnet.tables import Table, make_table

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure
    from torch import Tensor

SCHEMA_VERSION = 2
"""Runs of 1, before version 0.2, are read: their analyses by `legacy`, settings under old names by `convert`."""


@dataclass(frozen=True, repr=False)
class RunDirectory(Shown):
    """A run on disk: where its files are and what its manifest says."""

    path: Path
    manifest: Mapping[str, Any]

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Self:
        """Open a finished run.

        Raises:
            InputError: There is no finished run, it is damaged, or a newer glassnet wrote it.
        """
        path = Path(path)
        if not path.is_dir():
            raise InputError(f"there is no run at {path}; expected a run directory written by `glassnet train`.")
        for name in ("run.json", "model.safetensors", "metrics.jsonl"):
            regular(path / name)
        if not (path / "run.json").exists():
            if (path / "checkpoint" / "state.pt").exists():
                raise InputError(f"{path} is an unfinished run; continue it with `glassnet train --resume {path}`.")
            _refuse_network(path)
            raise InputError(f"{path} has no run.json; expected a run directory written by `glassnet train`.")
        manifest = read_manifest(path, newest=SCHEMA_VERSION)
        check_weights(path, manifest.get("weights"))
        return cls(path, manifest)

    def __repr__(self) -> str:
        """Say in one line what was trained on what, and how good it is."""
        data, model = (self.manifest.get(part) or {} for part in ("data", "model"))
        figures = [f"{name.replace('_', ' ')} {brief(value)}" for name, value in self._figures()[-2:]]
        what = f"{model.get('name', 'a network')} on {data.get('name', 'no data')}"
        return f"{type(self).__name__}({', '.join((f'{printable(self.name, lines=False)}: {what}', *figures))})"

    def _table(self) -> Table:
        rows = [(name.replace("_", " "), brief(one)) for name, one in self._figures()]
        return make_table("Metrics of the saved epoch", ("", ""), rows)

    def _figures(self) -> list[tuple[str, float]]:
        return [(name, one) for name, one in (self.manifest.get("metrics") or {}).items() if is_number(one)]

    @property
    def name(self) -> str:
        """The run's folder name."""
        return self.path.resolve().name

    @property
    def metrics(self) -> dict[str, Any]:
        """The final metrics."""
        return dict(self.manifest["metrics"])

    @property
    def history(self) -> list[dict[str, Any]]:
        """One dictionary per epoch, oldest first."""
        return read_history(self.path)

    def weights(self) -> dict[str, Tensor]:
        """Load the best weights by parameter name.

        Raises:
            InputError: The file is damaged.
        """
        return read_weights(self.path)

    def file(self, name: str) -> Path:
        """Return the path of the file `name` (as in "embeddings/fc1.json") below the run.

        Raises:
            InputError: The name leads out of the run.
        """
        path = self.path / name
        if not path.resolve().is_relative_to(self.path.resolve()):
            raise InputError(f"'{name}' is outside the run {self.path}; expected the name of a file in it.")
        return path

    def save_json(self, name: str, value: Any) -> Path:
        """Write `value` to the file `name` below the run."""
        write_json(self.file(name), value)
        return self.path / name

    def load_json(self, name: str) -> Any:
        """Read the JSON file `name` below the run.

        Raises:
            InputError: It is missing or damaged.
        """
        return read_json(self.file(name))

    def has(self, name: str) -> bool:
        """Tell whether the file `name` below the run exists."""
        return self.file(name).exists()

    def save_arrays(self, name: str, arrays: Mapping[str, np.ndarray]) -> Path:
        """Write arrays by name to the file `name` (as in "features/test.npz") below the run."""
        import numpy as np

        with atomic(self.file(name)) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)
        return self.path / name

    def load_arrays(self, name: str) -> dict[str, np.ndarray]:
        """Read the arrays of the file `name` below the run.

        Raises:
            InputError: It is missing or damaged.
        """
        import numpy as np

        try:
            with self.file(name).open("rb") as opened, np.load(opened, allow_pickle=False) as file:
                return {key: file[key] for key in file.files}
        except FileNotFoundError:
            raise InputError(f"{self.path / name} is missing.") from None
        except Exception as error:  # zip, zlib and NumPy each raise their own on damaged bytes
            raise InputError(f"{self.path / name} is damaged ({error}); make it again.") from None

    def save_figure(self, name: str, figure: Figure, *, title: str, alt: str, caption: str = "") -> None:
        """Write a figure to figures/NAME.png (150 dpi) and .svg, and what the report says of it to .json.

        Args:
            name: File name without suffix.
            figure: The figure.
            title: Its heading.
            alt: What it shows, in words, for those who cannot see it.
            caption: How to read it, and the numbers that it shows.
        """
        folder = self.file("figures")
        with atomic(folder / f"{name}.png") as png, atomic(folder / f"{name}.svg") as svg:
            write_figure(figure, png, svg)
        write_json(folder / f"{name}.json", {"title": title, "alt": alt, "caption": caption})


def _refuse_network(path: Path) -> None:
    """Refuse a folder that keeps the analyses of a network without a run, and say what to type."""
    for place in sorted(file.parent for file in path.glob(f"analyses/*/*/{FILE}")):
        entry = read_entry(place)
        about = entry.document.get("subject") if entry else None
        if isinstance(about, dict):
            file, colon, factory = str(about.get("name")).partition(":")
            network = f"{file}.py:{factory}" if colon else file
            typed = f"{network} --data folder:{about.get('data') or 'photos'}"
            raise InputError(
                f"{path} holds the analyses of a network without a run; give the network and its images, as in "
                f"`glassnet report {typed}`, or list the analyses with `glassnet analyses {path}`."
            )
