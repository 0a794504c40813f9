"""The part of a network behind a layer, run again and again on edited activations; what comes before runs once.

A batch's forward pass is traced to operations on tensors, in which the edit stands where the layer gave its output.
Operations that no edit reaches, whatever path they take around the layer, are run once a batch; the others are run
again for each edit. What cannot be traced (Python that reads numbers, random draws, a state that is written) takes
whole passes instead, with the same result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx, nn

from glassnet.console import say_once
from glassnet.images import device_of
from glassnet.models.capture import tapped
from glassnet.models.inference import ModelCall, translate_torch_errors
from glassnet.models.layers import Call
from glassnet.models.memory_order import agree

Edit = Callable[[Call, Tensor, Sequence[Tensor], int], Tensor]
"""From a layer's call, its output, inputs of the edit and the number of images to what goes on in its place."""

Values = dict[fx.Node, Any]


@dataclass
class Replay:
    """A network whose layer is edited, batch by batch: `begin` a batch, then ask for the output of any edits.

    Attributes:
        model: Undisturbed while this is used.
        names: The layers' names.
        edit: What is done to each of their outputs.
        call: How the model is called.
        read: Takes the tensor that is wanted out of the model's output.
        put_back: Puts the model's state back before another pass.
        untraced: Why whole passes are run, or "".
    """

    model: nn.Module
    names: Sequence[str]
    edit: Edit
    call: ModelCall
    read: Callable[[Any], Tensor]
    put_back: Callable[[], None]
    untraced: str = ""
    _graphs: dict[tuple[Any, ...], fx.GraphModule] = field(default_factory=dict)

    def whole_pass(self, images: Tensor, inputs: Sequence[Tensor]) -> Tensor:
        """Run the whole network with an edit; random draws are the same in every pass."""
        self.put_back()
        with _same_draws(device_of(self.model)), translate_torch_errors(self.model, images):
            return self._edited(images.clone(), *inputs)

    def begin(self, images: Tensor, neutral: Sequence[Tensor], probe: Sequence[Tensor]) -> Suffix | None:
        """Trace the pass of a batch, as far as that is possible, and run what no edit reaches.

        Each batch is checked against one whole pass, since numbers that Python took of a tensor are fixed in a trace.

        Args:
            images: The batch.
            neutral: Inputs of an edit; their shapes and types are those of all edits.
            probe: Inputs of the edit by which the batch is checked.

        Returns:
            What runs the rest; None where every edit takes a whole pass.
        """
        shapes = tuple((tuple(one.shape), one.dtype) for one in (images, *neutral))
        if not self.untraced and shapes not in self._graphs:
            self._graphs.clear()
            graph, self.untraced = self._traced(images, neutral)
            self._graphs |= {} if graph is None else {shapes: graph}
        if not self.untraced:
            suffix = Suffix(self._graphs[shapes], images, neutral)
            if agree(suffix.output(probe), self.whole_pass(images, probe)):
                return suffix
            self.untraced = "gives a different result when its operations run again"
        self._graphs.clear()
        say_once(
            f"{type(self.model).__name__} {self.untraced}, so each edit of {', '.join(self.names)} takes a full pass."
        )
        return None

    def _edited(self, images: Tensor, *inputs: Tensor) -> Tensor:
        with tapped(self.model, self.names, lambda call, output: self.edit(call, output, inputs, len(images))):
            return self.read(self.call(self.model, images))

    def _traced(self, images: Tensor, neutral: Sequence[Tensor]) -> tuple[fx.GraphModule | None, str]:
        from torch.func import functionalize
        from torch.fx.experimental.proxy_tensor import make_fx  # seconds to import

        self.put_back()
        try:
            with _same_draws(device_of(self.model)):
                graph = make_fx(functionalize(self._edited), tracing_mode="real")(images.clone(), *neutral)
        except Exception as error:  # whatever torch cannot trace
            lines = str(error).strip().splitlines()
            return None, f"cannot be traced ({(lines[0] if lines else type(error).__name__)[:80].rstrip('.')})"
        finally:
            self.put_back()
        graph.graph.eliminate_dead_code()
        problem = next(filter(None, map(_problem, graph.graph.nodes)), "")
        return (None, problem) if problem else (graph, "")


