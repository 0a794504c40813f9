"""Concepts: what a layer's activations are made of, and how much of a class's score hangs on each part (CRAFT)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Float64
from torch import Tensor, nn

from glassnet.console import progress
from glassnet.errors import InputError, checked_integer, is_integer
from glassnet.images import ImageRows, Images, check_images, image_batches
from glassnet.microscope.behind import layer_of_channels
from glassnet.microscope.concepts_result import Concepts
from glassnet.microscope.factors import coefficients, fit_bank
from glassnet.microscope.layer import LayerCalls, find_layer
from glassnet.microscope.outcomes import class_table, output_reader
from glassnet.microscope.replay import Replay
from glassnet.microscope.sobol import Design, make_design
from glassnet.models.capture import tapped
from glassnet.models.inference import ModelCall, call_model, translate_torch_errors
from glassnet.models.layers import Call
from glassnet.models.parts import Part, describe
from glassnet.models.receptive.field import ReceptiveField
from glassnet.models.receptive.find import receptive_field_of
from glassnet.models.undisturbed import undisturbed
from glassnet.stats import mean_ci

Target = int | Callable[[Tensor], Tensor] | None
"""A class, a function from the output to a score for each image, or None for each image's highest class."""
ROUNDING = 1e-5
"""Share of the largest activation below which a negative one is rounding."""


def concepts(
    model: nn.Module,
    images: Images | ImageRows,
    layer: str | nn.Module,
    k: int = 10,
    *,
    target: Target = None,
    seed: int = 0,
    points: int = 32,
    top: int = 9,
    most_rows: int = 20_000,
    output: Part | None = None,
    batch_size: int = 128,
    forward: ModelCall | None = None,
) -> Concepts:
    """Factor a layer's activations into k non-negative concepts, and measure how much a score depends on each.

    A ≈ U W by least squares, with U and W non-negative. A row of A is the layer's output at one position of one image,
    which sees a crop the size of the receptive field. (CRAFT factors crops that are resized to the size of the whole
    image and averaged, a scale the network was not trained on.) A concept's importance is the total Sobol index of its
    mask m in the score of g((m U) W), where g is the network after the layer and m is uniform in [0, 1]; Jansen's
    estimator is used. Each image has its own masks, so the interval over images includes the error of the masks.

    Fel et al. 2023, https://arxiv.org/abs/2211.10154.

    Args:
        model: Any module that takes a batch of images, or whatever `forward` passes it; it is left as it was found.
        images: (n, channel, height, width), uint8 or float as the model takes it; usually images of one class. Their
            activations at the layer are held in memory.
        layer: One layer with non-negative activations, such as a ReLU: its name or the module; "last-conv" as in
            `ablate`.
        k: Number of concepts.
        target: The class whose score is explained, or a function from the output to one score per image; each image's
            highest class by default.
        seed: Seed of the factorisation and the masks.
        points: n of the n (k + 2) masks of an image, a power of two.
        top: Number of strongest images kept for each concept.
        most_rows: Number of positions that the concepts are fitted to, drawn at random; coefficients are computed for
            all positions.
        output: Which part of the model's output holds the scores, if the output is not a tensor.
        batch_size: Images per forward pass.
        forward: How the model is called on a batch, as in `explain`.

    Raises:
        InputError: There is no such layer or class; the layer runs twice, or its output has NaN, negative numbers or
            only zeros; or there are fewer channels or active positions than concepts.
    """
    check_images(images, batch_size)
    k, points, top, seed = _checked(k, points, top, most_rows, seed)
    call, read = forward or call_model, output_reader(output)
    found = find_layer(model, layer_of_channels(model, layer, images, call), images, call)
    if len(found.readings) > 1:
        raise InputError(
            f"layer '{found.module}' runs {len(found.readings)} times; name one call, such as '{found.module}:0'."
        )
    field = _field(model, found, images, call)
    with undisturbed(model) as put_back, torch.no_grad():
        network = _Network(Replay(model, [found.module], _edit(found), call, read, put_back), found)
        maps = network.activations(images, batch_size)
        rows = maps.transpose(0, 2, 3, 1).reshape(-1, maps.shape[1])
        bank = fit_bank(rows, k, seed=seed, most_rows=most_rows)
        strength = coefficients(rows, bank)
        error = float(np.linalg.norm(rows - strength @ bank) / np.linalg.norm(rows))
        of_maps = strength.reshape(len(maps), *maps.shape[2:], k).transpose(0, 3, 1, 2).astype(np.float32)
        masks = _Masks(k, points, seed)
        judged = network.judge(images, batch_size, maps, of_maps, bank.astype(np.float32), masks, target)
    result = _result(found.name, field, of_maps, bank, judged, top, seed)
    size = (int(images.shape[2]), int(images.shape[3]))
    return replace(result, target=_number(target), reconstruction_error=error, image_size=size)


