"""A run's files on their way to another machine, in an order in which a death halfway leaves a run that resumes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from glassnet.files import atomic, write_text
from glassnet.run.training_files import FILE, NEXT
from glassnet.run.unfinished import OWNER, sweep

STATE, MANIFEST = "checkpoint/state.pt", "run.json"
_LAST = (NEXT, "metrics.jsonl", STATE, FILE, MANIFEST)
"""After all else: weights, history, the checkpoint that names both, and last what makes the run a finished one."""

Stamps = dict[str, tuple[int, int, int]]
"""What changes with a file, by its path below the run."""


def changed_files(path: Path, before: Stamps | None = None) -> tuple[dict[str, bytes], Stamps]:
    """Read the files of the run at `path` that are not as they were, while no process writes there.

    Args:
        path: The run.
        before: Stamps of the files that are known already.

    Returns:
        The content of each by its path below the run, and the stamps of all files.
    """
    files: dict[str, bytes] = {}
    stamps: Stamps = {}
    for file in sorted(path.rglob("*")):
        name = file.relative_to(path).as_posix()
        if not file.is_file() or file.name == OWNER or (file.name.startswith(".") and ".tmp" in file.name):
            continue
        about = file.stat()
        stamps[name] = (about.st_ino, about.st_mtime_ns, about.st_size)
        if (before or {}).get(name) != stamps[name]:
            files[name] = file.read_bytes()
    return files, stamps


def write_files(path: Path, files: Mapping[str, bytes]) -> None:
    """Write files of a run that came from elsewhere; killed at any moment, the run at `path` can be resumed.

    New weights wait in checkpoint/ for the checkpoint that names them, as a training leaves them.

    Raises:
        WriteError: The disk refuses.
    """
    rest = {name: content for name, content in files.items() if name not in _LAST}
    ordered = rest | {name: files[name] for name in _LAST if name in files}
    if FILE in ordered:
        ordered = rest | {NEXT: ordered[FILE]} | {name: one for name, one in ordered.items() if name not in rest}
    for name, content in ordered.items():
        if name == FILE:
            (path / NEXT).replace(path / FILE)
        elif name == MANIFEST:
            write_text(path / MANIFEST, _at_home(content, path))
        else:
            with atomic(path / name) as temporary:
                temporary.write_bytes(content)
    if MANIFEST in files:
        sweep(path)


def _at_home(manifest: bytes, path: Path) -> str:
    """Let a manifest name the folder that the run has come to."""
    values = json.loads(manifest)
    values["settings"]["out"] = str(path)
    return json.dumps(values, indent=1, ensure_ascii=False) + "\n"
