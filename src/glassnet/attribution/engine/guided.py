"""Guided backward passes: the rectifiers of a forward pass, found in its graph, and what there cannot be guided."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from glassnet.attribution.engine.graph import ACTIVATIONS, Graph, Node, is_rectifier, kind, undefined, why_not_guided
from glassnet.errors import InputError

_MASKED = {"where", "mul", "multiply", "masked_fill", "setitem", "index_put", "masked_scatter"}
"""Functions that apply a mask, and so can be a ReLU; all else that a mask of activations meets is arithmetic."""


_MAY_RECTIFY = _MASKED | {"addcmul", "lerp", "einsum", "div"}
"""Functions that can be a ReLU by a mask, or arithmetic."""
_OWN_NODES = {"relu", "relu6", "threshold", "clamp", "clip", "clamp_min", "hardtanh", "maximum", "max", "fmax"}
"""Functions whose nodes in the graph tell that they are ReLUs."""


class GuidedReLUError(InputError):
    """Guided backpropagation is not defined for a model.

    Attributes:
        reason: Why not, as a clause.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(f"guided backpropagation does not apply: {reason}; use gradcam instead.")
        self.reason = reason


class GuidedReLU:
    """Makes the rectifiers of a forward pass that it recognises ready for guided backward passes, whoever called them.

    They are found in the graph, so Python, scripted and C++ calls are one: `relu`, `relu6`, `clamp(min=0)`,
    `threshold`, `maximum(x, 0)`. What the graph does not tell is seen while the pass runs (`watching`): masks of
    activations, as in `where(x > 0, x, 0)` and `x * (x > 0)`, and ReLUs that write over a view. The forward pass is
    untouched: a hook before a rectifier's backward clamps the gradient that arrives while `guiding` is on, and torch's
    own backward then masks it by the sign of the input. So one graph serves plain and guided backward passes.

    Other ReLUs and their like are refused where the graph or the calls give them away: other activations, a floor
    other than 0 that cuts what this batch gives it, a maximum over a stack, `x + |x|`, `x * (x.sign() + 1)`. A ReLU
    that arithmetic composes in yet another way (`logsumexp` at a low temperature, `max_pool1d` over a stack,
    `cat` of the input and zeros and then `amax`) is not seen. Beside recognised ones it passes plain gradients, and
    nothing says so.

    Attributes:
        count: The rectifiers between images and output.
    """

    def __init__(self) -> None:
        self.count = 0
        self._guiding = False
        self._seen = _Seen()

    def watching(self) -> TorchFunctionMode:
        """Return the context in which the model runs."""
        self._seen = _Seen()
        return self._seen

    def find(self, output: Any, scores: Tensor) -> None:
        """Hook the rectifiers between the images and what the model gave; those of the score's own function are none.

        Raises:
            GuidedReLUError: There is none, or something that stands where a ReLU would and is none, or a backward pass
                that nobody can look into.
        """
        seen, self._seen = self._seen, _Seen()  # what it holds of the graph goes with this call
        self.count = 0
        if scores.grad_fn is None:
            return
        roots = [leaf.grad_fn for leaf in tree_leaves(output) if isinstance(leaf, Tensor) and leaf.grad_fn is not None]
        graph = Graph(scores.grad_fn, roots)
        seen.check(graph)
        for node in graph.nodes:
            if reason := why_not_guided(node):
                raise GuidedReLUError(reason)
            if node in seen.rectifiers or is_rectifier(node, graph):
                self.count += 1
                node.register_prehook(self._guide)
        if not self.count:
            raise GuidedReLUError("no ReLU ran between the images and the output of this model")

    @contextmanager
    def guiding(self) -> Iterator[None]:
        """Guide the backward passes of the block."""
        self._guiding = True
        try:
            yield
        finally:
            self._guiding = False

    def _guide(self, gradients: tuple[Tensor | None, ...]) -> tuple[Tensor | None, ...] | None:
        """Keep the positive part; a backward pass written by hand may have given no gradient at all."""
        return tuple(one if one is None else one.clamp(min=0) for one in gradients) if self._guiding else None


