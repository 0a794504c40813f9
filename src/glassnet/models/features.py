"""Features: what any layers give for any number of images, in one pass over batches."""

import os
from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from glassnet.devices import autocast, choose_precision
from glassnet.errors import InputError
from glassnet.images import ImageRows, Images, check_images, device_of, image_batches
from glassnet.models.array_buffers import ArrayBuffers, FileBuffers
from glassnet.models.capture import tapped
from glassnet.models.inference import ModelCall, call_model, translate_torch_errors
from glassnet.models.last_layer import settle_last
from glassnet.models.layers import (
    Call,
    LayerChoice,
    asked_by_name,
    name_calls,
    say_left_out,
    select_layers,
    split_call,
)
from glassnet.models.layout.reading import Reading
from glassnet.models.layout.trace import MODULES_OF_MAPS, is_plain, plain_reading, trace_or_reason
from glassnet.models.parts import Part, layer_tensor
from glassnet.models.undisturbed import undisturbed


def extract_features(
    model: nn.Module,
    images: Images | ImageRows,
    layers: LayerChoice,
    *,
    pool: Literal["mean", "none"] = "mean",
    batch_size: int = 512,
    precision: Literal["auto", "fp32", "bf16"] = "fp32",
    out: str | os.PathLike[str] | None = None,
    output: Part | None = None,
    forward: ModelCall | None = None,
) -> dict[str, Float[np.ndarray, "n d"]]:
    """Return what layers give for each image, as one float32 row of d numbers an image.

    The model stays on its device and is left as it was found, also when it raises.

    Args:
        model: Any module that takes one image batch, or what `forward` gives it.
        images: (n, channel, height, width): uint8 (scaled to [0, 1] here, a batch at a time) or float as the model
            takes it; a tensor or a NumPy array.
        layers: What `select_layers` takes: names, patterns, kinds, modules (which stand under their names). A layer
            that runs twice gives "relu:0" and "relu:1". What a kind or a pattern brings in and gives no rows is left
            out, and a message says why.
        pool: "mean" averages each channel over all that is no channel: pixels, tokens, the class token among them;
            "none" keeps every number, d = everything flattened. Which axis holds channels, and which one runs over the
            images, a trace of the forward pass tells: (n, d, height, width), (n, height, width, d), (n, tokens, d),
            (tokens, n, d), windows.
        batch_size: Images per forward pass; it changes memory and time, not the result.
        precision: "bf16" computes under autocast, "auto" where the hardware gains from it; the rows are always float32.
        out: Folder to which the rows stream as LAYER.npy, a file a layer, so that memory does not grow with the number
            of images (which may be a memory map themselves); the arrays returned are read-only memory maps of these
            files. A file takes its name when all its rows are there, in place of an older one of that name.
        output: Which part of what a layer gives is taken, where that is a tuple or a dict, as of an LSTM or a block of
            a transformer: a name, an index, or a callable from the layer's output to a tensor. Without it, the only
            tensor in it.
        forward: How the model is called on a batch, as `explain` takes it.

    Raises:
        InputError: An image is NaN, the shape is wrong, a layer is unknown, did not run, or gives no tensor or one
            whose channel axis is not known, or `out` cannot be written.
    """
    if pool not in ("mean", "none"):
        raise InputError(f"pool is '{pool}', expected mean or none.")
    check_images(images, batch_size)
    layers = settle_last(model, layers, images, forward=forward)
    names, asked = select_layers(model, layers), asked_by_name(model, layers)
    device = device_of(model)
    chosen = choose_precision(precision, device)
    layouts = Layouts(model, {split_call(name)[0] for name in names}, forward or call_model, output)
    # no_grad, not inference_mode: what a model keeps for itself (a cached position table) must stay fit for training.
    with ExitStack() as stack:
        rows: ArrayBuffers[Call] | FileBuffers[Call] = ArrayBuffers(len(images))
        if out is not None:
            files: FileBuffers[Call] = FileBuffers(len(images), out)
            rows = stack.enter_context(files)
        taken = _RowTap(layouts, rows, pool)
        with undisturbed(model), torch.no_grad(), tapped(model, layouts.modules, taken) as counts:
            for _, batch in image_batches(model, images, batch_size):
                taken.size = len(batch)
                layouts.prepare(batch, autocast(device, chosen))
                counts.clear()
                with translate_torch_errors(model, batch), autocast(device, chosen):
                    layouts.call(model, batch)
                named = name_calls(names, asked, taken.ran)
        say_left_out(names, taken.ran)
        return rows.named(named)


