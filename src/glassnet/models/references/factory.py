"""A network of the user's own code: path/net.py:make. The file runs as it is, which is said."""

from __future__ import annotations

import copy
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from glassnet.console import say
from glassnet.errors import InputError
from glassnet.models.references.base import Reference, Wanted, digest_of, sizes_of
from glassnet.models.references.weights import put_weights

_GATHERED = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def load(text: str, wanted: Wanted) -> Reference:
    """Run the file and call the factory that `file.py:factory` names.

    The factory is given `num_classes`, `in_channels` and `image_size`, those of them that it takes and that are known.
    It may also be a network that is ready. A file is run once in a process, whatever is made of it.

    Raises:
        InputError: There is no such file or factory, the code fails, it needs other arguments, what it gives is no
            `nn.Module`, or the weights do not fit.
    """
    path, factory = _split(text)
    source = digest_of([path])
    with _explained(text, path):
        make = _found(_run(path.resolve(), source), factory)
        network = _made(make, text, wanted)
    if not isinstance(network, nn.Module):
        raise InputError(f"{text} gives a value of type {type(network).__name__}, expected a torch.nn.Module.")
    name = short_name(text)
    weights = wanted.weights and put_weights(network, wanted.weights, name=name)
    usual = _defaults(make)
    return Reference(
        text=f"{path.resolve()}:{factory}",
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
    with _explained(text, path):
        return _defaults(_found(_run(path.resolve(), digest_of([path])), factory)).get("image_size")


def _split(text: str) -> tuple[Path, str]:
    file, _, factory = text.rpartition(":")
    path = Path(file).expanduser()
    if not path.is_file():
        raise InputError(f"{file} does not exist; expected a Python file, as in net.py:make.")
    return path, factory


def short_name(text: str) -> str:
    """Return net:make for path/net.py:make."""
    file, _, factory = text.rpartition(":")
    return f"{Path(file).stem}:{factory}"


@lru_cache(maxsize=8)
def _run(path: Path, _source: str) -> ModuleType:
    """Run a file, with its folder among those that it imports from; again where its content is another."""
    specification = importlib.util.spec_from_file_location(path.stem, path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    say(f"running {path}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # a network that is made while the file runs has the same weights each time
        specification.loader.exec_module(module)
    return module


@contextmanager
def _explained(text: str, path: Path) -> Iterator[None]:
    """Let the user's code import from its folder, and turn what it raises into a sentence with the line."""
    sys.path.insert(0, str(path.parent.resolve()))
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # the user's own code, which may raise anything
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if Path(frame.filename).resolve() == path.resolve()]
        where = f" in line {lines[-1]}" if lines else ""
        raise InputError(
            f"{text} failed{where} with {type(error).__name__}: {' '.join(str(error).split())[:300]}; mend the file."
        ) from error
    finally:
        sys.path.pop(0)


def _found(module: ModuleType, factory: str) -> Any:
    make = getattr(module, factory, None)
    if make is None:
        own = [key for key, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__]
        raise InputError(f"{module.__file__} has no '{factory}'; it defines {', '.join(own) or 'nothing'}.")
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
            f"{text} needs {', '.join(needed)}; expected a function that is called without arguments, or with "
            "num_classes, in_channels and image_size alone."
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
