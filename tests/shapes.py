"""The type checker that the tests put behind jaxtyping: an int will do where a float is asked for."""

import inspect

from beartype import BeartypeConf, beartype

_check = beartype(conf=BeartypeConf(is_pep484_tower=True))
_checked = {}


def check(function):
    """Wrap what jaxtyping hands over, an empty function with the hints of one to check.

    A function inside another is handed over whenever the outer one runs; its hints are made into code once.
    """
    if "<locals>" not in getattr(function, "__qualname__", ""):
        return _check(function)
    parameters = inspect.signature(function).parameters.values()
    hints = [(one.name, one.kind, one.default is one.empty, repr(one.annotation)) for one in parameters]
    key = function.__module__, function.__qualname__, *hints, repr(function.__annotations__.get("return"))
    if key not in _checked:
        _checked[key] = _check(function)
    return _checked[key]
