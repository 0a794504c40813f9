"""What layers give in a forward pass, taken by hooks from any module, which is left as it was found."""

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from typing import Any, TypeVar

from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge

from glassnet.models.layers import Call
from glassnet.models.undisturbed import undisturbed  # noqa: F401

R = TypeVar("R")


@contextmanager
def tapped(
    model: nn.Module, names: Collection[str], tap: Callable[[Call, Any], Tensor | None]
) -> Iterator[Counter[str]]:
    """Hand each output of the named modules to `tap` while the block runs.

    What `tap` returns, unless None, goes on in place of the output. Yields the number of calls by module; clear it
    before another forward pass.
    """
    counts: Counter[str] = Counter()

    def hook_for(name: str) -> Callable[[nn.Module, Any, Any], Tensor | None]:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> Tensor | None:
            counts[name] += 1
            return tap((name, counts[name] - 1), output)

        return hook

    with ExitStack() as hooks:
        for name in names:  # by the class: scripted modules refuse the method, but call what it leaves
            hooks.enter_context(nn.Module.register_forward_hook(model.get_submodule(name), hook_for(name)))
        yield counts


class Recorder:
    """A tap that records each output's value and its place in the graph, for one backward pass to all of them.

    A layer's own output is meant: what an in-place operation makes of it later (`nn.ReLU(inplace=True)`, `x += y`)
    writes over the value, but moves neither its place in the graph nor the gradient there. So only values at risk are
    copied, and `overwritten` tells which others should have been.

    Attributes:
        values: Each call's output, without a graph.
        edges: Each call's place in the graph, which `torch.autograd.grad` takes as an input.
        unusable: Each call that has no gradient, and why.
        touched: The modules whose outputs were written to in place, copied or not; known once closed.
        overwritten: Those of them whose recorded values were not copied, and are therefore wrong; known once closed.
    """

    def __init__(self, copied: Collection[str], *, copy_roots: bool) -> None:
        self.values: dict[Call, Tensor] = {}
        self.edges: dict[Call, GradientEdge] = {}
        self.unusable: dict[Call, str] = {}
        self.touched: set[str] = set()
        self.overwritten: set[str] = set()
        self._copied, self._copy_roots = copied, copy_roots
        self._watched: dict[Call, tuple[Tensor, int]] = {}

    def __call__(self, call: Call, output: Any) -> Tensor | None:
        """Record one output; the root of a graph goes on as a copy, which in-place operations may write over."""
        if not isinstance(output, Tensor) or not output.is_floating_point() or output.is_inference():
            self.unusable[call] = f"gives {_describe(output)}, which has no gradient"
            return None
        value = output.detach()  # shares memory and version counter with the output
        self._watched[call] = (value, value._version)
        is_root = not output.requires_grad  # nothing before it needs a graph
        at_risk = call[0] in self._copied and (self._copy_roots or not is_root)
        self.values[call] = value.clone() if at_risk else value
        going_on = output.detach().requires_grad_().clone() if is_root else output
        if going_on.requires_grad:
            self.edges[call] = get_gradient_edge(going_on)
        else:
            self.unusable[call] = "runs under torch.no_grad(), so no gradient path leads from it to the score"
        return going_on if is_root else None

    def close(self) -> None:
        """Find out what was written to in place, and let go of what was only kept to find out."""
        changed = {call for call, (value, version) in self._watched.items() if value._version != version}
        self.touched = {module for module, _ in changed}
        self.overwritten = {call[0] for call in changed if self.values[call] is self._watched[call][0]}
        self._watched.clear()


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
    output, recorder = _run(model, names, forward, Recorder(copied, copy_roots=False))
    if recorder.overwritten:
        again = Recorder({*copied, *recorder.touched}, copy_roots=True)
        del output, recorder  # frees the first graph before the second is built
        output, recorder = _run(model, names, forward, again)
    return output, recorder


def _run(model: nn.Module, names: Collection[str], forward: Callable[[], R], recorder: Recorder) -> tuple[R, Recorder]:
    with tapped(model, names, recorder):
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
