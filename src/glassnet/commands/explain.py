"""`glassnet explain`: where each layer looks, for a fixed selection of images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from glassnet.attribution import Explanation
from glassnet.attribution import explain as explain_images
from glassnet.commands.answer import Answer
from glassnet.commands.explain_numbers import Numbers, measure
from glassnet.commands.explain_numbers import text as numbers_text
from glassnet.commands.explain_pictures import DRAWN, draw
from glassnet.commands.explain_reconstruction import explain_reconstruction
from glassnet.commands.explain_segmentation import explain_segmentation
from glassnet.commands.selection import Selection, select
from glassnet.commands.subject import Subject, open_subject
from glassnet.console import say
from glassnet.devices import choose_device, choose_precision
from glassnet.errors import InputError, unknown_name
from glassnet.settings import ExplainSettings
from glassnet.tables import text_table
from glassnet.versions import versions

Precision = Literal["fp32", "bf16"]


def explain(settings: ExplainSettings) -> Answer:
    """Attribute a model's scores on some images, layer by layer, measure and draw the maps, and keep all of it."""
    device = choose_device(settings.device)
    subject, precision = open_subject(settings, device), choose_precision(settings.precision, device)
    return EXPLAINED[subject.task](subject, settings, precision)


def _classification(subject: Subject, settings: ExplainSettings, precision: Precision) -> Answer:
    explained = []
    for selection in select(subject, settings, precision):  # all is computed before anything is written
        if not len(selection.images):
            say(f"no test image is {selection.name}ly classified: nothing to explain there.")
            continue
        explanation = explain_images(
            subject.model,
            selection.images,
            target=_target(settings.target, selection, subject),
            layers=list(settings.layers),
            methods=settings.methods,
            precision=precision,
        )
        explained.append((selection, explanation, measure(subject, selection, explanation, settings)))
    documents = [_keep(subject, settings, *parts) for parts in explained]
    rows = [
        (d["name"], i["index"], i["label"], i["predicted"], i["target"], f"{i['probability']:.3f}")
        for d in documents
        for i in d["images"]
    ]
    text = text_table(("images", "index", "label", "predicted", "target", "p(target)"), rows)
    numbers = [told for told in (numbers_text(d["name"], d) for d in documents) if told]
    place = subject.kept.path
    about = {"run": str(place)} if subject.data is not None else {"model": subject.name, "out": str(place)}
    return Answer("\n".join([text, *numbers, f"figures: {place / 'figures'}"]), {**about, "explained": documents})


EXPLAINED: dict[str, Callable[[Subject, ExplainSettings, Precision], Answer]] = {
    "classification": _classification,
    "segmentation": explain_segmentation,
    "reconstruction": explain_reconstruction,
}
"""How what a model learned is explained, by its task."""


def _target(word: str, selection: Selection, subject: Subject) -> Any:
    """Turn the --target word into what `glassnet.explain` takes."""
    if word == "predicted":
        return "predicted"
    if word == "label":
        if selection.labels is None:
            raise InputError("--target is label, but these images have no labels; give predicted or a class.")
        return selection.labels
    if word in subject.classes:
        return subject.classes.index(word)
    if word.isdecimal() and int(word) < len(subject.classes):
        return int(word)
    choices = ("predicted", "label", *subject.classes)
    raise unknown_name("target", word, choices, where=f" in {subject.name}", noun="targets")


def _keep(
    subject: Subject, settings: ExplainSettings, selection: Selection, explanation: Explanation, numbers: Numbers
) -> dict[str, Any]:
    """Write one selection's arrays, figures and numbers."""
    name = selection.name
    assert explanation.output is not None
    probabilities = torch.from_numpy(explanation.output).softmax(dim=1).numpy()
    images = [_about(subject, selection, explanation, probabilities, place) for place in range(len(selection.images))]
    arrays = {f"{method}/{layer}": values for (method, layer), values in explanation.maps.items()}
    subject.kept.save_arrays(f"attributions/{name}.npz", {"images": selection.images.numpy(), **arrays})
    if len(images) > DRAWN:
        say(f"the figure shows the first {DRAWN} of {len(images)} images; attributions/{name}.npz holds all.")
    document = {
        "name": name,
        "rule": selection.rule,
        "target": settings.target,
        "methods": list(explanation.methods),
        "layers": list(explanation.layers),
        "figures": draw(subject, selection, explanation, numbers, [_caption(about) for about in images]),
        "images": images,
        **numbers.to_json(),
        "versions": versions("torch", "matplotlib"),
    }
    subject.kept.save_json(f"attributions/{name}.json", document)
    return document


def _about(
    subject: Subject, selection: Selection, explanation: Explanation, probabilities: np.ndarray, place: int
) -> dict[str, Any]:
    assert explanation.targets is not None
    target, predicted = int(explanation.targets[place]), int(probabilities[place].argmax())
    label = None if selection.labels is None else subject.classes[int(selection.labels[place])]
    return {
        "index": selection.names[place],
        "label": label,
        "predicted": subject.classes[predicted],
        "target": subject.classes[target],
        "probability": float(probabilities[place, target]),
        "correct": None if label is None else label == subject.classes[predicted],
    }


def _caption(about: dict[str, Any]) -> str:
    index = about["index"]
    shown = Path(index).name if isinstance(index, str) else f"test image {index}"
    truth = "" if about["label"] is None else f"true {about['label']}, "
    return f"{shown}: {truth}predicted {about['predicted']}\np({about['target']}) = {about['probability']:.3f}"
