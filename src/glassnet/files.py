"""Files written whole or not at all, to a temporary name that is then taken away; JSON with nothing but JSON in it."""

import contextlib
import errno
import hashlib
import itertools
import json
import math
import os
import platform
import re
import shutil
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from glassnet.errors import InputError

HOST = hashlib.sha256(platform.node().encode()).hexdigest()[:8]
"""Stands for this computer in names and files."""
_SCRATCH = re.compile(r"\..*\.(?P<host>[0-9a-f]{8})-(?P<process>\d+)-\d+\.tmp(\.\w+)?")
_SCRATCH_OF_BEFORE = re.compile(r"\..*\.\d+\.tmp(\.\w+)?|\.unpacking-\w{8}")
"""Temporary names of version 0.1, which do not say on which computer."""
_OF_A_RUN = frozenset(("run.json", "metrics.jsonl", "model.safetensors", "checkpoint", "analyses"))
_MARKS = ("run.json", "metrics.jsonl", "model.safetensors")
"""Any of these makes a folder a run."""
_OF_AN_OLD_RUN = frozenset(("attributions", "embeddings", "evaluation", "features", "figures"))
"""Folders of a run of version 0.1."""
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFREG: "a file",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
_DAY_SECONDS = 24 * 3600
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_counter = itertools.count()
_in_use: set[Path] = set()
"""Temporary names of this process; one of its number that is not among them is of a dead process."""
_swept: set[Path] = set()
"""Folders that this process has swept when it first wrote there."""


