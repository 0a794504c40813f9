"""A run while it trains: its folder, its history and its checkpoint."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import itertools
import json
import os
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from glassnet.console import say
from glassnet.errors import InputError
from glassnet.files import atomic, cannot_write, parse_json, regular, require_apart, sweep_dead, write_json, write_text
from glassnet.run import lock
from glassnet.run.weights import disk_error


def read_history(path: Path) -> list[dict[str, Any]]:
    """Read metrics.jsonl of the run at `path`; an unfinished last line is left out.

    Raises:
        InputError: The file is missing, or a line other than the last is damaged: it is no object of finite numbers, or
            not that of the epoch whose place it has.
    """
    file = path / "metrics.jsonl"
    if not file.exists():
        raise InputError(f"{file} is missing.")
    return _rows(file, _lines(file))


def _lines(file: Path) -> list[bytes]:
    """Return the whole lines; none where there is no file."""
    return regular(file).read_bytes().split(b"\n")[:-1] if file.exists() else []


def _rows(file: Path, lines: Sequence[bytes]) -> list[dict[str, Any]]:
    rows = []
    for number, line in enumerate(lines, 1):
        try:
            rows.append(_row(line, number))
        except ValueError as error:
            raise InputError(
                f"{file} is damaged in line {number} ({error}); restore it or train the run again."
            ) from None
    return rows


def _row(line: bytes, number: int) -> dict[str, Any]:
    row = parse_json(line)
    if not isinstance(row, dict):
        raise ValueError("it holds no JSON object")
    for key, value in row.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"{key} is {json.dumps(value)[:50]}, expected a number")
    if row.get("epoch") != number:
        raise ValueError(f"it holds epoch {row.get('epoch')}, expected {number}")
    return row


def append_history(path: Path, row: Mapping[str, Any]) -> None:
    """Append a line to metrics.jsonl and flush it to the disk; where the disk refuses, the file stays as it was.

    Raises:
        WriteError: The disk refuses.
    """
    file_path = path / "metrics.jsonl"
    line = (json.dumps(row, allow_nan=False) + "\n").encode()
    try:
        with file_path.open("ab", buffering=0) as file:
            before = file.tell()
            try:
                if file.write(line) < len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fsync(file.fileno())
            except OSError:
                file.truncate(before)
                raise
    except OSError as error:
        raise cannot_write(file_path, error) from None


def history_digest(path: Path) -> str:
    """Return a digest of metrics.jsonl, by which a resumed run knows its own."""
    return _digest_of_lines(_lines(path / "metrics.jsonl"))


def _digest_of_lines(lines: Sequence[bytes]) -> str:
    return hashlib.blake2b(b"".join(line + b"\n" for line in lines), digest_size=16).hexdigest()


def truncate_history(path: Path, epochs: int, digest: str | None = None) -> None:
    """Keep the first `epochs` lines of metrics.jsonl, which a resumed run writes on from.

    Args:
        path: The run.
        epochs: Epochs that are done.
        digest: `history_digest` of these epochs, where the checkpoint has one.

    Raises:
        InputError: It has fewer whole lines, one of them is damaged, or they are not those that were written.
    """
    file = path / "metrics.jsonl"
    lines = _lines(file)[:epochs]
    _rows(file, lines)
    if len(lines) < epochs:
        raise InputError(f"{file} has {len(lines)} of {epochs} epochs; restore it or train the run again.")
    if digest not in (None, _digest_of_lines(lines)):
        raise InputError(f"{file} is damaged (it is not what the training wrote); restore it or train the run again.")
    write_text(file, "".join(line.decode() + "\n" for line in lines))


def create(out: Path | None, name: str) -> Path:
    """Make the folder of a new run: `out`, or runs/NAME, numbered on if that is taken.

    A folder with nothing in it but what a training left that was killed before its first checkpoint is taken, too.

    Raises:
        InputError: `out` holds something already, or cannot be made.
    """
    try:
        if out is not None:
            if out.exists() and not out.is_dir():
                raise InputError(f"{out} is a file, expected a folder to make or an empty one; give another --out.")
            if out.exists() and not _is_empty(out):
                raise InputError(f"{out} is not empty; give another --out, or remove it.")
            require_apart(out)
            out.mkdir(parents=True, exist_ok=True)
            return out
        base = Path("runs") / name
        base.parent.mkdir(exist_ok=True)
        for number in itertools.count(1):
            path = base if number == 1 else base.with_name(f"{name}-{number}")
            if (path / "checkpoint" / lock.FILE).exists() and _is_empty(path):
                return path
            with contextlib.suppress(FileExistsError):
                path.mkdir()
                return path
    except OSError as error:
        raise InputError(
            f"cannot make the run directory {out or base} ({error.strerror}); give another --out."
        ) from None
    raise AssertionError


def _is_empty(path: Path) -> bool:
    """Tell whether a folder is empty, but for the start of a training that was killed, which is cleared away."""
    sweep_dead(path)
    if not holds_only_a_start(path):
        return not any(path.iterdir())
    say(f"{path} holds a training that was stopped before its first checkpoint; it begins anew")
    for file in (path / "checkpoint").iterdir():
        if file.name != lock.FILE:  # which the next owner takes as it lies there
            file.unlink()
    return True


def holds_only_a_start(path: Path) -> bool:
    """Tell whether a folder holds nothing but what a training made before its first checkpoint, and is dead."""
    below = path / "checkpoint"
    if not below.is_dir() or below.is_symlink() or any(file != below for file in path.iterdir()):
        return False
    return all(_is_of_a_start(file) for file in below.iterdir()) and lock.is_free(path)


def _is_of_a_start(file: Path) -> bool:
    return file.is_file() and (file.name == lock.FILE or (file.name.startswith(".state.pt.") and ".tmp" in file.name))


def discard_start(path: Path) -> None:
    """Remove the folder of a run that could not write its first checkpoint."""
    shutil.rmtree(path, ignore_errors=True)


def write_manifest(path: Path, manifest: Mapping[str, Any]) -> None:
    """Write run.json of the run at `path`, which makes it a finished one."""
    write_json(path / "run.json", dict(manifest))


def write_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Write checkpoint/state.pt of the run at `path`: tensors and plain values, each with a checksum (CRC-32).

    Raises:
        WriteError: The disk refuses.
    """
    import torch

    with atomic(path / "checkpoint" / "state.pt") as temporary:
        try:
            torch.save(dict(state), temporary)
        except RuntimeError as error:  # torch's writer says "enforce fail at inline_container.cc"
            raise disk_error(temporary, error) from None


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read checkpoint/state.pt of the unfinished run at `path`; nothing in it can run code.

    Raises:
        InputError: There is none, it is damaged, or the run is finished.
    """
    import torch

    file = path / "checkpoint" / "state.pt"
    if (path / "run.json").exists():
        _leave_finished(path)
        raise InputError(f"the run at {path} is finished; there is nothing to resume.")
    if not file.exists():
        if holds_only_a_start(path):
            raise InputError(
                f"the run at {path} was stopped before its first checkpoint; give the command that began it again."
            )
        raise InputError(f"{file} is missing: expected an unfinished run, as `glassnet train` leaves one when stopped.")
    try:
        if (wrong := zipfile.ZipFile(regular(file)).testzip()) is not None:
            raise ValueError(f"the checksum of {wrong}")
        saved = torch.load(file, map_location="cpu", weights_only=True)
        return {key: saved[key] for key in ("settings", "started", "state")} | {
            key: saved[key] for key in ("data", "history") if key in saved
        }
    except Exception as error:  # torch, zip and pickle each raise their own on damaged bytes
        raise InputError(f"{file} is damaged ({type(error).__name__}); train the run again.") from None


def _leave_finished(path: Path) -> None:
    """Remove what a process left that was killed between its last file and its end."""
    with contextlib.suppress(OSError):
        if lock.is_free(path):
            (path / "checkpoint" / lock.FILE).unlink(missing_ok=True)
        sweep(path)


def checkpoint_stamp(path: Path) -> tuple[int, int] | None:
    """Return what changes when another checkpoint is written, or the run is finished; None where there is none."""
    try:
        about = (path / "checkpoint" / "state.pt").stat()
    except OSError:
        return None
    return (-1, -1) if (path / "run.json").exists() else (about.st_ino, about.st_mtime_ns)


def sweep(path: Path) -> None:
    """Remove the temporary files that killed processes left in a run."""
    for folder in (path, path / "checkpoint"):
        sweep_dead(folder)
