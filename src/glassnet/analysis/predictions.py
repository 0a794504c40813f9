"""What a classifier says of images without labels: its likeliest classes, where it looks, the channels that say so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32, Int, Shaped
from torch import Tensor, nn

from glassnet.analysis.base import Context, Kind, Precision
from glassnet.analysis.scores import as_probabilities
from glassnet.analysis.selection import is_elsewhere, select
from glassnet.attribution import Explanation, explain
from glassnet.attribution.engine.guided import GuidedReLUError
from glassnet.attribution.engine.maps import resize
from glassnet.display import Shown
from glassnet.errors import InputError
from glassnet.images import image_batches
from glassnet.models.capture import tapped
from glassnet.models.inference import call_model
from glassnet.models.layers import Call
from glassnet.models.undisturbed import undisturbed
from glassnet.subject import Part, Subject


@dataclass(frozen=True)
class PredictionsRequest:
    """What is asked.

    Attributes:
        images: Indices or a rule.
        top: Likeliest classes that are named of each image.
        channels: Channels of the last convolution that are shown of each image.
        split: Part of the images.
        precision: Of the forward and backward passes of the maps.
    """

    images: str = "first:12"
    top: int = 5
    channels: int = 3
    split: Part = "test"
    precision: Precision = "fp32"


@dataclass(frozen=True, eq=False)
class Predictions(Shown):
    """What was found of each image.

    Attributes:
        names: File or number of each image.
        layer: The last convolution, or what follows it at its size (batch-norm, ReLU); "" where there is none.
        images: The images.
        classes: The likeliest classes, the likeliest first.
        probabilities: Theirs.
        maps: By method, what speaks for the likeliest class.
        channels: Numbers of the channels that add most to that class's score.
        added: What each adds to the score.
        activations: Where each is active, at the images' size.
    """

    names: tuple[str, ...]
    layer: str
    images: Shaped[np.ndarray, "n channel height width"]
    classes: Int[np.ndarray, "n top"]
    probabilities: Float32[np.ndarray, "n top"]
    maps: Mapping[str, Shaped[np.ndarray, "n ..."]]
    channels: Int[np.ndarray, "n shown"]
    added: Float32[np.ndarray, "n shown"]
    activations: Float32[np.ndarray, "n shown height width"]

    def __repr__(self) -> str:
        """Say in one line what it holds."""
        return f"Predictions({len(self.names)} images, {self.classes.shape[1]} classes each)"


def compute(subject: Subject, request: PredictionsRequest, context: Context) -> Predictions:
    """Name the likeliest classes of some images, and show what speaks for the likeliest.

    Raises:
        InputError: There are no such images, or the model's outputs are no scores of classes.
    """
    if request.top < 1 or request.channels < 0:
        raise InputError(f"top is {request.top} and channels {request.channels}, expected at least 1 and 0.")
    (group,) = select(subject, request.images, request.split, request.precision, context)
    model = context.once(("model", id(subject)), lambda: subject.model(context.device))
    layer = last_maps(model, group.images)
    explained = _explained(model, group.images, layer, request.precision)
    assert explained.output is not None
    known = as_probabilities(subject, torch.from_numpy(explained.output))
    probabilities, classes = known.topk(min(request.top, known.shape[1]), dim=1)
    channels, added, activations = strongest_channels(model, group.images, layer, classes[:, 0], request.channels)
    return Predictions(
        names=tuple(group.name_of(row, request.split) for row in range(len(group.images))),
        layer=layer or "",
        images=group.images.cpu().numpy(),
        classes=classes.numpy(),
        probabilities=probabilities.numpy(),
        maps={method: values for (method, _), values in explained.maps.items()},
        channels=channels,
        added=added,
        activations=activations,
    )


def _explained(model: nn.Module, images: Tensor, layer: str | None, precision: Precision) -> Explanation:
    """Explain the likeliest class by Grad-CAM and its guided form, or by what the model has them for."""
    layers, usual = (layer or "conv", "gradcam" if layer else "saliency")
    guided = "guided_gradcam" if layer else "guided_backpropagation"
    try:
        return explain(model, images, layers=layers, methods=(usual, guided), precision=precision)
    except GuidedReLUError:
        return explain(model, images, layers=layers, methods=usual, precision=precision)


def last_maps(model: nn.Module, images: Tensor) -> str | None:
    """Name the last layer that gives maps: the last convolution that runs, or the batch-norm and ReLU right behind it.

    A convolution before batch-norm has no zero of its own: only what follows says which of its channels are active.
    Layers count as long as they keep the map's size and run once. None where no convolution gives more than a pixel.
    """
    ran: list[tuple[str, tuple[int, ...]]] = []
    modules = dict(model.named_modules())
    leaves = [name for name, module in modules.items() if name and not list(module.children())]

    def note(call: Call, output: Any) -> None:
        ran.append((call[0], tuple(output.shape) if isinstance(output, Tensor) else ()))

    with undisturbed(model), torch.no_grad(), tapped(model, leaves, note):
        for _, image in image_batches(model, images[:1], 1):
            call_model(model, image)
    names = [name for name, _ in ran]
    maps = [isinstance(modules[name], nn.Conv2d) and len(shape) == 4 and max(shape[2:]) > 1 for name, shape in ran]
    if not any(maps):
        return None
    place = len(maps) - 1 - maps[::-1].index(True)
    chosen, shape = ran[place]
    for name, other in ran[place + 1 :]:
        if other != shape or names.count(name) > 1:
            break
        chosen = name
    return chosen


def strongest_channels(
    model: nn.Module, images: Tensor, layer: str | None, classes: Int[Tensor, " n"], count: int
) -> tuple[Int[np.ndarray, "n shown"], Float[np.ndarray, "n shown"], Float[np.ndarray, "n shown height width"]]:
    """Return the channels of a layer that add most to the score of each image's class, how much, and where.

    Channel k adds sum_ij A_kij dy/dA_kij to the score y, with A the layer's maps. Where only an average and a linear
    layer follow these are the very summands of the score, besides its bias; else they are so to first order.

    Args:
        model: The classifier.
        images: (n, channel, height, width).
        layer: A layer that gives (n, channel, height, width); None gives no channels.
        classes: The class of each image.
        count: Channels an image, at most.
    """
    size, found = images.shape[2:], []
    kept: dict[str, Tensor] = {}

    def cut(_call: Call, output: Any) -> Tensor:
        kept["maps"] = output.detach().requires_grad_()
        return kept["maps"].clone()  # which in-place layers may write over

    with undisturbed(model), torch.enable_grad(), tapped(model, [layer] if layer else [], cut):
        for start, batch in image_batches(model, images, 4) if layer else ():
            wanted = classes[start : start + len(batch)].to(batch.device)[:, None]
            score = call_model(model, batch).gather(1, wanted).sum()
            (gradient,) = torch.autograd.grad(score, kept["maps"], allow_unused=True)
            maps = kept["maps"].detach()
            if maps.ndim != 4 or gradient is None:
                break
            most = (maps * gradient).sum(dim=(2, 3)).topk(min(count, maps.shape[1]), dim=1)
            shown = maps.gather(1, most.indices[:, :, None, None].expand(-1, -1, *maps.shape[2:]))
            found.append((most.indices, most.values, _enlarged(shown, size)))
    if not found:
        nothing = np.zeros((len(images), 0))
        return nothing.astype(np.int64), nothing.astype(np.float32), np.zeros((len(images), 0, *size), np.float32)
    indices, values, activations = (torch.cat(parts).cpu().numpy() for parts in zip(*found, strict=True))
    return indices, values.astype(np.float32), activations.astype(np.float32)


def _enlarged(maps: Tensor, size: torch.Size) -> Tensor:
    return resize(maps.flatten(0, 1), size).unflatten(0, maps.shape[:2])


def _words(_subject: Subject, request: PredictionsRequest) -> Iterable[str]:
    return (request.images.replace(":", ""), f"top{request.top}")


def _made_of(subject: Subject, request: PredictionsRequest, _context: Context) -> dict[str, Any]:
    if is_elsewhere(request.images):
        raise InputError(f"images is '{request.images}', expected indices, or a rule as in first:12.")
    return subject.made_of(request.split)


PREDICTIONS = Kind(
    name="predictions",
    request=PredictionsRequest,
    result=lambda _subject: Predictions,
    compute=compute,
    words=_words,
    plots=lambda _subject, _request, _result, _context: (),
    made_of=_made_of,
    code=("analysis", "attribution", "models", "tasks"),
)