@contextmanager
def _same_draws(device: torch.device) -> Iterator[None]:
    """Let a pass draw the random numbers that the next one will draw again."""
    state = torch.random.get_rng_state()
    of_device = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
    try:
        yield
    finally:
        torch.random.set_rng_state(state)
        if of_device is not None:
            torch.cuda.set_rng_state(of_device, device)


def _problem(node: fx.Node) -> str:
    """Say why a graph with this node does not give the same twice, or ""."""
    target = node.target
    if not isinstance(target, torch._ops.OpOverload):
        return ""
    if torch.Tag.nondeterministic_seeded in target.tags and _draws(node, target):
        return "draws random numbers"
    return "overwrites its own state" if target._schema.is_mutable else ""


def _draws(node: fx.Node, target: torch._ops.OpOverload) -> bool:
    """Tell whether an operation that may draw random numbers does so: attention draws none if it drops nothing."""
    given = {one.name: one.default_value for one in target._schema.arguments}
    given |= dict(zip(given, node.args)) | dict(node.kwargs)  # noqa: B905
    return given.get("dropout_p") != 0 and given.get("train") is not False and given.get("training") is not False


class Suffix:
    """What is behind the edit, for one batch; what no edit reaches has been run."""

    def __init__(self, graph: fx.GraphModule, images: Tensor, neutral: Sequence[Tensor]) -> None:
        """Run what no edit reaches.

        Args:
            graph: Of images and inputs of an edit.
            images: The batch.
            neutral: Inputs of an edit.
        """
        self.module, nodes = graph, list(graph.graph.nodes)
        places = [node for node in nodes if node.op == "placeholder"]
        self.inputs: list[fx.Node] = places[1:]
        self.result: fx.Node = nodes[-1].args[0]
        self.edited = reached(nodes, self.inputs)
        self.steps = [node for node in nodes if node in self.edited and node.op == "call_function"]
        before = [node for node in nodes if node not in self.edited and node.op in ("get_attr", "call_function")]
        kept = {self.result, *(one for node in self.steps for one in node.all_input_nodes)}
        self.fixed: Values = {places[0]: images, **dict(zip(self.inputs, neutral, strict=True))}
        run_nodes(before, self.fixed, self._run, keep=kept)

    def output(self, inputs: Sequence[Tensor]) -> Tensor:
        """Return what the network gives with an edit."""
        values = self.fixed | dict(zip(self.inputs, inputs, strict=True))
        run_nodes(self.steps, values, self._run, keep={self.result, *self.fixed})
        return values[self.result]

    def _run(self, node: fx.Node, values: Values) -> Any:
        return run_node(self.module, node, values)


def reached(nodes: Sequence[fx.Node], sources: Sequence[fx.Node]) -> set[fx.Node]:
    """Return the nodes that depend on others, these among them."""
    found = set(sources)
    for node in nodes:
        if any(one in found for one in node.all_input_nodes):
            found.add(node)
    return found


def run_nodes(
    nodes: Sequence[fx.Node], values: Values, compute: Callable[[fx.Node, Values], Any], *, keep: set[fx.Node]
) -> None:
    """Compute nodes in order; a value that is not kept is let go of behind its last use."""
    last: dict[fx.Node, fx.Node] = {one: node for node in nodes for one in (node, *node.all_input_nodes)}
    gone: dict[fx.Node, list[fx.Node]] = {}
    for one, node in last.items():
        gone.setdefault(node, []).append(one)
    for node in nodes:
        values[node] = compute(node, values)
        for one in gone.get(node, ()):
            if one not in keep:
                values.pop(one, None)


def run_node(module: nn.Module, node: fx.Node, values: Mapping[fx.Node, Any]) -> Any:
    """Return the value of one node."""
    if node.op == "get_attr":
        return getattr(module, str(node.target))
    function: Any = node.target
    return function(*fx.node.map_arg(node.args, values.__getitem__), **fx.node.map_arg(node.kwargs, values.__getitem__))