class _Seen(TorchFunctionMode):
    """What only the calls tell: masks made of activations and what they do, and in-place operations on views.

    Attributes:
        rectifiers: Nodes of the graph that are ReLUs.
    """

    def __init__(self) -> None:
        super().__init__()
        self.rectifiers: set[Node] = set()
        self._others: dict[Node, str] = {}
        self._masks: dict[int, Tensor] = {}
        self._views: list[tuple[Node, Node]] = []
        self._wheres: set[Node] = set()

    def check(self, graph: Graph) -> None:
        """Refuse what was seen, if it lies between the images and the output.

        Raises:
            GuidedReLUError: Something of it cannot be guided.
        """
        nodes = set(graph.nodes)
        for node, reason in self._others.items():
            if node in nodes:
                raise GuidedReLUError(reason)
        for node in graph.nodes:
            if kind(node) == "Where" and node not in self._wheres:
                raise GuidedReLUError("this model calls where inside a scripted or torch function, out of sight")
        for on_view, on_all in self._views:
            if on_all in nodes and on_view not in nodes:
                raise GuidedReLUError("this model writes a ReLU into part of a tensor, which hides it")

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Call a torch function, and note what it does with masks and views."""
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "").strip("_")
        leaves = tree_leaves(args) if name == "setitem" else (*args, *kwargs.values())
        tensors = [one for one in leaves if isinstance(one, Tensor)]
        masked = any(id(one) in self._masks for one in tensors)
        # A mask may also come from outside of torch, or from detached values, and be applied by any function.
        alone = not masked and name not in _OWN_NODES and _is_weighed(tensors)
        rectified = _rectified(tensors, self._masks) if alone or (masked and name in _MAY_RECTIFY) else None
        is_view = bool(tensors) and tensors[0]._is_view()
        result = func(*args, **kwargs)
        given = tensors[0] if name == "setitem" and tensors else result
        if isinstance(given, Tensor):
            self._note(name, given, tensors, masked=masked, rectified=rectified)
            if is_view and given is tensors[0] and given.grad_fn is not None:
                self._note_view(name, given, args, kwargs)
        return result

    def _note(
        self, name: str, given: Tensor, tensors: Sequence[Tensor], *, masked: bool, rectified: Tensor | None
    ) -> None:
        if name == "where" and given.grad_fn is not None:
            self._wheres.add(given.grad_fn)
        if given.dtype == torch.bool or (masked and not given.requires_grad):
            if masked or any(one.requires_grad for one in tensors):
                self._masks[id(given)] = given
        elif name == "threshold" and given.grad_fn is not None:
            self._note_threshold(given, tensors[0])
        elif given.grad_fn is not None:
            if rectified is not None and torch.equal(given.detach(), rectified):
                self.rectifiers.add(given.grad_fn)
            elif masked and name in _MASKED:
                self._others[given.grad_fn] = (
                    f"this model multiplies by a mask of its own activations with {name}, and the result is not a ReLU"
                )

    def _note_threshold(self, given: Tensor, taken: Tensor) -> None:
        if given is not taken and not torch.equal(given.detach(), taken.detach().clamp(min=0)):
            self._others[given.grad_fn] = (
                "this model uses a threshold other than (0, 0), but guided backpropagation is defined only for ReLU"
            )

    def _note_view(self, name: str, given: Tensor, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """Note a ReLU that wrote over a view: in the graph, it is a write over the whole, seen through the view."""
        assert given.grad_fn is not None
        base = given._base.grad_fn if given._base is not None else None
        if title := ACTIVATIONS.get(name):
            self._others |= {node: undefined(title) for node in (given.grad_fn, base) if node is not None}
        elif _rectifies(name, args, kwargs):
            self.rectifiers.add(given.grad_fn)
            if base is not None:
                self._views.append((given.grad_fn, base))


def _is_weighed(tensors: Sequence[Tensor]) -> bool:
    """Tell whether one tensor that carries a gradient meets constants of its own shape, as a mask is."""
    carrying = [one for one in tensors if one.requires_grad]
    return len(carrying) == 1 < carrying[0].numel() and any(
        one.shape == carrying[0].shape for one in tensors if not one.requires_grad
    )


def _rectified(tensors: Sequence[Tensor], masks: Mapping[int, Tensor]) -> Tensor | None:
    """Return the ReLU of the one tensor that is masked, as it is before the call; None if it is not one."""
    masked = [one for one in tensors if one.requires_grad and id(one) not in masks]
    return masked[0].detach().clamp(min=0) if len(masked) == 1 else None


def _rectifies(name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Tell whether a call is a ReLU: 0 below 0, and the input itself above, if need be up to a limit."""
    if name in ("clamp", "clip", "clamp_min"):
        return _is_zero(_argument("min", 1, args, kwargs))
    if name == "threshold":
        return all(_is_zero(_argument(one, i, args, kwargs)) for i, one in enumerate(("threshold", "value"), start=1))
    return name in ("relu", "relu6") or (name == "hardtanh" and _is_zero(_argument("min_val", 1, args, kwargs)))


def _is_zero(value: Any) -> bool:
    return isinstance(value, int | float | Tensor) and bool((torch.as_tensor(value) == 0).all())


def _argument(name: str, place: int, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    return kwargs.get(name, args[place] if len(args) > place else None)
