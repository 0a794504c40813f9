"""The attribution methods by name, and what each of them is computed from.

A method is a function, and the names of its parameters say what it needs: an ingredient that the engine provides, or
another method, whose result it gets (computed once). A new method is one file and one line in METHODS.

| ingredient | what it is | shape |
|---|---|---|
| activation | the layer's output A | (n, k, h', w') |
| gradient | dy/dA of the explained score y | (n, k, h', w') |
| guided_gradient | dy/dx by the input x, ReLUs guided | (n, c, h, w) |

A method that needs an activation or a gradient, itself or through another method, is computed for each layer; any
other one once, as the layer "input". It returns maps (n, h', w'), which are then resized to the input, or (n, c, h, w).
"""

import inspect
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from functools import cache

from torch import Tensor

from glassnet.attribution.gradcam import gradcam
from glassnet.attribution.guided_backpropagation import guided_backpropagation
from glassnet.attribution.guided_gradcam import guided_gradcam
from glassnet.errors import InputError, unknown_name

METHODS: dict[str, Callable[..., Tensor]] = {
    "gradcam": gradcam,
    "guided_backpropagation": guided_backpropagation,
    "guided_gradcam": guided_gradcam,
}

INGREDIENTS = ("activation", "gradient", "guided_gradient")

_OF_A_LAYER = frozenset({"activation", "gradient"})


def choose_methods(methods: str | Sequence[str]) -> tuple[str, ...]:
    """Return the methods' names, each once.

    Raises:
        InputError: A name is none of METHODS, or there is none at all.
    """
    names = tuple(dict.fromkeys([methods] if isinstance(methods, str) else methods))
    if not names:
        raise InputError(f"methods is empty, expected at least one of {', '.join(METHODS)}.")
    for name in names:
        if name not in METHODS:
            raise unknown_name("method", name, METHODS, noun="methods")
    return names


def ingredients(*methods: str) -> frozenset[str]:
    """Return what the engine must provide for these methods, and for the methods that they are computed from."""
    return frozenset(name for method in methods for name in _ingredients(method))


def is_of_a_layer(method: str) -> bool:
    """Tell whether the method explains a layer, rather than the input alone."""
    return not _OF_A_LAYER.isdisjoint(ingredients(method))


def compute(method: str, known: MutableMapping[str, Tensor]) -> Tensor:
    """Compute a method from what is known, and add it, and what it needed on the way, to what is known."""
    if method not in known:
        known[method] = METHODS[method](**{name: compute(name, known) for name in _parameters(METHODS[method])})
    return known[method]


def _ingredients(method: str) -> Iterator[str]:
    for name in _parameters(METHODS[method]):
        if name in METHODS:
            yield from _ingredients(name)
        else:
            yield name


@cache
def _parameters(function: Callable[..., Tensor]) -> tuple[str, ...]:
    return tuple(inspect.signature(function).parameters)