def _number(target: Any) -> int | None:
    return int(target) if is_integer(target) else None


def _checked(k: int, points: int, top: int, most_rows: int, seed: int) -> tuple[int, int, int, int]:
    """Return k, points, top and seed as plain numbers.

    Raises:
        InputError: One of them, or most_rows, cannot be.
    """
    k, points = checked_integer("k", k, least=1), checked_integer("points", points)
    if points < 2 or points & (points - 1):
        raise InputError(f"points is {points}, expected a power of two of at least 2, such as 32.")
    if checked_integer("most_rows", most_rows) < k:
        raise InputError(f"most_rows is {most_rows}, expected at least k = {k}.")
    return k, points, checked_integer("top", top, least=1), checked_integer("seed", seed, least=0, most=2**32 - 1)


def _field(model: nn.Module, layer: LayerCalls, images: Images | ImageRows, call: ModelCall) -> ReceptiveField | None:
    """Return what each place of the layer sees; None where that is not known, as of a layer without a gradient."""
    try:
        return receptive_field_of(model, next(iter(layer.readings)), images, name=layer.name, forward=call)
    except InputError:
        return None


def _edit(layer: LayerCalls) -> Any:
    def edit(call: Call, given: Tensor, inputs: Sequence[Tensor], _size: int) -> Tensor:
        return layer.with_maps(call, given, inputs[0]) if call in layer.readings else given

    return edit


@dataclass(frozen=True)
class _Masks:
    """Masks of k concepts, other ones for each image, which do not depend on the batch that it is in."""

    concepts: int
    points: int
    seed: int

    @property
    def each(self) -> int:
        """Masks of an image."""
        return self.points * (self.concepts + 2)

    def of_image(self, number: int) -> Design:
        return make_design(self.concepts, self.points, (self.seed, number))


@dataclass(frozen=True, eq=False)
class _Judged:
    """What came of the images: total indices (n, k), outputs as they are and of the reconstruction."""

    indices: Float64[np.ndarray, "n k"]
    outputs: Float64[np.ndarray, "n ..."]
    kept: Float64[np.ndarray, "n ..."]


@dataclass(frozen=True)
class _Network:
    """A network whose layer is given other activations."""

    replay: Replay
    layer: LayerCalls

    def activations(self, images: Images | ImageRows, batch_size: int) -> Float32[np.ndarray, "n c h w"]:
        """Return the layer's activations.

        Raises:
            InputError: They cannot be factored.
        """
        parts: list[np.ndarray] = []
        size = 0

        def tap(call: Call, given: Tensor) -> None:
            if call in self.layer.readings:
                parts.append(self.layer.to_maps(call, given, size).float().cpu().numpy().copy())

        for _, batch in image_batches(self.replay.model, images, batch_size):
            size = len(batch)
            self.replay.put_back()
            with tapped(self.replay.model, [self.layer.module], tap), translate_torch_errors(self.replay.model, batch):
                self.replay.call(self.replay.model, batch)
        maps = np.concatenate(parts)
        _check(maps, self.layer.name)
        return np.maximum(maps, 0)

    def judge(
        self,
        images: Images | ImageRows,
        batch_size: int,
        maps: Float32[np.ndarray, "n c h w"],
        strength: Float32[np.ndarray, "n k h w"],
        bank: Float32[np.ndarray, "k c"],
        masks: _Masks,
        target: Target,
    ) -> _Judged:
        """Run what follows the layer on the activations, on their reconstruction and on masked concepts."""
        indices, outputs, kept = [], [], []
        with progress("concepts", len(maps) * masks.each, announce=False) as advance:
            for start, batch in image_batches(self.replay.model, images, batch_size):
                own, parts, directions = (
                    torch.from_numpy(one).to(batch.device)
                    for one in (maps[start : start + len(batch)], strength[start : start + len(batch)], bank)
                )
                run = self._runner(batch, own)
                given = run(own)
                score = _scorer(given, target)
                designs = [masks.of_image(number) for number in range(start, start + len(batch))]
                values = []
                for mask in torch.from_numpy(np.stack([one.points for one in designs], axis=1)).to(own):
                    masked = torch.einsum("nkhw,kc->nchw", parts * mask[:, :, None, None], directions)
                    values.append(score(run(masked)).double().cpu().numpy())
                    advance(len(batch))
                by_image = np.stack(values, axis=1)
                indices.append([one.total_indices(own) for one, own in zip(designs, by_image, strict=True)])
                outputs.append(given.double().cpu().numpy())
                kept.append(run(torch.einsum("nkhw,kc->nchw", parts, directions)).double().cpu().numpy())
        return _Judged(*(np.concatenate(one) for one in (indices, outputs, kept)))

    def _runner(self, images: Tensor, maps: Tensor) -> Callable[[Tensor], Tensor]:
        suffix = self.replay.begin(images, [maps], [maps.flip(0, 1)])
        if suffix is None:
            return lambda other: self.replay.whole_pass(images, [other])
        return lambda other: suffix.output([other.contiguous()])  # as in the trace


