"""A run while it trains: its folder, its history, its weights and its checkpoint."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glassnet.errors import InputError
from glassnet.files import atomic, regular, require_apart, write_json, write_text

if TYPE_CHECKING:
    from torch import Tensor


def read_history(path: Path) -> list[dict[str, Any]]:
    """Read metrics.jsonl of the run at `path`; an unfinished last line is left out.

    Raises:
        InputError: The file is missing, or a line other than the last is damaged.
    """
    file = path / "metrics.jsonl"
    if not file.exists():
        raise InputError(f"{file} is missing.")
    lines = regular(file).read_bytes().split(b"\n")
    rows = []
    for number, line in enumerate(lines[:-1], 1):
        try:
            row = json.loads(line)
        except ValueError as error:
            raise InputError(f"{file} is damaged in line {number} ({error}).") from None
        if not isinstance(row, dict):
            raise InputError(f"{file} is damaged in line {number} (it holds no JSON object).")
        rows.append(row)
    return rows


def append_history(path: Path, row: Mapping[str, Any]) -> None:
    """Append a line to metrics.jsonl and flush it to the disk."""
    with (path / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(row, allow_nan=False) + "\n")
        file.flush()
        os.fsync(file.fileno())


def truncate_history(path: Path, epochs: int) -> None:
    """Keep the first `epochs` lines of metrics.jsonl, which a resumed run writes on from.

    Raises:
        InputError: It has fewer whole lines.
    """
    file = path / "metrics.jsonl"
    lines = file.read_text(encoding="utf-8", errors="replace").split("\n")[:-1] if file.exists() else []
    if len(lines) < epochs:
        raise InputError(f"{file} has {len(lines)} of {epochs} epochs; restore it or train the run again.")
    write_text(file, "".join(line + "\n" for line in lines[:epochs]))


def create(out: Path | None, name: str) -> Path:
    """Make the folder of a new run: `out`, or runs/NAME, numbered on if that is taken.

    Raises:
        InputError: `out` holds something already, or cannot be made.
    """
    try:
        if out is not None:
            if out.exists() and not out.is_dir():
                raise InputError(f"{out} is a file, expected a folder to make or an empty one; give another --out.")
            if out.exists() and any(out.iterdir()):
                raise InputError(f"{out} is not empty; give another --out, or remove it.")
            require_apart(out)
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


def write_manifest(path: Path, manifest: Mapping[str, Any]) -> None:
    """Write run.json of the run at `path`, which makes it a finished one."""
    write_json(path / "run.json", dict(manifest))


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
        saved = torch.load(regular(file), map_location="cpu", weights_only=True)
        return {key: saved[key] for key in ("settings", "started", "state")}
    except Exception as error:  # torch, zip and pickle each raise their own on damaged bytes
        raise InputError(f"{file} is damaged ({type(error).__name__}); train the run again.") from None
