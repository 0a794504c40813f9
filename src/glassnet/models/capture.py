"""What layers give in a forward pass, taken by hooks from any module, which is left as it was found."""

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from itertools import pairwise
from typing import Any, TypeVar

from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge
from torch.utils._pytree import tree_leaves

from glassnet.models.layers import Call

R = TypeVar("R")
_NO_GRAPH = (
    "runs under torch.no_grad(), so no gradient path leads from it to the score "
    "(so do layers inside torch.utils.checkpoint with use_reentrant=True)"
)

Tap = Callable[[Call, Any], Tensor | None]
"""What is done with an output of a module; what it returns, unless None, goes on in place of the output."""


@contextmanager
def tapped(model: nn.Module, names: Collection[str], tap: Tap) -> Iterator[Counter[str]]:
    """Hand each output of the named modules to `tap` while the block runs.

    What `tap` returns, unless None, goes on in place of the output. Yields the number of calls by module; clear it
    before another forward pass.
    """
    with hooked_with_arguments(model, names, lambda call, _taken, output: tap(call, output)) as counts:
        yield counts


@contextmanager
def hooked_with_arguments(
    model: nn.Module, names: Collection[str], tap: Callable[[Call, Any, Any], Tensor | None]
) -> Iterator[Counter[str]]:
    """Do as `tapped`, with a tap that gets the arguments of the module too: those by place, and those by name."""
    counts: Counter[str] = Counter()

    def hook_for(name: str) -> Callable[[nn.Module, Any, Any, Any], Tensor | None]:
        def hook(_module: nn.Module, arguments: Any, options: Any, output: Any) -> Tensor | None:
            counts[name] += 1
            return tap((name, counts[name] - 1), (arguments, options), output)

        return hook

    with ExitStack() as hooks:
        for name in names:  # by the class: scripted modules refuse the method, but call what it leaves
            hooks.enter_context(
                nn.Module.register_forward_hook(model.get_submodule(name), hook_for(name), with_kwargs=True)
            )
        yield counts


class Recorder:
    """A tap that records each output's value and its place in the graph, for one backward pass to all of them.

    A layer's own output is meant: what an in-place operation makes of it later (`nn.ReLU(inplace=True)`, `x += y`)
    writes over the value, but moves neither its place in the graph nor the gradient there, except where the output is a
    view. So only values at risk are copied, and `overwritten` tells which others should have been.

    Modules that run again in the backward pass, inside torch.utils.checkpoint, give on what they gave on before, as the
    graph that is built again must be the same.

    Attributes:
        values: Each call's output, without a graph.
        edges: Each call's place in the graph, which `torch.autograd.grad` takes as an input.
        unusable: Each call that has no gradient, and why.
        touched: The modules whose outputs were written to in place, copied or not; known once closed.
        overwritten: Those of them whose recorded values were not copied, and are therefore wrong; known once closed.
    """

    def __init__(self, model: nn.Module, names: Collection[str], copied: Collection[str], *, copy_roots: bool) -> None:
        self.values: dict[Call, Tensor] = {}
        self.edges: dict[Call, GradientEdge] = {}
        self.unusable: dict[Call, str] = {}
        self.touched: set[str] = set()
        self.overwritten: set[str] = set()
        self._model, self._names = model, names
        self._copied, self._copy_roots = copied, copy_roots
        self._watched: dict[Call, tuple[Tensor, int]] = {}
        self._closed = False

    def hooked(self) -> AbstractContextManager[object]:
        """Hang it on the modules for the block: the forward pass, or a backward pass that runs modules again."""
        return hooked_with_arguments(self._model, self._names, self)

    def __call__(self, call: Call, taken: Any, output: Any) -> Tensor | None:
        """Record one output; the root of a graph goes on as a copy, which in-place operations may write over.

        So does what they write over and is a view, whose gradient would else be that of what they make of it. But a
        view of what the module took is shared with others who may wait for the change.
        """
        if not isinstance(output, Tensor) or not output.is_floating_point() or output.is_inference():
            if not self._closed:
                self.unusable[call] = f"gives {_describe(output)}, which has no gradient"
            return None
        is_root = not output.requires_grad  # nothing before it needs a graph
        at_risk = call[0] in self._copied and (self._copy_roots or not is_root)
        own_view = at_risk and output._is_view() and not _share_memory(taken, output)
        going_on = output.detach().requires_grad_().clone() if is_root else output.clone() if own_view else output
        if not self._closed:
            self._note(call, output, going_on, copy=at_risk and not own_view, watched=going_on if own_view else output)
        return going_on if going_on is not output else None

    def _note(self, call: Call, output: Tensor, going_on: Tensor, *, copy: bool, watched: Tensor) -> None:
        value = output.detach()  # shares memory and version counter with the output
        self._watched[call] = (value if watched is output else watched.detach(), watched._version)
        self.values[call] = value.clone() if copy else value
        if going_on.requires_grad:
            self.edges[call] = get_gradient_edge(going_on)
        else:
            self.unusable[call] = _NO_GRAPH

    def close(self) -> None:
        """Find out what was written to in place, and let go of what was only kept to find out."""
        changed = {call for call, (value, version) in self._watched.items() if value._version != version}
        self.touched = {module for module, _ in changed}
        self.overwritten = {call[0] for call in changed if self.values[call] is self._watched[call][0]}
        self._watched.clear()
        self._closed = True


def _share_memory(taken: Any, output: Tensor) -> bool:
    """Tell whether an output is a view of one of the arguments."""
    place = output.untyped_storage().data_ptr()
    return any(isinstance(one, Tensor) and one.untyped_storage().data_ptr() == place for one in tree_leaves(taken))


def record(
    model: nn.Module, names: Collection[str], forward: Callable[[], R], *, copied: Collection[str]
) -> tuple[R, Recorder]:
    """Run `forward` and record what the named modules give.

    It is run a second time only where an in-place operation wrote over a value that was not copied.

    Args:
        model: The module that `forward` calls.
        names: Modules in it.
        forward: Calls the model, and whatever else may write over what the modules give.
        copied: Modules whose outputs are expected to be overwritten; a wrong guess costs time, not exactness.

    Returns:
        What `forward` returned, and the recorder.
    """
    output, recorder = _run(forward, Recorder(model, names, copied, copy_roots=False))
    if recorder.overwritten:
        again = Recorder(model, names, {*copied, *recorder.touched}, copy_roots=True)
        del output, recorder  # frees the first graph before the second is built
        output, recorder = _run(forward, again)
    return output, recorder


def _run(forward: Callable[[], R], recorder: Recorder) -> tuple[R, Recorder]:
    with recorder.hooked():
        output = forward()
    recorder.close()
    return output, recorder


def followed_in_place(model: nn.Module) -> set[str]:
    """Guess whose outputs are overwritten: those of modules that an in-place module follows where they are defined."""
    leaves = [(name, module) for name, module in model.named_modules() if not list(module.children())]
    return {name for (name, _), (_, after) in pairwise(leaves) if getattr(after, "inplace", False)}


def _describe(output: Any) -> str:
    if not isinstance(output, Tensor):
        return f"a {type(output).__name__} instead of a tensor"
    return f"a tensor of dtype {output.dtype}" if not output.is_inference() else "a tensor of torch.inference_mode()"
