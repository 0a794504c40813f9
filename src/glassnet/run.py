"""The run directory: the only thing that passes between training and analysis; this file alone reads and writes it.

    runs/<name>/
      run.json              manifest, written last: a directory with one is a finished run
      metrics.jsonl         a line per epoch, appended and flushed
      model.safetensors     best weights
      checkpoint/state.pt   last full state, for --resume
      features/ embeddings/ attributions/ evaluation/ figures/ report.html

Every file is written to a temporary name in the same folder and renamed, so that a reader never sees half a file.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from glassnet.errors import InputError
from glassnet.files import atomic, read_json, write_json, write_text

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure
    from torch import Tensor

SCHEMA_VERSION = 1


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
        if not (path / "run.json").exists():
            if (path / "checkpoint" / "state.pt").exists():
                raise InputError(f"{path} is an unfinished run; continue it with `glassnet train --resume {path}`.")
            raise InputError(f"{path} has no run.json: expected a run directory, as `glassnet train` writes one.")
        manifest = read_json(path / "run.json")
        version = manifest.get("schema_version") if isinstance(manifest, dict) else None
        if not isinstance(version, int):
            raise InputError(f"{path / 'run.json'} is damaged (it has no schema_version); train the run again.")
        if version > SCHEMA_VERSION:
            raise InputError(
                f"{path} has schema version {version}, newer than this glassnet reads ({SCHEMA_VERSION}); "
                "upgrade with `pip install --upgrade glassnet`."
            )
        missing = [k for k in ("settings", "model", "data", "metrics") if not isinstance(manifest.get(k), dict)]
        if missing:
            raise InputError(f"{path / 'run.json'} is damaged (it lacks {', '.join(missing)}); train the run again.")
        if not (path / "model.safetensors").exists():
            raise InputError(f"{path} has no model.safetensors; train the run again.")
        return cls(path, manifest)

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

    def save_json(self, name: str, value: Any) -> Path:
        """Write `value` to the file `name` (as in "embeddings/fc1.json") below the run."""
        write_json(self.path / name, value)
        return self.path / name

    def load_json(self, name: str) -> Any:
        """Read the JSON file `name` below the run.

        Raises:
            InputError: It is missing or damaged.
        """
        return read_json(self.path / name)

    def has(self, name: str) -> bool:
        """Tell whether the file `name` below the run exists."""
        return (self.path / name).exists()

    def save_arrays(self, name: str, arrays: Mapping[str, np.ndarray]) -> Path:
        """Write arrays by name to the file `name` (as in "features/test.npz") below the run."""
        import numpy as np

        with atomic(self.path / name) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)
        return self.path / name

    def load_arrays(self, name: str) -> dict[str, np.ndarray]:
        """Read the arrays of the file `name` below the run.

        Raises:
            InputError: It is missing or damaged.
        """
        import zipfile

        import numpy as np

        try:
            with (self.path / name).open("rb") as opened, np.load(opened, allow_pickle=False) as file:
                return {key: file[key] for key in file.files}
        except FileNotFoundError:
            raise InputError(f"{self.path / name} is missing.") from None
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
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
        folder = self.path / "figures"
        with atomic(folder / f"{name}.png") as temporary:
            figure.savefig(temporary, dpi=150)
        with atomic(folder / f"{name}.svg") as temporary:
            figure.savefig(temporary, transparent=True, metadata={"Date": None})
        write_json(folder / f"{name}.json", {"title": title, "alt": alt, "caption": caption})


def read_history(path: Path) -> list[dict[str, Any]]:
    """Read metrics.jsonl of the run at `path`; an unfinished last line is left out.

    Raises:
        InputError: The file is missing, or a line other than the last is damaged.
    """
    file = path / "metrics.jsonl"
    if not file.exists():
        raise InputError(f"{file} is missing.")
    lines = file.read_text(encoding="utf-8").split("\n")
    rows = []
    for number, line in enumerate(lines[:-1], 1):
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError as error:
            raise InputError(f"{file} is damaged in line {number} ({error}).") from None
    return rows


def append_history(path: Path, row: Mapping[str, Any]) -> None:
    """Append a line to metrics.jsonl and flush it to the disk."""
    with (path / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
        file.flush()
        os.fsync(file.fileno())


def truncate_history(path: Path, epochs: int) -> None:
    """Keep the first `epochs` lines of metrics.jsonl, which a resumed run writes on from."""
    file = path / "metrics.jsonl"
    lines = file.read_text(encoding="utf-8").split("\n")[:epochs] if file.exists() else []
    write_text(file, "".join(line + "\n" for line in lines))


def create(out: Path | None, name: str) -> Path:
    """Make the folder of a new run: `out`, or runs/NAME, numbered on if that is taken.

    Raises:
        InputError: `out` holds something already, or cannot be made.
    """
    if out is not None and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} is not empty; give another --out, or remove it.")
    try:
        if out is not None:
            out.mkdir(parents=True, exist_ok=True)
            return out
        base = Path("runs") / name
        base.parent.mkdir(exist_ok=True)
        for number in itertools.count(1):
            path = base if number == 1 else base.with_name(f"{name}-{number}")
            with contextlib.suppress(FileExistsError):
                path.mkdir()
                return path
    except OSError as error:
        raise InputError(
            f"cannot make the run directory {out or base} ({error.strerror}); give another --out."
        ) from None
    raise AssertionError


def write_weights(path: Path, weights: Mapping[str, Tensor]) -> None:
    """Write model.safetensors of the run at `path`."""
    from safetensors.torch import save_file

    with atomic(path / "model.safetensors") as temporary:
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}, temporary)


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read model.safetensors of the run at `path`.

    Raises:
        InputError: It is missing or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path / "model.safetensors")
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path / 'model.safetensors'} is damaged ({error}); train the run again.") from None


def write_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Write checkpoint/state.pt of the run at `path`: tensors and plain values only."""
    import torch

    with atomic(path / "checkpoint" / "state.pt") as temporary:
        torch.save(dict(state), temporary)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read checkpoint/state.pt of the unfinished run at `path`; nothing in it can run code.

    Raises:
        InputError: There is none, it is damaged, or the run is finished.
    """
    import torch

    file = path / "checkpoint" / "state.pt"
    if (path / "run.json").exists():
        raise InputError(f"the run at {path} is finished; there is nothing to resume.")
    if not file.exists():
        raise InputError(f"{file} is missing: expected an unfinished run, as `glassnet train` leaves one when stopped.")
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except (RuntimeError, OSError, EOFError, pickle.UnpicklingError) as error:
        raise InputError(f"{file} is damaged ({str(error).splitlines()[0]}); train the run again.") from None
