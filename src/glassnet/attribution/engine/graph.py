"""What the graph of a forward pass tells of its activations: which nodes are ReLUs, and which are others."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import BackwardCFunction

ACTIVATIONS = {
    "celu": "CELU",
    "elu": "ELU",
    "gelu": "GELU",
    "hardshrink": "Hardshrink",
    "hardswish": "Hardswish",
    "leaky_relu": "LeakyReLU",
    "logsigmoid": "LogSigmoid",
    "mish": "Mish",
    "prelu": "PReLU",
    "rrelu": "RReLU",
    "selu": "SELU",
    "silu": "SiLU",
    "softplus": "Softplus",
    "softshrink": "Softshrink",
}
"""By torch's function, activations that stand where a ReLU would, but pass some of a negative input on, so that the
rule does not fit."""

_TITLES = {
    "Celu": "CELU",
    "Elu": "ELU",
    "Gelu": "GELU",
    "Hardshrink": "Hardshrink",
    "Hardswish": "Hardswish",
    "LeakyRelu": "LeakyReLU",
    "LogSigmoid": "LogSigmoid",
    "Mish": "Mish",
    "PreluKernel": "PReLU",
    "RreluWithNoise": "RReLU",
    "Silu": "SiLU",
    "Softplus": "Softplus",
    "Softshrink": "Softshrink",
}

_SQUASHING = {
    "Sign",
    "Sigmoid",
    "Tanh",
    "Erf",
    "Exp",
    "Hardtanh",
    "Clamp",
    "ClampMin",
    "Relu",
    "Hardsigmoid",
    "Softplus",
}
_ELEMENTWISE = {"Add", "Sub", "Rsub", "Mul", "Div", "Neg", "Pow", "Sqrt", "Reciprocal", "Log1P", "Log", "ToCopy"}
_ELEMENTWISE |= {"Clone", *_SQUASHING}
_FEW = 24  # nodes of an expression written by hand: GELU's has nine

_BOUNDED_BELOW = {"Exp", "LinalgVectorNorm", "LogSoftmax", "Norm", "Sigmoid", "Softmax", "Sqrt", "Std", "Var"}
"""What a floor is put under for the sake of a division or a logarithm, not as an activation."""

_HIDDEN = "whose backward pass cannot be inspected"

Node = Any
"""A torch.autograd.graph.Node; the nodes of scripted code do not count as such."""

Edge = tuple[Node, int]


class Graph:
    """The nodes between images and output.

    Attributes:
        nodes: Each once.
        users: By node, those that take its outputs.
    """

    def __init__(self, score: Node, roots: Sequence[Node]) -> None:
        """Walk the graph.

        Args:
            score: The score's node.
            roots: Those of all that the model gave; what lies between them and the score is the score's own. Where the
                score depends on none of them, all is taken.
        """
        reached = set(roots) & set(_walk([score], stop=set(roots)))
        self.nodes = _walk(list(reached) or [score])
        self.users: dict[Node, list[Node]] = {}
        for node in self.nodes:
            for following, _ in _edges(node):
                self.users.setdefault(following, []).append(node)


def _walk(starts: Sequence[Node], stop: set[Node] | None = None) -> list[Node]:
    """Return all nodes that lead to these, the starts first, without those behind the ones to stop at."""
    order = dict.fromkeys(starts)
    waiting = list(starts)
    while waiting:
        node = waiting.pop()
        if stop is None or node not in stop:
            new = [
                following for following, _ in node.next_functions if following is not None and following not in order
            ]
            order |= dict.fromkeys(new)
            waiting += new
    return list(order)


def kind(node: Node) -> str:
    """Return what a node is the backward pass of, as in "Relu"."""
    return node.name().split("Backward")[0]


def is_rectifier(node: Node, graph: Graph) -> bool:
    """Tell whether a node is a ReLU's: 0 below 0, and above the input itself, if need be up to a limit.

    A limited one that is then divided by its limit is a hard sigmoid, which opens and shuts a gate.
    """
    rule = _RECTIFIERS.get(kind(node))
    return rule is not None and bool(rule(node)) and not _is_hard_sigmoid(node, graph)


def undefined(title: str) -> str:
    """Say that the rule is not defined for an activation."""
    return (
        f"this model uses {title}, but guided backpropagation is defined only for ReLU, which passes no negative input"
    )


def why_not_guided(node: Node) -> str:
    """Say why a node cannot be guided although it is, or may hide, an activation; or ""."""
    if isinstance(node, BackwardCFunction):
        made = getattr(node, "_forward_cls", type(node))
        if made.__module__.startswith("torch.nn."):  # what DataParallel hands out and gathers
            return ""
        return f"this model runs {made.__name__}, a custom autograd Function, {_HIDDEN}"
    name = kind(node)
    if "jit" in node.name() or "CppNode" in node.name():
        what = "a scripted function that torch has optimised" if "jit" in node.name() else "an operation written in C++"
        return f"this model runs {what}, {_HIDDEN}"
    if name in _TITLES:
        return undefined("SELU" if name == "Elu" and _saved(node, "scale") != 1 else _TITLES[name])
    if name in ("Mul", "Div") and _is_gated_by_itself(node):
        return undefined("a hand-written activation x · f(x), such as SiLU, GELU or Hardswish")
    if name in ("Maximum", "Fmax") and _have_one_source(node):
        return undefined("a maximum of two functions of one input, such as LeakyReLU")
    if name in ("Minimum", "Fmin", "Clamp", "ClampMax") and _has_ceiling_of_zero(node):
        return "this model cuts at a maximum of 0, such as -clamp(-x, max=0), a form of ReLU that cannot be guided"
    if name in _FLOORS and _cuts_at_another_floor(node):
        return undefined("a clamp or maximum with a floor other than 0, which changes its input")
    if name in ("Max", "Amax") and _is_over_a_stack(node):
        return "this model takes the maximum over a stack, such as stack([x, 0]).amax(0), which cannot be guided"
    if name == "Add" and _adds_its_magnitude(node):
        return "this model uses x + |x|, a form of ReLU that cannot be guided"
    return ""


def _saved(node: Node, name: str) -> Any:
    """Return what a node saved, a number where it is one number, or None, also where that is gone."""
    value = _raw(node, name)
    if not isinstance(value, Tensor):
        return value
    return float(value.flatten()[0]) if value.numel() and bool((value == value.flatten()[0]).all()) else None


def _raw(node: Node, name: str) -> Any:
    """Return what a node saved as it is, or None, also where that is gone."""
    try:
        return getattr(node, f"_saved_{name}", None)
    except RuntimeError:  # written over since
        return None


def _has_floor(node: Node) -> bool:
    most = _saved(node, "max")
    return _saved(node, "min") == 0 and (most is None or most > 0)


def _has_ceiling_of_zero(node: Node) -> bool:
    return _saved(node, "max") == 0 if kind(node) in ("Clamp", "ClampMax") else _has_constant_zero(node)


def _has_constant_zero(node: Node) -> bool:
    edges = node.next_functions
    constant = [name for name, (following, _) in zip(("self", "other"), edges, strict=False) if following is None]
    return len(constant) == 1 and _saved(node, constant[0]) == 0


_RECTIFIERS: dict[str, Callable[[Node], bool]] = {
    "Relu": lambda _: True,
    "Threshold": lambda node: _saved(node, "threshold") == 0,
    "Hardtanh": lambda node: _saved(node, "min_val") == 0,
    "Clamp": _has_floor,
    "ClampMin": _has_floor,
    "Maximum": _has_constant_zero,
    "Fmax": _has_constant_zero,
}


_FLOORS = {"Clamp": "min", "ClampMin": "min", "Hardtanh": "min_val", "Maximum": "", "Fmax": ""}
"""What puts a floor under its input, and the name by which it saves that."""


def _cuts_at_another_floor(node: Node) -> bool:
    """Tell whether a floor other than 0 changes its input, by more than guards a division (1e-3 of the largest value).

    A floor of minus the ceiling makes a hard tanh, which is no ReLU either, and is passed as tanh is.
    """
    values, floor, source = _floor(node)
    most = _saved(node, "max_val" if kind(node) == "Hardtanh" else "max")
    if not isinstance(values, Tensor) or not values.numel() or source is None or kind(source) in _BOUNDED_BELOW:
        return False
    if not isinstance(floor, int | float | Tensor) or bool((torch.as_tensor(floor) == 0).all()):
        return False
    if most is not None and bool((torch.as_tensor(floor) == -most).all()):
        return False
    largest = values.detach().abs().max()
    return bool((floor - values.detach() > 1e-3 * largest).any()) and bool(largest > 0)


def _floor(node: Node) -> tuple[Any, Any, Node | None]:
    """Return the input of what has a floor, the floor, and the node that the input comes from."""
    edges = node.next_functions
    if name := _FLOORS[kind(node)]:
        return _raw(node, "self"), _raw(node, name), edges[0][0]
    constant = [following is None for following, _ in edges]
    if sum(constant) != 1:
        return None, None, None
    values = [_raw(node, "self"), _raw(node, "other")]
    return (values[0], values[1], edges[0][0]) if constant[1] else (values[1], values[0], edges[1][0])


def _is_over_a_stack(node: Node) -> bool:
    """Tell whether a maximum is taken along a stack of an activation and a constant, or of two functions of one."""
    edges = _edges(node)
    if not edges or kind(edges[0][0]) != "Stack":
        return False
    stack, dims = edges[0][0], _raw(node, "dim")
    saved = _raw(node, "self")
    rank = saved.ndim if isinstance(saved, Tensor) else len(_raw(node, "self_sym_sizes") or (0,))
    along = dims if isinstance(dims, tuple) else () if dims is None else (dims,)
    # torch saves -1 as 2^64 - 1
    if (_raw(stack, "dim") + rank) % 2**64 % rank not in {(dim + rank) % 2**64 % rank for dim in along}:
        return False
    return any(following is None for following, _ in stack.next_functions) or _have_one_source(stack)


def _is_hard_sigmoid(node: Node, graph: Graph) -> bool:
    limit = _saved(node, "max_val" if kind(node) == "Hardtanh" else "max")
    users = graph.users.get(node, [])
    return isinstance(limit, int | float) and bool(users) and all(_scales(user, 1 / limit) for user in users)


def _scales(node: Node, factor: float) -> bool:
    other = _saved(node, "other")
    if other is None or sum(following is not None for following, _ in node.next_functions) != 1:
        return False
    applied = other if kind(node) == "Mul" else 1 / other if kind(node) == "Div" and other else 0
    return abs(applied - factor) <= 1e-3 * factor


def _edges(node: Node) -> list[Edge]:
    return [(following, place) for following, place in node.next_functions if following is not None]


def _expression(edge: Edge) -> tuple[set[Edge], set[Node]] | None:
    """Follow an elementwise expression down to where its inputs come from: those, and its nodes; None if it is long."""
    sources: set[Edge] = set()
    inside: dict[Node, None] = {}
    waiting = [edge]
    while waiting:
        node, place = waiting.pop()
        if kind(node) not in _ELEMENTWISE:
            sources.add((node, place))
        elif node not in inside:
            inside[node] = None
            waiting += _edges(node)
        if len(inside) > _FEW:
            return None
    return sources, set(inside)


def _have_one_source(node: Node) -> bool:
    edges = _edges(node)
    if len(edges) != 2:
        return False
    first, second = (_expression(edge) for edge in edges)
    return first is not None and second is not None and first[0] == second[0] and len(first[0]) == 1


def _is_gated_by_itself(node: Node) -> bool:
    """Tell whether both factors are functions of one input, of which one squashes it as the other does not."""
    edges = _edges(node)
    if len(edges) != 2:
        return False
    for gated, gate in (edges, edges[::-1]):
        if _reaches_only(gate, gated):
            return True
    first, second = (_expression(edge) for edge in edges)
    if first is None or second is None or first[0] != second[0] or len(first[0]) != 1:
        return False
    return any(kind(one) in _SQUASHING for one in first[1] ^ second[1])


def _reaches_only(gate: Edge, source: Edge) -> bool:
    """Tell whether a gate is computed elementwise from `source` alone, and squashes it."""
    waiting, inside = [gate], dict.fromkeys([gate[0]])
    while waiting:
        edge = waiting.pop()
        if edge == source:
            continue
        if kind(edge[0]) not in _ELEMENTWISE or len(inside) > _FEW:
            return False
        inside[edge[0]] = None
        waiting += _edges(edge[0])
    return any(kind(one) in _SQUASHING for one in inside if one is not source[0])


def _adds_its_magnitude(node: Node) -> bool:
    edges = _edges(node)
    return len(edges) == 2 and any(_magnitude_of(one[0]) == [other] for one, other in (edges, edges[::-1]))


def _magnitude_of(node: Node) -> list[Edge]:
    """Return the one input of which a node is the magnitude, as abs(x), sqrt(x · x) or sqrt(x² + ε); else nothing."""
    if kind(node) == "Abs":
        return _edges(node)
    if kind(node) != "Sqrt":
        return []
    square = _edges(node)[0][0]
    if kind(square) == "Add" and len(_edges(square)) == 1:
        square = _edges(square)[0][0]
    is_square = kind(square) == "Mul" or (kind(square) == "Pow" and _saved(square, "exponent") == 2)
    return list(dict.fromkeys(_edges(square))) if is_square else []
