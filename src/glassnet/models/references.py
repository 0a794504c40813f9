"""A network that glassnet has no name for: `file.py:factory`, a user's own code."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

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
        make = getattr(module, factory, None)
        if make is None:
            names = ", ".join(one for one in vars(module) if not one.startswith("_")) or "nothing"
            raise InputError(f"{path} has no '{factory}'; it defines {names}.")
        network = make if isinstance(make, nn.Module) else make()
    except InputError:
        raise
    except Exception as error:  # the user's own code, which may raise anything
        raise InputError(f"{name} failed with {type(error).__name__}: {' '.join(str(error).split())[:300]}") from error
    finally:
        sys.path.pop(0)
    if not isinstance(network, nn.Module):
        raise InputError(f"{name} gives a {type(network).__name__}, expected a torch.nn.Module.")
    return network
