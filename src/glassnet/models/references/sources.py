"""The Python files that a network of the user's own is made of: the one named, and what it imports beside it."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

_IMPORTED: dict[Path, dict[str, ModuleType]] = {}
"""Modules that networks' files imported from their folder, by name, for each folder."""


def own_files(file: Path) -> list[Path]:
    """List a file, and those of its folder that it imports, and that these import, wherever in them.

    A file that is no Python is listed alone: running it says why.
    """
    todo, files = [file], [file]
    while todo:
        for imported in _imported_by(todo.pop(), file.parent):
            if imported not in files:
                files.append(imported)
                todo.append(imported)
    return files


def _imported_by(file: Path, folder: Path) -> Iterator[Path]:
    """Yield the files of a folder that one of them imports."""
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for one in node.names:
                yield from _files_of(folder, one.name)
        elif isinstance(node, ast.ImportFrom):
            start = file.parents[node.level - 1] if node.level else folder
            for one in node.names:
                yield from _files_of(start, f"{node.module}.{one.name}" if node.module else one.name)


def _files_of(folder: Path, name: str) -> Iterator[Path]:
    """Yield the files that are run for `import a.b.c`: each package's, and the last one's, which may be no module."""
    place = folder
    for part in name.split("."):
        place = place / part
        yield from (one for one in (place / "__init__.py", place.with_name(f"{part}.py")) if one.is_file())


@contextmanager
def importing_from(folder: Path, files: list[Path]) -> Iterator[None]:
    """Let code import from its folder, and get that folder's modules where another folder's have the same names.

    Two networks may each come with a blocks.py; Python would give the second one the blocks of the first. No bytecode
    is written: it would litter the user's folder, and hide a change made within the same second.
    """
    names = {one.relative_to(folder).parts[0].removesuffix(".py") for one in files[1:] if one.is_relative_to(folder)}
    others = {name: one for name, one in _modules(names).items() if not _lies_in(one, folder)}
    for name in others:
        del sys.modules[name]
    sys.modules.update(_IMPORTED.get(folder, {}))
    sys.path.insert(0, str(folder))
    writes, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    finally:
        sys.dont_write_bytecode = writes
        sys.path.remove(str(folder))
        _IMPORTED[folder] = _modules(names)
        if others:  # else they stay, for what the network imports when it runs
            for name in _IMPORTED[folder]:
                del sys.modules[name]
            sys.modules.update(others)


def forget(folder: Path) -> None:
    """Have the modules of a folder be run anew at the next import, since a file is another by now."""
    for name, module in _IMPORTED.pop(folder, {}).items():
        if sys.modules.get(name) is module:
            del sys.modules[name]


def _modules(names: set[str]) -> dict[str, ModuleType]:
    return {name: one for name, one in sys.modules.items() if name.partition(".")[0] in names}


def _lies_in(module: ModuleType, folder: Path) -> bool:
    places = [getattr(module, "__file__", None), *getattr(module, "__path__", [])]
    return any(Path(place).resolve().is_relative_to(folder) for place in places if place)
