"""A network that glassnet has no name for: `file.py:factory`, a user's own code."""

from __future__ import annotations

import importlib.util
import inspect
import sys
import traceback
from pathlib import Path
from types import ModuleType

from torch import nn

from glassnet.console import say
from glassnet.errors import InputError


def is_reference(name: str) -> bool:
    """Tell whether a name means a function in a file, as in net.py:make."""
    file, colon, factory = name.rpartition(":")
    return bool(colon) and file.endswith(".py") and factory.isidentifier()


def load_reference(name: str) -> nn.Module:
    """Run the file and call the factory that `file.py:factory` names; the user's code runs as it is, which is said.

    Raises:
        InputError: There is no such file or factory, the code fails, or what it gives is no `nn.Module`.
    """
    file, _, factory = name.rpartition(":")
    path = Path(file)
    if not path.is_file():
        raise InputError(f"{path} does not exist; expected a Python file, as in net.py:make.")
    specification = importlib.util.spec_from_file_location(path.stem, path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    say(f"running {path}")
    sys.path.insert(0, str(path.parent.resolve()))
    try:
        specification.loader.exec_module(module)
        network = _made(module, name, factory)
    except InputError:
        raise
    except Exception as error:  # the user's own code, which may raise anything
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if Path(frame.filename).resolve() == path.resolve()]
        where = f" in line {lines[-1]}" if lines else ""
        raise InputError(
            f"{name} failed{where} with {type(error).__name__}: {' '.join(str(error).split())[:300]}; mend the file."
        ) from error
    finally:
        sys.path.pop(0)
    if not isinstance(network, nn.Module):
        raise InputError(f"{name} gives a value of type {type(network).__name__}, expected a torch.nn.Module.")
    return network


def _made(module: ModuleType, name: str, factory: str) -> object:
    """Call the factory, or take what it is where it is a network itself."""
    make = getattr(module, factory, None)
    if make is None:
        own = [key for key, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__]
        raise InputError(f"{module.__file__} has no '{factory}'; it defines {', '.join(own) or 'nothing'}.")
    if isinstance(make, nn.Module) or not callable(make):
        return make
    needed = [one.name for one in inspect.signature(make).parameters.values() if _must_be_given(one)]
    if needed:
        raise InputError(f"{name} needs {', '.join(needed)}; expected a function that is called without arguments.")
    return make()


def _must_be_given(parameter: inspect.Parameter) -> bool:
    gathers = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return parameter.default is inspect.Parameter.empty and parameter.kind not in gathers
