"""The table of a network's layers: what each takes and gives, holds and costs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from glassnet.console import say
from glassnet.display import Shown, brief, table_html
from glassnet.errors import GlassnetError, InputError
from glassnet.images import first_weight
from glassnet.models.inference import ModelCall, call_model, check_memory
from glassnet.models.macs import ModuleCall, charged_calls
from glassnet.models.receptive.reach import largest_window
from glassnet.models.receptive.trace import ReachTrace
from glassnet.models.structure import check_weights, own_children, own_parameters, whole_modules
from glassnet.models.undisturbed import keeping_state
from glassnet.tables import make_table
from glassnet.turns import eager, evaluating, layer_by_layer


@dataclass(frozen=True, repr=False)
class Layer(Shown):
    """One call of one layer, or a layer that is never called.

    Attributes:
        name: The module's name; for the model itself, its class.
        kind: The module's class.
        input: Shape of its first input tensor, without the batch; None if it has none or is never called.
        output: Shape of its first output tensor, likewise.
        parameters: Number of its own parameters, each counted in the first row that uses it.
        macs: Multiply-accumulates per image.
        trainable: Number of these parameters that are not frozen.
        receptive_field: Height and width in pixels of what one output unit sees; the largest, if units differ. None if
            the input is not an image, the layer does not depend on it, or the receptive field is not known.
    """

    name: str
    kind: str
    input: tuple[int, ...] | None
    output: tuple[int, ...] | None
    parameters: int
    macs: int
    trainable: int
    receptive_field: tuple[int, int] | None = None


class LayerTable(list[Layer]):
    """The layers of a network, one row each; a notebook shows them as a table."""

    def __repr__(self) -> str:
        """Say in one line how large the network is."""
        parameters, macs = sum(one.parameters for one in self), sum(one.macs for one in self)
        return f"LayerTable({len(self)} layers, {parameters:,} parameters, {macs:,} multiply-accumulates per image)"

    def _repr_html_(self) -> str:
        """Show a row a layer, and the sums."""
        rows = [
            (
                *(one.name, one.kind, brief(one.input), brief(one.output), brief(one.receptive_field)),
                *(f"{one.parameters:,}", f"{one.macs:,}"),
            )
            for one in self
        ]
        sums = ("", "", "", "", "", f"{sum(one.parameters for one in self):,}", f"{sum(one.macs for one in self):,}")
        columns = ("layer", "kind", "input", "output", "sees", "parameters", "multiply-accumulates")
        return f"<div>{table_html(make_table('', columns, rows, total=sums))}</div>"


def layer_table(
    model: nn.Module,
    input_shape: Sequence[int],
    *,
    forward: ModelCall | None = None,
) -> LayerTable:
    """List a model's layers in the order in which an image passes through them.

    There is one row for each call of each module without children; for each call of a module with children that has
    parameters of its own or multiplies itself (attention does both); and for each module that has parameters but is
    never called, such as attention's out_proj or a ParameterList. The last follow their neighbours and have no shapes
    (None). Parametrizations of a weight (weight_norm, spectral_norm) belong to the layer. Each parameter is counted
    once, frozen or not, so the sum is the model's number of parameters.

    Multiply-accumulates are counted for the operations that run, with the shapes they run with: convolutions, matrix
    products (linear layers, attention, einsum), fused attention and recurrent layers. They are half of the flops that
    `torch.utils.flop_counter` counts, and each belongs to the innermost module that runs it. Everything else (sums,
    norms, products with a vector) counts as 0, as usual.

    The model runs once, in evaluation mode, on an image of zeros, and is left as it was found. The layers inside a
    scripted, traced or exported model cannot be observed: one row has its whole cost, and the others its parameters.

    Args:
        model: Any module that takes one tensor, or whatever `forward` passes it.
        input_shape: (batch, channel, height, width), or any other shape that the model takes.
        forward: How the model is called on the images, if it takes more than images, as in
            lambda model, images: model(images, text).

    Raises:
        InputError: The model cannot take an input of this shape, or has lazy layers that were never called.
    """
    batch = _check(model, input_shape)
    images = _blank(model, input_shape)
    reaches = ReachTrace(images) if images.ndim == 4 else None

    def window(output: Tensor) -> tuple[int, int] | None:
        return None if reaches is None else largest_window(reaches.read(output))

    with ExitStack() as stack:
        for one in (keeping_state(model), evaluating(model), eager(), torch.no_grad()):
            stack.enter_context(one)
        calls = stack.enter_context(charged_calls(model, window))
        stack.enter_context(reaches or nullcontext())
        _run(model, images, forward or call_model)
    called = _with_something(calls)
    rows = _rows(model, called, batch)
    if _in_one_piece(model, called):
        say(
            f"{type(model).__name__} runs in one piece, like all scripted, traced and exported models: the sizes of "
            "its layers are not known, and one row has all its multiply-accumulates."
        )
    return LayerTable(rows)


_NEVER_CALLED = (nn.ParameterList, nn.ParameterDict)


def _in_one_piece(model: nn.Module, called: Sequence[ModuleCall]) -> bool:
    """Tell whether layers hold parameters, but none of these layers was seen running."""
    seen = any(own_parameters(one.module) for one in called if one.module is not model)
    layers = [one for one in model.modules() if one is not model and not isinstance(one, _NEVER_CALLED)]
    return not seen and any(map(own_parameters, layers))


def _check(model: nn.Module, shape: Sequence[int]) -> int:
    if not shape or not all(isinstance(n, int) and n > 0 for n in shape):
        raise InputError(f"input_shape is {shape!r}, expected whole numbers of at least 1, as in (1, 3, 32, 32).")
    check_weights(model, numbers=False)
    return shape[0]


def _blank(model: nn.Module, shape: Sequence[int]) -> Tensor:
    weight = first_weight(model)
    try:
        return torch.zeros(tuple(shape), device=weight.device, dtype=weight.dtype)
    except RuntimeError as error:
        check_memory(error, shape[0])
        raise InputError(_refusal(model, shape, error)) from error


def _run(model: nn.Module, images: Tensor, forward: ModelCall) -> None:
    # On several devices DataParallel works in threads, where operations are not counted.
    called = model.module if isinstance(model, nn.DataParallel) else model
    try:
        with layer_by_layer():
            forward(called, images)
    except GlassnetError:
        raise
    except Exception as error:  # whatever anybody's model raises
        check_memory(error, len(images))
        raise InputError(_refusal(model, images.shape, error)) from error


def _refusal(model: nn.Module, shape: Sequence[int], error: Exception) -> str:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".:")
    sentence = f"{type(model).__name__} cannot take an input of shape {tuple(shape)}: {reason}."
    if isinstance(error, TypeError | AttributeError | KeyError):
        sentence += " If it takes more than images, call it through forward=lambda model, images: …."
    return sentence


def _with_something(calls: Sequence[ModuleCall]) -> list[ModuleCall]:
    """Keep the calls of modules without children, and of those that hold or multiply something themselves."""
    outside, *inside = calls
    fine = [one for one in inside if one.macs or not own_children(one.module) or own_parameters(one.module)]
    return [*fine, *([outside] if outside.macs or not fine else [])]


def _rows(model: nn.Module, calls: Sequence[ModuleCall], batch: int) -> list[Layer]:
    counted: dict[int, nn.Parameter] = {}  # kept, since the number of what is gone may be given again

    def row(call: ModuleCall) -> Layer:
        new = {id(p): p for p in own_parameters(call.module) if id(p) not in counted}
        counted.update(new)
        held = sum(p.numel() for p in new.values())
        trainable = sum(p.numel() for p in new.values() if p.requires_grad)
        kind = getattr(call.module, "original_name", None) or _kind(call.module)
        name = call.name or type(model).__name__
        return Layer(name, kind, call.input, call.output, held, call.macs // batch, trainable, call.told)

    called = {one.module for one in calls}
    rows = [(one.name, row(one)) for one in calls]
    for name, module in whole_modules(model).items():
        if module not in called and any(id(p) not in counted for p in own_parameters(module)):
            place = _place(name, [one for one, _ in rows])
            rows.insert(place, (name, row(ModuleCall(name, module, None))))
    return [one for _, one in rows]


def _kind(module: nn.Module) -> str:
    """Name a module's class; a parametrized layer's is one that torch made from the layer's own."""
    made = type(module)
    return made.__mro__[1].__name__ if made.__module__ == "torch.nn.utils.parametrize" else made.__name__


def _place(name: str, before: Sequence[str]) -> int:
    """Find the place behind the last row of the nearest module around `name` that has rows, or of one inside it."""
    around = name
    while around:
        around = around.rpartition(".")[0]
        inside = [i for i, one in enumerate(before) if one == around or one.startswith(f"{around}.")]
        if around and inside:
            return inside[-1] + 1
    return len(before)
