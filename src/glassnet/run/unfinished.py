"""A run while it trains: its folder, and the one process that trains it."""

from __future__ import annotations

import contextlib
import importlib
import itertools
import json
import os
import platform
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from glassnet.console import say
from glassnet.errors import InputError
from glassnet.files import HOST, cannot_write, is_alive, parse_json, require_apart, sweep_dead, write_json
from glassnet.run.training_files import load_checkpoint

OWNER = "owner.json"
"""Below checkpoint/: who trains the run."""
_LOCKED_BYTE = 1 << 30


def create(out: Path | None, name: str) -> Path:
    """Make the folder of a new run: `out`, or runs/NAME, numbered on if that is taken.

    A folder with nothing in it but what a training left that was killed before its first checkpoint is taken, too.

    Raises:
        InputError: `out` holds something already, or cannot be made.
    """
    try:
        if out is not None:
            if out.exists() and not out.is_dir():
                raise InputError(f"{out} is a file, expected a new or empty folder; give another --out.")
            if out.exists() and not _is_empty(out):
                raise InputError(f"{out} is not empty; give another --out, or remove the folder.")
            require_apart(out)
            out.mkdir(parents=True, exist_ok=True)
            return out
        base = Path("runs") / name
        base.parent.mkdir(exist_ok=True)
        for number in itertools.count(1):
            path = base if number == 1 else base.with_name(f"{name}-{number}")
            if (path / "checkpoint" / OWNER).exists() and _is_empty(path):
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
    say(f"the training in {path} was stopped before its first checkpoint; starting again")
    for file in (path / "checkpoint").iterdir():
        if file.name != OWNER:  # which the next owner takes as it lies there
            file.unlink()
    return True


def holds_only_a_start(path: Path) -> bool:
    """Tell whether a folder holds nothing but what a training made before its first checkpoint, and is dead."""
    below = path / "checkpoint"
    if not below.is_dir() or below.is_symlink() or any(file != below for file in path.iterdir()):
        return False
    return all(_is_of_a_start(file) for file in below.iterdir()) and is_free(path)


def _is_of_a_start(file: Path) -> bool:
    return file.is_file() and (file.name == OWNER or (file.name.startswith(".state.pt.") and ".tmp" in file.name))


def discard_start(path: Path) -> None:
    """Remove the folder of a run that could not write its first checkpoint."""
    shutil.rmtree(path, ignore_errors=True)


def write_manifest(path: Path, manifest: Mapping[str, Any]) -> None:
    """Write run.json of the run at `path`, which makes it a finished one."""
    write_json(path / "run.json", dict(manifest))


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read checkpoint/state.pt of the unfinished run at `path`; nothing in it can run code.

    Raises:
        InputError: There is none, it is damaged, or the run is finished.
    """
    file = path / "checkpoint" / "state.pt"
    if (path / "run.json").exists():
        _leave_finished(path)
        raise InputError(f"the run at {path} is finished; there is nothing to resume.")
    if not file.exists():
        if holds_only_a_start(path):
            raise InputError(
                f"the run at {path} was stopped before its first checkpoint; run the command that started it again."
            )
        raise InputError(f"{file} is missing; expected an unfinished run of `glassnet train`.")
    return load_checkpoint(file)


def _leave_finished(path: Path) -> None:
    """Remove what a process left that was killed between its last file and its end."""
    with contextlib.suppress(OSError):
        if is_free(path):
            (path / "checkpoint" / OWNER).unlink(missing_ok=True)
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


# One process trains a run at a time: a lock that names its owner, and is free again however the owner ends


@contextlib.contextmanager
def training_lock(path: Path) -> Iterator[None]:
    """Hold the lock of the run at `path`, which no other process then trains.

    The system gives the lock up when the owner ends, in whatever way; where a file system has no locks, the owner that
    the file names is asked whether it lives: process, computer, and when the process began, as numbers are used again.

    Raises:
        InputError: Another process trains the run.
        WriteError: The disk refuses.
    """
    file = path / "checkpoint" / OWNER
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handle = _taken(file)
    except OSError as error:
        raise cannot_write(file, error) from None
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            file.unlink()  # before the lock is given up: who comes next makes a file anew
        os.close(handle)


def is_free(path: Path) -> bool:
    """Tell whether no living process trains the run at `path`; nothing is changed."""
    file = path / "checkpoint" / OWNER
    try:
        handle = os.open(file, os.O_RDWR)
    except OSError:
        return True
    try:
        return _locked(handle) and not _lives(_read(handle))
    finally:
        os.close(handle)


def _taken(file: Path) -> int:
    """Open the file, lock it and put our name into it; again where its owner has removed it meanwhile."""
    while True:
        handle = os.open(file, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o644)
        try:
            locked, owner = _locked(handle), _read(handle)
            if not locked or _lives(owner):
                raise InputError(_occupied(file, owner))
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(handle), file.stat()):
                    os.ftruncate(handle, 0)
                    os.lseek(handle, 0, os.SEEK_SET)
                    os.write(handle, json.dumps(_myself()).encode())
                    return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def _locked(handle: int) -> bool:
    """Lock an open file; False where another holds it, True also where there are no locks."""
    try:
        import fcntl
    except ImportError:
        return _byte_locked(handle)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # some network file systems have none
        return True
    return True


def _byte_locked(handle: int) -> bool:
    """Lock a byte far behind what an open file holds, the way of Windows, where the rest stays readable."""
    msvcrt: Any = importlib.import_module("msvcrt")
    os.lseek(handle, _LOCKED_BYTE, os.SEEK_SET)
    try:
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
    except OSError:
        return False
    return True


def _read(handle: int) -> dict[str, Any]:
    try:
        os.lseek(handle, 0, os.SEEK_SET)
        owner = parse_json(os.read(handle, 10_000))
    except (OSError, ValueError):  # new, or killed while it wrote
        return {}
    return owner if isinstance(owner, dict) else {}


def _myself() -> dict[str, Any]:
    now = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    return {"process": os.getpid(), "began": _began(os.getpid()), "computer": platform.node(), "host": HOST, "at": now}


def _lives(owner: dict[str, Any]) -> bool:
    """Tell whether an owner is another process of this computer that runs; of other computers, only locks tell."""
    process = owner.get("process")
    if owner.get("host") != HOST or type(process) is not int or process in (0, os.getpid()) or not is_alive(process):
        return False
    return owner.get("began") in (None, _began(process))


def _began(process: int) -> str | None:
    """Return when a process began, in ticks since the computer did; None where the system does not tell."""
    try:
        about = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return None
    return about.rpartition(")")[2].split()[19]


def _occupied(file: Path, owner: dict[str, Any]) -> str:
    run = file.parent.parent
    who = f"process {owner['process']} on {owner.get('computer')}" if "process" in owner else "another process"
    since = f" since {owner['at']}" if "at" in owner else ""
    return f"the run at {run} is being trained by {who}{since}; wait until it finishes, or stop that process."
