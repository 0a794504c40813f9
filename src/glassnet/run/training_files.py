"""What a training writes: weights with their epoch and a digest that finds a single wrong bit, checkpoint, history.

A better epoch's weights are written to checkpoint/ first, then the checkpoint that names them, and then they take the
place of the old ones. So whenever the process is killed, the weights that the checkpoint names are there.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glassnet.errors import InputError
from glassnet.files import atomic, cannot_write, parse_json, regular, write_text

if TYPE_CHECKING:
    from torch import Tensor

FILE = "model.safetensors"
NEXT = f"checkpoint/{FILE}"
"""Weights that the next checkpoint names; they become model.safetensors after it."""


def write_weights(path: Path, weights: Mapping[str, Tensor], *, epoch: int | None = None, file: str = FILE) -> str:
    """Write the weights of the run at `path` and return their digest.

    Args:
        path: The run.
        weights: By parameter name.
        epoch: Which they are of; it goes into the file, with the digest.
        file: Where, below the run.

    Raises:
        WriteError: The disk refuses.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    about = {"digest": tensors_digest(whole)} | ({} if epoch is None else {"epoch": str(epoch)})
    with atomic(path / file) as temporary:
        try:
            save_file(whole, temporary, metadata=about)
        except SafetensorError as error:
            raise disk_error(temporary, error) from None
    return about["digest"]


def disk_error(path: Path, error: Exception) -> OSError:
    """Turn what a library made of a disk that refuses into an OSError that says why."""
    try:
        full = shutil.disk_usage(path.parent).free < 1 << 20 or "os error 28" in str(error)
    except OSError as also:
        return also
    code = errno.ENOSPC if full else errno.EIO
    return OSError(code, os.strerror(code))


def settle_weights(path: Path, digest: str | None) -> None:
    """Let the weights that the checkpoint names be model.safetensors; what a killed process wrote after it goes.

    Args:
        path: The run.
        digest: Of the best epoch's weights, as the checkpoint has it; None where no epoch is done, or an early version
            wrote it.

    Raises:
        InputError: There are no such weights.
        WriteError: The disk refuses.
    """
    ready, present = path / NEXT, path / FILE
    try:
        if digest is not None and ready.exists() and weights_about(ready).get("digest") == digest:
            ready.replace(present)
        ready.unlink(missing_ok=True)
    except OSError as error:
        raise cannot_write(present, error) from None
    if digest is not None and (not present.exists() or weights_about(present).get("digest") != digest):
        raise InputError(
            f"{present} does not hold the weights that the checkpoint of {path} names; restore it or train the run "
            "again."
        )


def weights_about(file: Path) -> dict[str, str]:
    """Read what a file of weights says of itself, its header alone: "digest", and "epoch" where it is known.

    Raises:
        InputError: The file is damaged.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="numpy") as opened:
            return dict(opened.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise _damaged(file, error) from None


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read the weights of the run at `path`, and compare them with the digest that they carry.

    Raises:
        InputError: The file is missing or damaged, or the weights are not finite.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    file = path / FILE
    about = weights_about(file)
    try:
        weights = load_file(file)
    except (SafetensorError, OSError) as error:
        raise _damaged(file, error) from None
    if about.get("digest", None) not in (None, tensors_digest(weights)):
        raise _damaged(file, "its checksum is wrong")
    for name, tensor in weights.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise InputError(f"{file} holds NaN or infinite numbers in {name}; train the run again.")
    return weights


def tensors_digest(tensors: Mapping[str, Tensor]) -> str:
    """Return a digest of tensors by name: names, shapes, types and every byte."""
    import torch

    digest = hashlib.blake2b(digest_size=16)
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def check_weights(path: Path, expected: Any) -> None:
    """Refuse a run whose weights are missing, cut, or of another epoch than run.json says; only their header is read.

    Args:
        path: The run.
        expected: What run.json says of them: epoch and digest; None for a run of an early version.

    Raises:
        InputError: They are.
    """
    file = path / FILE
    if not file.exists():
        raise InputError(f"{path} has no {FILE}; train the run again.")
    about = weights_about(file)
    if expected is None:
        return
    if (about.get("epoch"), about.get("digest")) != (str(expected["epoch"]), expected["digest"]):
        raise InputError(
            f"{file} does not hold the weights that {path / 'run.json'} names (it has epoch "
            f"{about.get('epoch', 'unknown')}, expected {expected['epoch']}); restore it or train the run again."
        )


def _damaged(file: Path, why: object) -> InputError:
    return InputError(f"{file} is damaged ({why}); train the run again.")


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


_FOLDER = 0x10
"""The bit by which a zip archive says that a member is a folder; no checksum covers it."""


def load_checkpoint(file: Path) -> dict[str, Any]:
    """Read a checkpoint after comparing its checksums; nothing in it can run code.

    Raises:
        InputError: It is damaged.
    """
    import torch

    try:
        archive = zipfile.ZipFile(regular(file))
        if (wrong := archive.testzip()) is not None:
            raise ValueError(f"the checksum of {wrong}")
        if any(member.external_attr & _FOLDER for member in archive.infolist()):
            raise ValueError("a folder in place of a tensor")  # torch would leave its memory as it was
        saved = torch.load(file, map_location="cpu", weights_only=True)
        return {key: saved[key] for key in ("settings", "started", "state")} | {
            key: saved[key] for key in ("data", "history", "reference", "teachers") if key in saved
        }
    except Exception as error:  # torch, zip and pickle each raise their own on damaged bytes
        raise InputError(f"{file} is damaged ({type(error).__name__}); train the run again.") from None


# metrics.jsonl


def read_history(path: Path) -> list[dict[str, Any]]:
    """Read metrics.jsonl of the run at `path`; an unfinished last line is left out.

    Raises:
        InputError: The file is missing, or a line other than the last is damaged: it is no object of finite numbers, or
            not that of the epoch whose place it has.
    """
    file = path / "metrics.jsonl"
    if not file.exists():
        raise InputError(f"{file} is missing; restore it or train the run again.")
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
        raise ValueError("it is not a JSON object")
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
        raise InputError(
            f"{file} is damaged (it differs from what the training wrote); restore it or train the run again."
        )
    write_text(file, "".join(line.decode() + "\n" for line in lines))
