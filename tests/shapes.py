"""The type checker that the tests put behind jaxtyping: an int will do where a float is asked for.

jaxtyping makes room for the sizes of arrays at each call, which takes longer than to check the types. What is given no
array and returns none is checked by beartype alone, and not at all where it stands inside another function: mypy does.
"""

import builtins
import functools
import inspect
import re

import jaxtyping
from beartype import BeartypeConf, beartype

PACKAGES = ("data", "models", "tasks", "embedding", "attribution", "microscope", "denoising", "figures")
"""Packages whose signatures carry array shapes."""

_check = beartype(conf=BeartypeConf(is_pep484_tower=True, violation_type=jaxtyping.TypeCheckError))
_checked = {}
_jaxtyped = jaxtyping.jaxtyped


def check(function):
    """Wrap what jaxtyping hands over, an empty function with the hints of one to check.

    A function inside another is handed over whenever the outer one runs; its hints are made into code once.
    """
    if not _is_inner(function):
        return _check(function)
    parameters = inspect.signature(function).parameters.values()
    hints = [(one.name, one.kind, one.default is one.empty, repr(one.annotation)) for one in parameters]
    key = function.__module__, function.__qualname__, *hints, repr(function.__annotations__.get("return"))
    if key not in _checked:
        _checked[key] = _check(function)
    return _checked[key]


def install():
    """Check the packages when they are imported; only what has to do with arrays is left to jaxtyping."""
    jaxtyping.jaxtyped = _checked_as_needed
    jaxtyping.install_import_hook([f"glassnet.{package}" for package in PACKAGES], "shapes.check")


def _checked_as_needed(function=None, *, typechecker):
    if function is None:
        return functools.partial(_checked_as_needed, typechecker=typechecker)
    if not inspect.isfunction(function) or _has_arrays(function):
        return _jaxtyped(function, typechecker=typechecker)
    if _is_inner(function):
        return function
    checked = None

    @functools.wraps(function)
    def called(*args, **kwargs):
        nonlocal checked
        if jaxtyping.config.jaxtyping_disable:
            return function(*args, **kwargs)
        checked = checked or _check(function)
        return checked(*args, **kwargs)

    return called


def _is_inner(function):
    return "<locals>" in getattr(function, "__qualname__", "")


def _has_arrays(function):
    """Tell whether a hint is of jaxtyping's, or has a name that is not known here."""
    key = function.__module__, function.__qualname__, function.__code__.co_firstlineno
    if key not in _arrays:
        _arrays[key] = any(_is_array(hint, function.__globals__) for hint in function.__annotations__.values())
    return _arrays[key]


_arrays = {}
_NAME = re.compile(r"(?<![\w.])[A-Za-z_]\w*")


def _is_array(hint, names):
    if not isinstance(hint, str):
        return "jaxtyping" in repr(hint)
    return any(
        "jaxtyping" in repr(names[name]) if name in names else not hasattr(builtins, name)
        for name in _NAME.findall(hint)
    )
