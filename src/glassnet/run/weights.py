"""A run's weights: model.safetensors, with the epoch they are of and a digest that finds a single wrong bit.

A better epoch's weights are written to checkpoint/ first, then the checkpoint that names them, and then they take the
place of the old ones. So whenever the process is killed, the weights that the checkpoint names are there.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glassnet.errors import InputError
from glassnet.files import atomic, cannot_write

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
        raise InputError(f"{present} is not what the checkpoint of {path} names; restore it or train the run again.")


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
            raise InputError(f"{file} holds numbers in {name} that are not finite; train the run again.")
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
            f"{file} holds other weights than {path / 'run.json'} names (of epoch {about.get('epoch', 'unknown')}, "
            f"expected {expected['epoch']}); restore it or train the run again."
        )


def _damaged(file: Path, why: object) -> InputError:
    return InputError(f"{file} is damaged ({why}); train the run again.")
