"""A network of the user's own code: path/net.py:make. The file runs as it is, which is said."""

from __future__ import annotations

import copy
import hashlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from glassnet.console import say
from glassnet.errors import InputError
from glassnet.models.references.base import Reference, Wanted, digest_of, sizes_of
from glassnet.models.references.sources import forget, importing_from, own_files
from glassnet.models.references.weights import put_weights

_GATHERED = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_RAN: dict[Path, tuple[str, ModuleType]] = {}
"""Files that were run, each with the digest of all that it was made of then."""


def load(text: str, wanted: Wanted) -> Reference:
    """Run the file and call the factory that `file.py:factory` names.

    The factory is given `num_classes`, `in_channels` and `image_size`, those of them that it takes and that are known.
    It may also be a network that is ready. A file is run once in a process, whatever is made of it, and again where it,
    or a file of its folder that it imports, has changed. The source is the digest of all these files.

    Raises:
        InputError: There is no such file or factory, the code fails, it needs other arguments, what it gives is no
            `nn.Module`, or the weights do not fit.
    """
    path, factory = _split(text)
    files = own_files(path)
    source = digest_of(files)
    with _explained(text, files):
        make = _found(_run(path, source), factory)
        network = _made(make, text, wanted)
    if not isinstance(network, nn.Module):
        raise InputError(f"{text} returns {_what(network)}, expected a torch.nn.Module; make it return the network.")
    name = short_name(text)
    weights = wanted.weights and put_weights(network, wanted.weights, name=name)
    usual = _defaults(make)
    return Reference(
        text=f"{path}:{factory}",
        name=name,
        module=network,
        source=source,
        weights=weights or None,
        image_size=usual.get("image_size"),
        in_channels=usual.get("in_channels"),
    )


def image_size_of(text: str) -> int | None:
    """Return the image size that the factory takes where none is given; None where it takes none.

    Raises:
        InputError: There is no such file or factory, or the code fails.
    """
    path, factory = _split(text)
    files = own_files(path)
    with _explained(text, files):
        return _defaults(_found(_run(path, digest_of(files)), factory)).get("image_size")


def _split(text: str) -> tuple[Path, str]:
    file, _, factory = text.rpartition(":")
    path = Path(file).expanduser()
    if not path.is_file():
        raise InputError(f"{file} does not exist; expected a Python file, as in net.py:make.")
    return path.resolve(), factory


def _what(value: object) -> str:
    return "None" if value is None else f"a value of type {type(value).__name__}"


def short_name(text: str) -> str:
    """Return net:make for path/net.py:make."""
    file, _, factory = text.rpartition(":")
    return f"{Path(file).stem}:{factory}"


def _run(path: Path, source: str) -> ModuleType:
    """Run a file, or return what it was when it was run with the same content."""
    if path in _RAN and _RAN[path][0] == source:
        return _RAN[path][1]
    if path in _RAN:
        forget(path.parent)
    # A name of its own, under which dataclasses and pickles find it, and which hides no other module.
    name = f"{path.stem}_{hashlib.sha256(f'{path}{source}'.encode('utf-8', 'surrogateescape')).hexdigest()[:12]}"
    specification = importlib.util.spec_from_file_location(name, path)
    assert specification is not None
    assert specification.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(specification)
    say(f"running {path}")
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)  # a network that is made while the file runs has the same weights each time
            specification.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    _RAN[path] = source, module
    return module


@contextmanager
def _explained(text: str, files: list[Path]) -> Iterator[None]:
    """Let the user's code import from its folder, and turn what it raises into a sentence with the line.

    Raises:
        InputError: It raised something.
    """
    try:
        with importing_from(files[0].parent, files):
            yield
    except InputError:
        raise
    except (Exception, SystemExit) as error:  # the user's own code, which may raise anything, or end the process
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame for frame in frames if Path(frame.filename).resolve() in files]
        where = f" in line {lines[-1].lineno}" if lines else ""
        other = f" of {Path(lines[-1].filename).name}" if lines and Path(lines[-1].filename) != files[0] else ""
        words = " ".join(str(error).split())[:300]
        raise InputError(
            f"{text} failed{where}{other} with {type(error).__name__}{f': {words}' if words else ''}; correct the file."
        ) from error


def _found(module: ModuleType, factory: str) -> Any:
    make = getattr(module, factory, None)
    if make is None:
        own = [key for key, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__]
        raise InputError(
            f"{module.__file__} has no '{factory}', expected a function that makes the network; the file defines "
            f"{', '.join(own) or 'nothing'}."
        )
    return make


def _made(make: Any, text: str, wanted: Wanted) -> object:
    """Call the factory, or take a copy of what it is where it is a network itself."""
    if isinstance(make, nn.Module):
        return copy.deepcopy(make)  # the file runs once, and two users of it each change their own
    if not callable(make):
        return make
    takes = _parameters(make)
    given = {name: value for name, value in sizes_of(wanted).items() if name in takes}
    needed = [name for name, one in takes.items() if _must_be_given(one) and name not in given]
    if needed:
        sizes = [name for name in needed if name in ("num_classes", "in_channels", "image_size")]
        if sizes == needed:
            options = " and ".join(f"--{name.replace('_', '-')}" for name in sizes)
            raise InputError(f"{text} needs {', '.join(needed)}; give {options}.")
        raise InputError(
            f"{text} needs {', '.join(needed)}; expected a function without required arguments other than "
            "num_classes, in_channels and image_size."
        )
    return make(**given)


def _parameters(make: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    """Return the parameters of a factory by name; a builtin tells none."""
    try:
        return inspect.signature(make).parameters
    except ValueError:
        return {}


def _must_be_given(parameter: inspect.Parameter) -> bool:
    return parameter.default is inspect.Parameter.empty and parameter.kind not in _GATHERED


def _defaults(make: Any) -> dict[str, int]:
    """Return the sizes that a factory takes where none are given."""
    if isinstance(make, nn.Module) or not callable(make):
        return {}
    usual = {name: one.default for name, one in _parameters(make).items() if name in ("image_size", "in_channels")}
    return {name: value for name, value in usual.items() if type(value) is int}
