"""What raises a reconstruction's error, or one latent dimension: the attribution engine with a target of its own."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, cast

from torch import Tensor

from glassnet import figures
from glassnet.attribution import Explanation
from glassnet.attribution import explain as explain_images
from glassnet.commands.answer import Answer
from glassnet.commands.selection import Selection, select
from glassnet.commands.subject import Subject
from glassnet.data.batches import corrupt
from glassnet.errors import InputError
from glassnet.experiment import Run, corruption_of
from glassnet.images import to_float
from glassnet.models.autoencoder import Autoencoder
from glassnet.models.layers import select_layers
from glassnet.rng import PerImageRNG
from glassnet.settings import ExplainSettings
from glassnet.tables import text_table
from glassnet.versions import versions

DRAWN = 16


def explain_reconstruction(subject: Subject, settings: ExplainSettings, precision: Literal["fp32", "bf16"]) -> Answer:
    """Attribute the error of some images' reconstructions, or a latent dimension, and keep and draw the maps."""
    _refuse(settings)
    words = "first:8" if settings.images is None else settings.images
    (selection,) = select(subject, dataclasses.replace(settings, images=words), precision)
    name, scored = _target(settings.target, subject)
    given, clean = _shown(subject, selection)
    score = scored(clean.to(next(subject.model.parameters()).device))
    explanation = explain_images(
        subject.model, given, target=score, layers=_layers(settings, subject), methods=settings.methods,
        precision=precision, batch_size=len(given),  # the score's originals are those of one batch
    )  # fmt: skip
    values = [float(value) for value in explanation.scores]
    captions = [f"image {place}\n{name} = {value:.4g}" for place, value in zip(selection.names, values, strict=True)]
    kept = subject.kept
    stem = name.replace(" ", "-")
    arrays = {f"{method}/{layer}": maps for (method, layer), maps in explanation.maps.items()}
    kept.save_arrays(f"attributions/{stem}.npz", {"images": given.numpy(), **arrays})
    _draw(subject, stem, name, given, explanation, captions)
    document = {
        "name": stem,
        "rule": selection.rule,
        "target": settings.target,
        "methods": list(explanation.methods),
        "layers": list(explanation.layers),
        "figures": [f"explain-{stem}"],
        "scores": [{"index": place, name: value} for place, value in zip(selection.names, values, strict=True)],
        "versions": versions("torch", "matplotlib"),
    }
    kept.save_json(f"attributions/{stem}.json", document)
    text = text_table(
        ("image", name), [(place, f"{value:.5g}") for place, value in zip(selection.names, values, strict=True)]
    )
    return Answer(f"{text}\nfigures: {kept.path / 'figures'}", {"run": str(kept.path), "explained": [document]})


def _refuse(settings: ExplainSettings) -> None:
    """Refuse what only a class has."""
    for given, option in ((settings.faithfulness, "faithfulness"), (settings.mask == "stroke", "mask stroke")):
        if given:
            raise InputError(
                f"--{option} measures maps of a class's score, and a reconstruction has none; leave it out."
            )
    if (settings.images or "").startswith(("correct:", "wrong:", "mixed:")):
        raise InputError(
            f"--images is '{settings.images}', but a reconstruction is neither right nor wrong; give indices as in "
            "3,14, first:8, or an image file or a folder of them."
        )


def _layers(settings: ExplainSettings, subject: Subject) -> list[str]:
    """Return the layers asked for; the kind conv means those that lead up to what is explained."""
    if settings.layers != ("conv",):
        return list(settings.layers)
    # Outside training the code is its mean, so that its variance leads nowhere.
    beside = ("log_variance", "decoder.") if settings.target.startswith("latent") else ("log_variance",)
    return [name for name in select_layers(subject.model, "conv") if not name.startswith(beside)]


def _target(word: str, subject: Subject) -> tuple[str, Callable[[Tensor], Callable[..., Tensor]]]:
    """Turn the --target word into a name and a function from the clean images to a score of each image."""
    if word in ("error", "predicted"):  # predicted is the option's default
        return "error", _error
    dimensions = math.prod(cast(Autoencoder, subject.model).latent_shape)
    kind, _, number = word.partition(":")
    if kind == "latent" and number.isdecimal() and int(number) < dimensions:
        return f"latent {number}", lambda _clean: _latent(int(number))
    raise InputError(
        f"--target is '{word}', expected error, or latent:K with K from 0 to {dimensions - 1:,}, for a reconstruction."
    )


def _error(clean: Tensor) -> Callable[..., Tensor]:
    """Return the mean squared error of each image's reconstruction, also for a pack of variants of the images."""

    def error(output: Any) -> Tensor:
        copies = len(output.images) // len(clean)
        return (output.images - clean.repeat(copies, 1, 1, 1)).square().mean(dim=(1, 2, 3))

    return error


def _latent(dimension: int) -> Callable[..., Tensor]:
    return lambda output: output.mean.flatten(1)[:, dimension]


def _shown(subject: Subject, selection: Selection) -> tuple[Tensor, Tensor]:
    """Return the selected images as the model is given them, with the noise of their places, and their originals.

    A user's own files have no place in a split and are given as they are, as is everything to a model by name.
    """
    images = to_float(selection.images)
    places = [place for place in selection.names if isinstance(place, int)]
    if not isinstance(subject.kept, Run) or len(places) < len(images):
        return images, images
    settings = subject.kept.settings
    rng = PerImageRNG(settings.seed, "test")
    return corrupt(images, places, corruption=corruption_of(settings), rng=rng)


def _draw(subject: Subject, stem: str, name: str, given: Tensor, explanation: Explanation, captions: list[str]) -> None:
    methods = list(explanation.methods)
    shown = _short(explanation.layers)
    maps = {(m, shown.get(layer, layer)): values[:DRAWN] for (m, layer), values in explanation.maps.items()}
    title = f"What raises {'the reconstruction error' if name == 'error' else name.replace(' ', ' dimension ')}"
    subject.kept.save_figure(
        f"explain-{stem}",
        figures.attribution_grid(
            given[:DRAWN].numpy(), maps, list(shown.values()), methods, captions[:DRAWN], title=title
        ),
        title=title,
        alt=f"{title}: {len(captions[:DRAWN])} images, each with its {' and '.join(methods)} at "
        f"{', '.join(explanation.layers)}.",
        caption="Each map is scaled by its own largest value: colours compare places in one map, never two maps.",
    )


def _short(layers: Sequence[str]) -> dict[str, str]:
    """Leave the part (encoder, decoder) out of layers' names where that leaves them different."""
    last = {name: name.rpartition(".")[2] for name in layers}
    return last if len(set(last.values())) == len(last) else {name: name for name in layers}
