"""A finished run on disk: what its manifest says, and the files that the analysis adds."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from glassnet.errors import InputError
from glassnet.files import atomic, read_json, regular, write_json
from glassnet.run.unfinished import read_history, read_weights

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure
    from torch import Tensor

SCHEMA_VERSION = 2
"""Runs of 1, before version 0.2, are read: their analyses by `legacy`, settings under old names by `convert`."""


# What a manifest must hold for a run to be of any use.
_REQUIRED = {
    "settings": ("data", "model", "task"),
    "model": ("name", "options", "in_channels", "num_classes", "image_size", "parameters", "layers"),
    "data": ("name", "classes", "train", "validation", "test"),
    "metrics": ("epoch", "test_loss"),
}


@dataclass(frozen=True)
class RunDirectory:
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
            raise InputError(f"no run at {path}: expected a run directory, as `glassnet train` writes one.")
        for name in ("run.json", "model.safetensors", "metrics.jsonl"):
            regular(path / name)
        if not (path / "run.json").exists():
            if (path / "checkpoint" / "state.pt").exists():
                raise InputError(f"{path} is an unfinished run; continue it with `glassnet train --resume {path}`.")
            raise InputError(f"{path} has no run.json: expected a run directory, as `glassnet train` writes one.")
        manifest = read_json(path / "run.json")
        version = manifest.get("schema_version") if isinstance(manifest, dict) else None
        if type(version) is not int or version < 1:
            raise InputError(f"{path / 'run.json'} is damaged (it has no schema_version); train the run again.")
        if version > SCHEMA_VERSION:
            raise InputError(
                f"{path} has schema version {version}, newer than this glassnet reads ({SCHEMA_VERSION}); "
                "upgrade with `pip install --upgrade glassnet`."
            )
        run = cls(path, manifest)
        run.require(_REQUIRED)
        _check_weights(path)
        return run

    def require(self, needed: Mapping[str, Sequence[str]]) -> None:
        """Refuse a manifest that lacks some of the keys that are needed, by its parts.

        Raises:
            InputError: It does.
        """
        lacking = [
            f"{part}.{key}" for part, keys in needed.items() for key in keys if key not in _part(self.manifest, part)
        ]
        if lacking:
            raise InputError(
                f"{self.path / 'run.json'} is damaged (it lacks {', '.join(lacking)}); train the run again."
            )

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
            raise InputError(f"'{name}' leads out of the run {self.path}; expected a name below it.")
        return path

    def stems(self, folder: str) -> list[str]:
        """Return the names, without suffix, of the JSON files in a folder of the run, in order."""
        return sorted(path.stem for path in self.file(folder).glob("*.json") if not path.name.startswith("."))

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
        with atomic(folder / f"{name}.png") as temporary:
            figure.savefig(temporary, dpi=150)
        with atomic(folder / f"{name}.svg") as temporary:
            figure.savefig(temporary, transparent=True, metadata={"Date": None})
        write_json(folder / f"{name}.json", {"title": title, "alt": alt, "caption": caption})


def _part(manifest: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = manifest.get(name)
    return part if isinstance(part, dict) else {}


def _check_weights(path: Path) -> None:
    """Refuse a run whose weights are missing or cut; only their header is read."""
    from safetensors import SafetensorError, safe_open

    if not (path / "model.safetensors").exists():
        raise InputError(f"{path} has no model.safetensors; train the run again.")
    try:
        with safe_open(path / "model.safetensors", framework="numpy"):
            pass
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path / 'model.safetensors'} is damaged ({error}); train the run again.") from None
