"""Files written whole or not at all: to a temporary name in the same folder, then renamed."""

import contextlib
import hashlib
import itertools
import json
import os
import platform
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from glassnet.errors import InputError

_HOST = hashlib.sha256(platform.node().encode()).hexdigest()[:8]
_SCRATCH = re.compile(r"\..*\.(?P<host>[0-9a-f]{8})-(?P<process>\d+)-\d+\.tmp")
_DAY_SECONDS = 24 * 3600
_counter = itertools.count()
_in_use: set[Path] = set()
"""Scratch folders of this process; one of its number that is not among them is of a dead process."""


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` that takes its name if the block ends well, and vanishes if not."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch()
        readable = temporary.stat().st_mode  # as the umask allows, where writers such as safetensors let nobody else in
        yield temporary
        temporary.chmod(readable)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise InputError(f"cannot write {path} ({error.strerror or error}); give another place or make room.") from None
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file whole or not at all; a NaN is refused, since JSON has none."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        InputError: The file is missing or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path} is missing.") from None
    except (json.JSONDecodeError, UnicodeDecodeError, OSError) as error:
        raise InputError(f"{path} is damaged ({error}); restore it or make it again.") from None


@contextlib.contextmanager
def scratch_folder(place: Path, name: str) -> Iterator[Path]:
    """Yield a new folder `.NAME.HOST-PROCESS-NUMBER.tmp` in `place`, which is gone when the block ends.

    What processes that were killed have left there is removed first.
    """
    folder = place / f".{name[:60]}.{_HOST}-{os.getpid()}-{next(_counter)}.tmp"
    _in_use.add(folder)
    try:
        for other in place.glob(".*.tmp"):
            if other not in _in_use and _is_left(other):
                shutil.rmtree(other, ignore_errors=True)
        folder.mkdir(parents=True)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        _in_use.discard(folder)


def _is_left(folder: Path) -> bool:
    """Tell whether a scratch folder is a dead process's; one of another computer cannot be asked and is given a day."""
    named = _SCRATCH.fullmatch(folder.name)
    if named is None:
        return False
    if named["host"] != _HOST:
        with contextlib.suppress(OSError):
            return time.time() - folder.stat().st_mtime > _DAY_SECONDS
        return False
    process = int(named["process"])
    if process == os.getpid():
        return True  # an earlier one had its number
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):  # another user's
        return False
    return False
