"""What is explained of a reconstruction: its error, or one number of the latent code."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from glassnet.analysis.attribution import AttributionRequest
from glassnet.analysis.views import Described, ExplainViews, Facts, Group
from glassnet.attribution import Explanation
from glassnet.data import Split
from glassnet.data.batches import corrupt
from glassnet.errors import InputError
from glassnet.experiment import corruption_of
from glassnet.images import device_of, to_float
from glassnet.measures import show
from glassnet.models.autoencoder import Autoencoder
from glassnet.models.layers import select_layers
from glassnet.rng import PerImageRNG, SplitName
from glassnet.subject import Subject
from glassnet.tasks.reconstruction.learn import output_images

ERROR = "error"


def _check(_subject: Subject, request: AttributionRequest) -> None:
    """Refuse what only a class has."""
    if request.mask == "stroke":
        raise InputError("--mask stroke measures maps of a class's score, but a reconstruction has none; leave it out.")
    if request.images.startswith(("correct:", "wrong:", "mixed:")):
        raise InputError(
            f"--images is '{request.images}', but a reconstruction is neither right nor wrong; give indices such as "
            "3,14, first:8, or an image file or folder."
        )


def _layers(_subject: Subject, model: nn.Module, request: AttributionRequest) -> list[str]:
    """Return the layers asked for; the kind conv means those that lead up to what is explained."""
    if request.layers != ("conv",):
        return list(request.layers)
    # Outside training the code is its mean, so that its variance leads nowhere.
    leads_nowhere = ("log_variance", "decoder.") if request.target.startswith("latent") else ("log_variance",)
    return [name for name in select_layers(model, "conv") if not name.startswith(leads_nowhere)]


def _pair(subject: Subject, group: Group, request: AttributionRequest) -> tuple[Tensor, Tensor]:
    """Return a group's images as the model is given them, with the noise of their places, and their originals.

    A user's own files have no place in a part and are given as they are, as is everything to a network that glassnet
    did not train.
    """
    if not group.labelled:
        return (images := to_float(group.images)), images
    return given(subject, group.split, request.split)


def given(subject: Subject, split: Split, part: SplitName) -> tuple[Tensor, Tensor]:
    """Return some images of a part as the model is given them, with the noise of their places, and their originals."""
    images = to_float(split.images)
    if subject.settings is None:
        return images, images
    rng = PerImageRNG(subject.seed, part)
    return corrupt(images, split.numbers.tolist(), corruption=corruption_of(subject.settings), rng=rng)


def _inputs(subject: Subject, group: Group, request: AttributionRequest) -> Tensor:
    return _pair(subject, group, request)[0]


def _target(subject: Subject, model: nn.Module, group: Group, request: AttributionRequest) -> Callable[..., Tensor]:
    """Turn --target into a function from the model's output to a score of each image."""
    word = request.target
    if word == ERROR:
        return _error(_pair(subject, group, request)[1].to(device_of(model)))
    if not isinstance(model, Autoencoder):
        raise InputError(
            f"--target is '{word}', expected error: {subject.name} returns images only, without a code for latent:K."
        )
    dimensions = math.prod(model.latent_shape)
    kind, _, number = word.partition(":")
    if kind == "latent" and number.isdecimal() and int(number) < dimensions:
        return lambda output: output.mean.flatten(1)[:, int(number)]
    raise InputError(
        f"--target is '{word}', expected error, or latent:K with K from 0 to {dimensions - 1:,}, for a reconstruction."
    )


def _error(clean: Tensor) -> Callable[..., Tensor]:
    """Return the mean squared error of each image's reconstruction, also for a pack of variants of the images."""

    def error(output: Any) -> Tensor:
        images = output_images(output)
        copies = len(images) // len(clean)
        return (images - clean.repeat(copies, 1, 1, 1)).square().mean(dim=(1, 2, 3))

    return error


def _describe(
    _subject: Subject, _model: nn.Module, _group: Group, request: AttributionRequest, explanation: Explanation
) -> Described:
    name = request.target.replace(":", " ")
    of = "the mean squared error" if name == ERROR else f"latent dimension {name.partition(' ')[2]}"
    facts: tuple[Facts, ...] = tuple({"target": name, "score": float(score)} for score in explanation.scores)
    return Described(facts, note=f"Explained: {of} of each image. The maps show what raises it.")


def _caption(facts: Facts) -> str:
    return f"\n{facts['target']} = {show('score', facts['score'])}"


EXPLAIN = ExplainViews(
    images="first:8",
    check=_check,
    layers=_layers,
    select=lambda *_: [],  # there is no rule that it would be asked for
    rules=(),
    inputs=_inputs,
    target=_target,
    describe=_describe,
    columns=(("target", "target"), ("score", "score")),
    caption=_caption,
    classes=False,
    together=True,  # the error's originals are those of one batch
    default_target=ERROR,
)