def _check(maps: np.ndarray, layer: str) -> None:
    if not np.isfinite(maps).all():
        bad = int((~np.isfinite(maps)).reshape(len(maps), -1).any(axis=1).argmax())
        raise InputError(f"layer '{layer}' gives NaN or infinity for image {bad}; look for NaN in the weights.")
    if maps.min() < -ROUNDING * np.abs(maps).max():
        raise InputError(
            f"layer '{layer}' gives negative activations, down to {maps.min():.3g}, which have no non-negative "
            "factors; choose a layer after a ReLU."
        )
    if not (maps > 0).any():
        raise InputError(f"layer '{layer}' gives only zeros for these images; choose another layer.")


def _scorer(given: Tensor, target: Target) -> Callable[[Tensor], Tensor]:
    """Return what takes the score of each image out of an output, always of the same class.

    Raises:
        InputError: There is no such class.
    """
    size = len(given)
    if callable(target):
        function = target

        def score(output: Tensor) -> Tensor:
            values = function(output)
            if not isinstance(values, Tensor) or values.shape != (size,):
                raise InputError(f"target gives {describe(values)} for {size} images, expected one score per image.")
            return values

        return score
    table = class_table(given, size)
    if target is None:
        classes = table.argmax(dim=1, keepdim=True)
    elif (number := _number(target)) is not None and 0 <= number < table.shape[1]:
        classes = torch.full((size, 1), number, device=given.device)
    else:
        raise InputError(f"target is {target!r}, expected a class from 0 to {table.shape[1] - 1}, or a callable.")
    return lambda output: class_table(output, size).gather(1, classes)[:, 0]


def _result(
    layer: str,
    field: ReceptiveField | None,
    strength: Float32[np.ndarray, "n k h w"],
    bank: Float64[np.ndarray, "k c"],
    judged: _Judged,
    top: int,
    seed: int,
) -> Concepts:
    means = [mean_ci(one, seed=seed) for one in judged.indices.T]
    importance = np.array([np.nan if one.mean is None else one.mean for one in means])
    order = np.lexsort((-strength.sum(axis=(0, 2, 3)), -np.nan_to_num(importance, nan=-1)))
    strength, means = np.ascontiguousarray(strength[:, order]), [means[number] for number in order]
    flat = strength.reshape(*strength.shape[:2], -1)
    highest, where = flat.max(axis=2).T, flat.argmax(axis=2).T
    best = np.argsort(-highest, axis=1, kind="stable")[:, :top]
    values, places = (np.take_along_axis(one, best, axis=1) for one in (highest, where))
    images, where = np.where(values > 0, best, -1), np.stack(np.divmod(places, strength.shape[3]), axis=2)
    known = field is not None and field.map_size == strength.shape[2:]
    boxes = field.boxes(where.reshape(-1, 2)).reshape(*where.shape[:2], 4) if field is not None and known else None
    outputs, kept = judged.outputs, judged.kept
    spread = float(np.square(outputs - outputs.mean(axis=0)).sum())
    is_table = outputs.ndim == 2 and outputs.shape[1] > 1
    return Concepts(
        layer=layer,
        target=None,
        images=len(strength),
        bank=bank[order].astype(np.float32),
        coefficients=strength,
        importance=importance[order],
        intervals=tuple(None if one.low is None or one.high is None else (one.low, one.high) for one in means),
        importance_by_image=judged.indices[:, order],
        top_images=images.astype(np.int64),
        top_places=where.astype(np.int64),
        top_coefficients=values,
        top_boxes=None if boxes is None else np.where(images[..., None] < 0, 0, boxes),
        reconstruction_error=0.0,
        logit_r2=1 - float(np.square(outputs - kept).sum()) / spread if spread > 0 else None,
        agreement=float((outputs.argmax(axis=1) == kept.argmax(axis=1)).mean()) if is_table else None,
        image_size=(1, 1),
    )
