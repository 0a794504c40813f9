"""Features: what any layers give for any number of images, in one pass over batches."""

import os
from contextlib import ExitStack
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from glassnet.devices import autocast, choose_precision
from glassnet.errors import InputError
from glassnet.images import Images, check_images, device_of, image_batches
from glassnet.models.array_buffers import ArrayBuffers, FileBuffers
from glassnet.models.capture import tapped, undisturbed
from glassnet.models.inference import translate_torch_errors
from glassnet.models.last_layer import settle_last
from glassnet.models.layers import Call, LayerChoice, asked_by_name, name_calls, select_layers, split_call


def extract_features(
    model: nn.Module,
    images: Images,
    layers: LayerChoice,
    *,
    pool: Literal["mean", "none"] = "mean",
    batch_size: int = 512,
    precision: Literal["auto", "fp32", "bf16"] = "fp32",
    out: str | os.PathLike[str] | None = None,
) -> dict[str, Float[np.ndarray, "n d"]]:
    """Return what layers give for each image, as one float32 row of d numbers an image.

    The model stays on its device and is left as it was found, also when it raises.

    Args:
        model: Any module that takes one image batch.
        images: (n, channel, height, width): uint8 (scaled to [0, 1] here, a batch at a time) or float as the model
            takes it; a tensor or a NumPy array.
        layers: What `select_layers` takes: names, patterns, kinds, modules (which stand under their names). A layer
            that runs twice gives "relu:0" and "relu:1".
        pool: "mean" averages feature maps (n, d, height, width) over their pixels and tokens (n, t, d) over t;
            "none" keeps every number, d = everything flattened.
        batch_size: Images per forward pass; it changes memory and time, not the result.
        precision: "bf16" computes under autocast, "auto" where the hardware gains from it; the rows are always float32.
        out: Folder to which the rows stream as LAYER.npy, a file a layer, so that memory does not grow with the number
            of images (which may be a memory map themselves); the arrays returned are read-only memory maps of these
            files. A file takes its name when all its rows are there, in place of an older one of that name.

    Raises:
        InputError: An image is NaN, the shape is wrong, a layer is unknown, did not run or gives no tensor, or `out`
            cannot be written.
    """
    if pool not in ("mean", "none"):
        raise InputError(f"pool is '{pool}', expected mean or none.")
    check_images(images, batch_size)
    layers = settle_last(model, layers, images)
    names, asked = select_layers(model, layers), asked_by_name(model, layers)
    device = device_of(model)
    chosen = choose_precision(precision, device)
    ran: dict[Call, str] = {}

    def store(call: Call, output: Any) -> None:
        ran[call] = _problem(output, size)
        if not ran[call]:
            rows.put(call, _one_row_each(output, pool))

    modules = {split_call(name)[0] for name in names}
    # no_grad, not inference_mode: what a model keeps for itself (a cached position table) must stay fit for training.
    with ExitStack() as stack:
        rows: ArrayBuffers[Call] | FileBuffers[Call] = ArrayBuffers(len(images))
        if out is not None:
            files: FileBuffers[Call] = FileBuffers(len(images), out)
            rows = stack.enter_context(files)
        with undisturbed(model), torch.no_grad(), tapped(model, modules, store) as counts:
            for _, batch in image_batches(model, images, batch_size):
                size = len(batch)
                counts.clear()
                with translate_torch_errors(model, batch), autocast(device, chosen):
                    model(batch)
                named = name_calls(names, asked, ran)
        return rows.named(named)


def _problem(output: Any, size: int) -> str:
    if not isinstance(output, Tensor):
        return f"gives a {type(output).__name__} instead of a tensor; ask for a layer inside it"
    if output.ndim == 0 or len(output) != size:
        return f"gives a tensor of shape {tuple(output.shape)} for {size} images, not one row an image"
    return ""


def _one_row_each(output: Shaped[Tensor, "batch ..."], pool: Literal["mean", "none"]) -> Shaped[Tensor, "batch d"]:
    if pool == "none" or output.ndim < 3:
        return output.reshape(len(output), -1)
    pooled = (1,) if output.ndim == 3 else tuple(range(2, output.ndim))
    return output.mean(dim=pooled, dtype=torch.float32)
