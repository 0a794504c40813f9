"""Gradient ascent on pictures, many at a time: noise that becomes what drives a channel."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from glassnet.console import step
from glassnet.errors import InputError
from glassnet.images import device_of, first_weight
from glassnet.microscope.objective import Aim, Watched
from glassnet.microscope.pictures import Canvas, Transforms, generator_of
from glassnet.microscope.window import Window
from glassnet.models.inference import translate_torch_errors

_BETAS = (0.9, 0.95)
"""Adam's; the second is below the usual 0.999, since early gradients say little about a picture's last steps."""
_CALM = 0.25
"""Share of the steps, the last ones, without transformations."""
_LOUDER, _LOUDEST = 1.5, 3.0
"""Factor on the noise of a picture that has no gradient, and the most that it is drawn to, in logits."""
_PATIENCE = 20
"""Steps without a gradient until a picture starts again from the best real image."""


@dataclass(frozen=True)
class Ascent:
    """The ascent of all pictures.

    Attributes:
        watched: The layer.
        aim: What is to be driven.
        canvas: The space of pictures.
        transforms: What is done to them in each step.
        steps: Of the ascent.
        rate: Adam's first step size.
        diversity: How much copies are kept apart.
        copies: Pictures of each channel.
        seed: Of all that is drawn.
        window: The part of the pictures that a neuron sees, if that is known.
        best: Gives the real image that drives an aim most, where there is one of the pictures' size.
    """

    watched: Watched
    aim: Aim
    canvas: Canvas
    transforms: Transforms | None
    steps: int
    rate: float
    diversity: float
    copies: int
    seed: int
    window: Window | None
    best: Callable[[int], Float[Tensor, "channel height width"]] | None

    def batches(
        self, batch_size: int
    ) -> Iterator[tuple[Float[Tensor, "batch channel height width"], Float[Tensor, " batch"], Bool[Tensor, " batch"]]]:
        """Yield pictures, what they reach and which are dead; a channel's copies stay together."""
        together, count = max(1, batch_size // self.copies), len(self.aim.channels)
        for start in range(0, count, together):
            which = torch.arange(start, min(start + together, count)).repeat_interleave(self.copies)
            yield self._climb(which, start, count)

    def _climb(self, which: Int[Tensor, " batch"], done: int, count: int) -> tuple[Tensor, Tensor, Tensor]:
        device = device_of(self.watched.model)
        generators = [
            generator_of(self.seed, self.watched.layer.name, int(self.aim.channels[one]), number % self.copies)
            for number, one in enumerate(which.tolist())
        ]
        spectrum = torch.stack([self.canvas.noise(one) for one in generators]).to(device).requires_grad_()
        drawn = torch.stack([2 * torch.rand(self.steps, 4, generator=one) - 1 for one in generators], dim=1).to(device)
        optimizer = torch.optim.Adam([spectrum], lr=self.rate, betas=_BETAS)
        still = torch.zeros(len(which), dtype=torch.long, device=device)
        which = which.to(device)
        for number in range(self.steps):
            step("pictures", done + len(which) / self.copies * number / self.steps, count)
            gone = number / self.steps
            optimizer.param_groups[0]["lr"] = self.rate * (1 + math.cos(math.pi * gone)) / 2
            strength = max(0.0, 1 - gone / (1 - _CALM))
            spectrum.grad = self._gradient(spectrum, which, drawn[number], strength)
            asleep = ~spectrum.grad.flatten(1).any(dim=1)
            still = torch.where(asleep, still + 1, 0)
            optimizer.step()
            spectrum.data = self.canvas.bounded(spectrum.data)
            if asleep.any():
                self._wake(spectrum, still, which)
        with torch.no_grad():
            pictures = self.canvas.pictures(spectrum)
            reached = self.aim.of_pictures(self._maps(pictures, self.watched), which)
        return pictures, reached, still == self.steps

    def _gradient(
        self, spectrum: Tensor, which: Int[Tensor, " batch"], drawn: Float[Tensor, "batch 4"], strength: float
    ) -> Tensor:
        """Return the downhill gradient of what is to be raised, picture by picture."""
        pictures = self.canvas.pictures(spectrum)
        if self.transforms is not None and strength > 0:
            level = self.canvas.level.to(pictures.device)
            pictures = self.transforms(pictures - level, drawn, strength, self._seen()) + level
        maps, aim = self._maps(pictures, self.window or self.watched), self.aim
        if not maps.requires_grad:
            raise InputError(
                f"no gradient path leads from layer '{self.watched.layer.name}' to the images, because of "
                "torch.no_grad() or a rounding, for example; choose another layer."
            )
        if self.window is not None:
            aim = replace(aim, place=self.window.place)
        scores = aim.of_pictures(maps, which)
        if self.diversity and self.copies > 1:
            scores = scores - self.diversity * scores.detach().abs() * likeness(maps, self.copies)
        with translate_torch_errors(self.watched.model, pictures):
            return torch.autograd.grad(-scores.sum(), spectrum)[0]

    def _seen(self) -> tuple[float, float]:
        if self.window is None:
            return 1.0, 1.0
        return self.window.height / self.canvas.height, self.window.width / self.canvas.width

    def _maps(self, pictures: Tensor, by: Watched | Window) -> Tensor:
        return by.maps(pictures.to(first_weight(self.watched.model).dtype))

    def _wake(self, spectrum: Tensor, still: Int[Tensor, " batch"], which: Int[Tensor, " batch"]) -> None:
        """Make pictures that nothing pulls at louder, and start them from the best real image if that does not help."""
        with torch.no_grad():
            for number in torch.nonzero(still).flatten().tolist():
                if self.best is not None and still[number] == _PATIENCE and self.canvas.norm is None:
                    spectrum[number] = self.canvas.spectrum(self.best(int(which[number]))).to(spectrum)
                elif still[number] < _PATIENCE and self.canvas.field(spectrum[number : number + 1]).std() < _LOUDEST:
                    spectrum[number] *= _LOUDER


def likeness(maps: Float[Tensor, "batch channel height width"], copies: int) -> Float[Tensor, " batch"]:
    """Return each picture's mean cosine with its channel's other copies, between Gram matrices of the layer's maps."""
    flat = maps.flatten(2)
    grams = F.normalize((flat @ flat.mT).flatten(1), dim=1)
    groups = grams.unflatten(0, (-1, copies))
    cosines = groups @ groups.mT
    others = cosines.sum(dim=2) - cosines.diagonal(dim1=1, dim2=2)
    return (others / (copies - 1)).flatten()