@dataclass
class _RowTap:
    """Puts a row an image of what each layer gives into buffers, and notes why where there are none.

    Attributes:
        layouts: How the layers' outputs become rows.
        rows: The buffers.
        pool: "mean" or "none".
        size: Images in the batch at hand.
        ran: By call, why it gives no rows, or "".
    """

    layouts: "Layouts"
    rows: ArrayBuffers[Call] | FileBuffers[Call]
    pool: str
    size: int = 0
    ran: dict[Call, str] = field(default_factory=dict)

    def __call__(self, call: Call, given: Any) -> None:
        """Take what a layer gives."""
        if self.layouts.readings is None:  # the pass that is traced
            return
        value = layer_tensor(given, self.layouts.part)
        self.ran[call] = _problem(value) or self.layouts.problem(call, value, self.size, self.pool)
        if not self.ran[call]:
            self.rows.put(call, self.layouts.rows(call, value, self.size, self.pool))


def _problem(output: Any) -> str:
    if not isinstance(output, Tensor):
        kind = type(output).__name__
        return f"gives a {kind} instead of a tensor; choose a part with output=, or choose a layer inside it"
    return "gives a single number for all images, not one row per image" if output.ndim == 0 else ""


@dataclass
class Layouts:
    """How layers' outputs become rows: as modules of images only give them, or as a trace of the forward pass tells."""

    model: nn.Module
    modules: Collection[str]
    call: ModelCall
    part: Part | None = None
    readings: Mapping[Call, Reading] | None = None
    untraced: str = ""

    def prepare(self, images: Tensor, precision: AbstractContextManager[Any]) -> None:
        """Trace the forward pass once, if there is a module whose kind does not say what it gives."""
        if self.readings is None:
            plain = all(isinstance(self.model.get_submodule(name), MODULES_OF_MAPS) for name in self.modules)
            with precision:
                traced = ({}, "") if plain else trace_or_reason(self.model, images, self.modules, self.call, self.part)
            self.readings, self.untraced = traced

    def problem(self, call: Call, output: Tensor, size: int, pool: str) -> str:
        """Say why an output gives no row an image, or ""."""
        shape, reading = tuple(output.shape), self._reading(call, output, size)
        if reading is not None:
            reason = reading.problem_as_rows(mean=pool == "mean")
        elif len(output) == size and (pool == "none" or len(shape) == 2):
            reason = ""
        else:
            reason = self.untraced or "does not have the same layout in every pass"
        return reason and f"gives a tensor of shape {shape} for {size} images, which {reason}; {_ADVICE[pool]}"

    def rows(self, call: Call, output: Tensor, size: int, pool: str) -> Shaped[Tensor, "batch d"]:
        """Return one row an image of an output for which there is no problem."""
        reading = self._reading(call, output, size)
        return output.reshape(len(output), -1) if reading is None else reading.to_rows(output, mean=pool == "mean")

    def _reading(self, call: Call, output: Tensor, size: int) -> Reading | None:
        reading = (self.readings or {}).get(call)
        if reading is None and is_plain(self.model.get_submodule(call[0]), output.shape, size):
            return plain_reading(output.shape)
        return reading if reading is not None and reading.fits(output.shape, size) else None


_ADVICE = {
    "mean": 'pass pool="none", which keeps all numbers, or choose another layer',
    "none": "choose another layer",
}
