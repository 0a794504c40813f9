"""The attribution methods by name, and what each of them is computed from.

A method is a function, and the names of its parameters say what it needs: an ingredient that the engine provides, or
another method, whose result it gets (computed once). A new method is one function, a line in METHODS and one in
`titles.METHOD_TITLES`.

| ingredient | what it is | shape |
|---|---|---|
| images | the input x | (n, c, h, w) |
| score | the explained score y | (n,) |
| activation | the layer's output A | (n, k, h', w') |
| gradient | dy/dA | (n, k, h', w') |
| contrast_gradient | dz/dA, z = y_c less similar classes' scores (`engine/targets.py`) | (n, k, h', w') |
| curvature | H A, H = d²y/dA² | (n, k, h', w') |
| input_gradient | dy/dx | (n, c, h, w) |
| guided_gradient | dy/dx, ReLUs guided | (n, c, h, w) |
| attention | of each attention between an image's tokens, its matrix | list of (n, heads, tokens, tokens) |
| attention_gradient | dy/d of each | the same |
| block_gradient | of each, dy_l/d of it, y_l the score of its block's own tokens | the same |
| tokens | which token is which patch (`engine/attention_layout.py`) | |
| rerun | `rerun(what, variants)`: an ingredient or a method for variants of the images (`engine/budget.py`) | |
| report_gap | takes how far the attributions are from adding up to the score | (n,) |

A method that needs an activation or a gradient, itself or through another method, is computed for each layer; any
other one once, as the layer "input". It returns maps (n, h', w'), which are then resized to the input, or (n, c, h, w).
A parameter with a default is an option, which `functools.partial` sets; the option `of` names a method that is rerun.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from typing import Any

from torch import Tensor

from glassnet.attribution.engine.attention import OF_ATTENTION
from glassnet.attribution.methods.attention import attention_relevance, attention_rollout, legrad
from glassnet.attribution.methods.cam import (
    eigencam,
    finercam,
    gradcam,
    gradcam_plus_plus,
    guided_gradcam,
    hirescam,
    layercam,
    scorecam,
    shapleycam,
    xgradcam,
)
from glassnet.attribution.methods.pixels import (
    guided_backpropagation,
    input_x_gradient,
    integrated_gradients,
    occlusion,
    saliency,
    smoothgrad,
)
from glassnet.errors import InputError, unknown_name

Method = Callable[..., Tensor]

METHODS: dict[str, Method] = {
    "gradcam": gradcam,
    "gradcam_plus_plus": gradcam_plus_plus,
    "xgradcam": xgradcam,
    "hirescam": hirescam,
    "layercam": layercam,
    "eigencam": eigencam,
    "finercam": finercam,
    "shapleycam": shapleycam,
    "scorecam": scorecam,
    "guided_backpropagation": guided_backpropagation,
    "guided_gradcam": guided_gradcam,
    "saliency": saliency,
    "input_x_gradient": input_x_gradient,
    "smoothgrad": smoothgrad,
    "integrated_gradients": integrated_gradients,
    "occlusion": occlusion,
    "attention_rollout": attention_rollout,
    "attention_relevance": attention_relevance,
    "legrad": legrad,
}

INGREDIENTS = (
    "images",
    "score",
    "activation",
    "gradient",
    "contrast_gradient",
    "curvature",
    "input_gradient",
    "guided_gradient",
    *OF_ATTENTION,
    "rerun",
    "report_gap",
)

_OF_A_LAYER = frozenset({"activation", "gradient", "contrast_gradient", "curvature"})


def choose_methods(methods: str | Sequence[str] | Mapping[str, Method]) -> tuple[tuple[str, ...], dict[str, Method]]:
    """Return the methods' names, each once, and all methods that are known by name, the caller's own among them.

    Raises:
        InputError: A name is none of METHODS, a function's parameter is nothing that a method can need, a method needs
            itself, or there is no method at all.
    """
    names = tuple(dict.fromkeys([methods] if isinstance(methods, str) else methods))
    if not names:
        raise InputError(f"methods is empty, expected at least one of {', '.join(METHODS)}.")
    known = {**METHODS, **methods} if isinstance(methods, Mapping) else dict(METHODS)
    for name in names:
        if name not in known:
            raise unknown_name("method", name, known, noun="methods")
        for part in ingredients(name, known_methods=known):
            if part not in INGREDIENTS:
                raise unknown_name("method or ingredient", part, [*known, *INGREDIENTS], where=f" for {name}")
    return names, known


def ingredients(*methods: str, known_methods: Mapping[str, Method] = METHODS) -> frozenset[str]:
    """Return what the engine must provide for these methods, and for the methods that they are computed from."""
    return frozenset(part for method in methods for part in _ingredients(method, known_methods))


def is_of_a_layer(method: str, known_methods: Mapping[str, Method] = METHODS) -> bool:
    """Tell whether the method explains a layer, rather than the input alone."""
    return not _OF_A_LAYER.isdisjoint(ingredients(method, known_methods=known_methods))


def compute(method: str, known: MutableMapping[str, Any], known_methods: Mapping[str, Method] = METHODS) -> Any:
    """Compute a method from what is known, and add it, and what it needed on the way, to what is known."""
    if method not in known:
        function = known_methods[method]
        known[method] = function(**{name: compute(name, known, known_methods) for name in _needed(function)})
    return known[method]


def _ingredients(method: str, known_methods: Mapping[str, Method], above: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield what a method is made of, `above` being the methods that lead to it."""
    if method not in known_methods:
        yield method
        return
    way = (*above, method)
    if method in above:
        raise InputError(
            f"method '{method}' depends on itself ({' from '.join(way[way.index(method) :])}); give it a name "
            "different from the methods it needs."
        )
    function = known_methods[method]
    for name in [*_needed(function), *_rerun_methods(function)]:
        yield from _ingredients(name, known_methods, way)


def _needed(function: Method) -> list[str]:
    parameters = inspect.signature(function).parameters.values()
    return [parameter.name for parameter in parameters if parameter.default is parameter.empty]


def _rerun_methods(function: Method) -> list[str]:
    option = inspect.signature(function).parameters.get("of")
    return [] if option is None or option.default is option.empty else [option.default]