class WriteError(InputError):
    """A file that cannot be written: the disk is full or broken, or the place is not to be written to."""

    def __init__(self, problem: str, todo: str) -> None:
        """Take what is wrong, and what to do about it."""
        super().__init__(f"{problem}; {todo}.")
        self.problem = problem


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` that takes its name if the block ends well, and vanishes if not.

    Raises:
        WriteError: The disk refuses.
    """
    temporary = _temporary(path.parent, path.name, path.suffix)
    _in_use.add(temporary)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.parent not in _swept:
            _swept.add(path.parent)
            sweep_dead(path.parent)
        temporary.touch()
        readable = temporary.stat().st_mode  # as the umask allows, where writers such as safetensors let nobody else in
        yield temporary
        temporary.chmod(readable)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise cannot_write(path, error) from None
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        _in_use.discard(temporary)


def cannot_write(path: Path, error: OSError) -> WriteError:
    """Build the error for a file that the disk refuses."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    todo = "free some space, or choose another place" if full else "choose another place, or free some space"
    return WriteError(f"cannot write {path} ({error.strerror or error})", todo)


def may_write(folder: Path) -> bool:
    """Tell whether files can be made in a folder, or in the one that it will lie in."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)


def writable_target(
    path: str | os.PathLike[str], option: str = "--out", *, folder: bool = False, read_only: bool = False
) -> Path:
    """Return a path that the user names for an output, unless writing there would replace what is no output.

    Links are followed, of the path and of the folders above it.

    Args:
        path: The file or folder to write; it may be there already, and is then replaced or added to.
        option: What an error calls it.
        folder: Whether a folder is to be written, else a file.
        read_only: Whether a place that may only be read will do, as where what is kept is not needed.

    Raises:
        InputError: It is a device, a pipe or a socket, a file where a folder is expected or the other way round, or
            one of a run's own files; or nothing can have that name, or nobody may write there.
    """
    path = Path(path)
    expected = "folder" if folder else "file"
    try:
        kind = stat.S_IFMT(path.stat().st_mode)
    except FileNotFoundError:
        kind = None
    except (OSError, ValueError) as error:  # a loop of links, a file as a folder, a name too long, a zero byte
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{option} is {path}, which cannot be written ({reason}); give another {expected}.") from None
    if kind not in (None, stat.S_IFDIR if folder else stat.S_IFREG):
        raise InputError(f"{option} is {path}, which is {_KINDS.get(kind, 'not a file')}; expected a {expected}.")
    require_apart(path, option, expected)
    if not (read_only or may_write(path if folder else path.parent)):
        raise InputError(f"{option} is {path}, which you may not write to; give another {expected}.")
    return path


def require_apart(path: Path, option: str = "--out", expected: str = "folder") -> None:
    """Refuse an output that would be one of a run's own files, or lie in one of its own folders.

    Raises:
        InputError: It would.
    """
    for real in {Path(os.path.realpath(path)), Path(os.path.realpath(path.parent)) / path.name}:
        for run in real.parents:
            if _is_of_run(real.relative_to(run).parts[0], run):
                raise InputError(f"{option} is {path}, which belongs to the run {run}; give another {expected}.")


def _is_of_run(name: str, run: Path) -> bool:
    return name.lower() in _OF_A_RUN | _OF_AN_OLD_RUN and any((run / one).exists() for one in _MARKS)


def regular(path: Path) -> Path:
    """Return the path of a file to read, unless it is a pipe, a device or a folder, which would be waited for.

    Raises:
        InputError: It is; nothing is said of a path where nothing is.
    """
    with contextlib.suppress(FileNotFoundError):
        kind = stat.S_IFMT(path.stat().st_mode)
        if kind != stat.S_IFREG:
            what = _KINDS.get(kind, "not a file")
            raise InputError(f"{path} is damaged (it is {what}, expected a file); restore it or make it again.")
    return path


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all; a byte of a file's name that is no UTF-8 is written as in \\udcff."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file whole or not at all; a NaN is refused, since JSON has none."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path, *, remedy: str = "restore it or make it again") -> Any:
    """Read a JSON file; what it holds can be written again as JSON in UTF-8.

    Args:
        path: The file.
        remedy: What to do where it is damaged.

    Raises:
        InputError: The file is missing or is not JSON.
    """
    regular(path)
    try:
        return parse_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path} is missing.") from None
    except (ValueError, OSError) as error:
        raise InputError(f"{path} is damaged ({error}); {remedy}.") from None


def parse_json(text: str | bytes) -> Any:
    """Read JSON, and nothing that only looks like it.

    Raises:
        ValueError: It is not JSON, or has what nothing can be done with: numbers that are not finite or too long,
            of digits, halves of characters, nesting without end.
    """
    text = text if isinstance(text, str) else text.decode("utf-8")
    try:
        value = json.loads(text, parse_constant=_refuse, parse_float=_finite, parse_int=_short)
        if _SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except RecursionError:
        raise ValueError("its values are nested too deeply") from None
    except UnicodeEncodeError:
        raise ValueError("a text in it holds half a character") from None
    return value


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a JSON number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text[:20]} is too large")
    return value


def _short(text: str) -> int:
    if len(text) > 20:
        raise ValueError(f"a whole number in it has {len(text):,} digits")
    return int(text)


@contextlib.contextmanager
def scratch_folder(place: Path, name: str) -> Iterator[Path]:
    """Yield a new folder `.NAME.HOST-PROCESS-NUMBER.tmp` in `place`, which is gone when the block ends.

    What processes that were killed have left there is removed first.
    """
    folder = _temporary(place, name, "")
    _in_use.add(folder)
    try:
        sweep_dead(place)
        folder.mkdir(parents=True)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        _in_use.discard(folder)


def sweep_dead(folder: Path) -> list[str]:
    """Remove the temporary files and folders that killed processes of this computer left in a folder, and name them."""
    swept = []
    for path in (*folder.glob(".*.tmp*"), *folder.glob(".unpacking-*")):
        if path not in _in_use and is_left(path):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                with contextlib.suppress(OSError):
                    path.unlink()
            swept.append(path.name)
    return swept


def is_left(path: Path) -> bool:
    """Tell whether a temporary name is a dead process's; one of another computer cannot be asked and is given a day."""
    named = _SCRATCH.fullmatch(path.name)
    if named is not None and named["host"] == HOST:
        process = int(named["process"])
        return process == os.getpid() or not is_alive(process)  # of this process's number, an earlier one had it
    if named is None and not _SCRATCH_OF_BEFORE.fullmatch(path.name):
        return False
    with contextlib.suppress(OSError):
        return time.time() - path.lstat().st_mtime > _DAY_SECONDS
    return False


def is_alive(process: int) -> bool:
    """Tell whether a process of this computer is running."""
    if sys.platform == "win32":  # where a signal of 0 is no question, but Ctrl-C
        import psutil

        return bool(psutil.pid_exists(process))
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # another user's
        return True
    return True


def _temporary(place: Path, name: str, suffix: str) -> Path:
    return place / f".{name[:60]}.{HOST}-{os.getpid()}-{next(_counter)}.tmp{suffix}"


def allocate(path: Path, size: int) -> None:
    """Make a file so long and reserve its blocks, so that a full disk is noticed before the work."""
    with path.open("ab") as file:
        if file.tell() >= size:
            return
        os.ftruncate(file.fileno(), size)
        if hasattr(os, "posix_fallocate"):
            try:
                os.posix_fallocate(file.fileno(), 0, size)
            except OSError as error:
                if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):  # of a file system that cannot reserve
                    raise
