"""One process trains a run at a time: a lock that names its owner, and is free again however the owner ends."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from glassnet.errors import InputError
from glassnet.files import HOST, cannot_write, is_alive, parse_json

FILE = "owner.json"
"""Below checkpoint/: who trains the run."""


@contextlib.contextmanager
def training_lock(path: Path) -> Iterator[None]:
    """Hold the lock of the run at `path`, which no other process then trains.

    The system gives the lock up when the owner ends, in whatever way; where a file system has no locks, the owner that
    the file names is asked whether it lives: process, computer, and when the process began, as numbers are used again.

    Raises:
        InputError: Another process trains the run.
        WriteError: The disk refuses.
    """
    file = path / "checkpoint" / FILE
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
    file = path / "checkpoint" / FILE
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
                    os.pwrite(handle, json.dumps(_myself()).encode(), 0)
                    return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def _locked(handle: int) -> bool:
    """Lock an open file; False where another holds it, True also where there are no locks."""
    try:
        import fcntl
    except ImportError:  # Windows
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # some network file systems have none
        return True
    return True


def _read(handle: int) -> dict[str, Any]:
    try:
        owner = parse_json(os.pread(handle, 10_000, 0))
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
    return f"the run at {run} is being trained by {who}{since}; wait until it is done, or end that process."
