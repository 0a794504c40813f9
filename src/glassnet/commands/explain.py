"""`glassnet explain`: where each layer looks, for a fixed selection of images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from glassnet import figures
from glassnet.attribution import Explanation
from glassnet.attribution import explain as explain_images
from glassnet.commands.answer import Answer, table
from glassnet.commands.selection import Selection, select
from glassnet.console import say
from glassnet.devices import choose_device, choose_precision
from glassnet.errors import InputError, unknown_name
from glassnet.experiment import Run
from glassnet.settings import ExplainSettings
from glassnet.versions import versions

_DRAWN = 16  # a figure of more images is too tall to be read


def explain(settings: ExplainSettings) -> Answer:
    """Attribute a run's scores on some images, layer by layer, draw them and keep all of it in the run."""
    run = Run.open(settings.run)
    device = choose_device(settings.device)
    model, precision = run.model(device), choose_precision(settings.precision, device)
    selections = select(run, model, settings, precision)
    explained = []
    for selection in selections:  # all is computed before anything is written
        if not len(selection.images):
            say(f"no test image is {selection.name}ly classified: nothing to explain there.")
            continue
        explanation = explain_images(
            model,
            selection.images,
            target=_target(settings.target, selection, run),
            layers=list(settings.layers),
            methods=settings.methods,
            precision=precision,
        )
        explained.append((selection, explanation))
    documents = [_keep(run, settings, selection, explanation) for selection, explanation in explained]
    rows = [
        (d["name"], i["index"], i["label"], i["predicted"], i["target"], f"{i['probability']:.3f}")
        for d in documents
        for i in d["images"]
    ]
    text = table(("images", "index", "label", "predicted", "target", "p(target)"), rows)
    return Answer(f"{text}\nfigures: {run.path / 'figures'}", {"run": str(run.path), "explained": documents})


def _target(word: str, selection: Selection, run: Run) -> Any:
    """Turn the --target word into what `glassnet.explain` takes."""
    if word == "predicted":
        return "predicted"
    if word == "label":
        if selection.labels is None:
            raise InputError("--target is label, but these images have no labels; give predicted or a class.")
        return selection.labels
    if word in run.classes:
        return run.classes.index(word)
    if word.isdecimal() and int(word) < len(run.classes):
        return int(word)
    raise unknown_name("target", word, ("predicted", "label", *run.classes), where=f" in {run.path}", noun="targets")


def _keep(run: Run, settings: ExplainSettings, selection: Selection, explanation: Explanation) -> dict[str, Any]:
    """Write one selection's arrays, figure and numbers."""
    name = selection.name
    assert explanation.output is not None
    probabilities = torch.from_numpy(explanation.output).softmax(dim=1).numpy()
    images = [_about(run, selection, explanation, probabilities, place) for place in range(len(selection.images))]
    layers, methods = list(explanation.layers), list(explanation.methods)
    arrays = {f"{method}/{layer}": values for (method, layer), values in explanation.maps.items()}
    run.save_arrays(f"attributions/{name}.npz", {"images": selection.images.numpy(), **arrays})
    drawn = {key: values[:_DRAWN] for key, values in explanation.maps.items()}
    captions = [_caption(about) for about in images[:_DRAWN]]
    if len(images) > _DRAWN:
        say(f"the figure shows the first {_DRAWN} of {len(images)} images; attributions/{name}.npz holds all.")
    run.save_figure(
        f"explain-{name}",
        figures.attribution_grid(selection.images[:_DRAWN].numpy(), drawn, layers, methods, captions),
        title=selection.title,
        alt=f"{selection.title}: {len(captions)} images, each with its {' and '.join(methods)} at {', '.join(layers)}.",
        caption="Each map is scaled by its own largest value: colours compare places in one map, never two maps.",
    )
    document = {
        "name": name,
        "rule": selection.rule,
        "target": settings.target,
        "methods": methods,
        "layers": layers,
        "figures": [f"explain-{name}"],
        "images": images,
        "versions": versions("torch", "matplotlib"),
    }
    run.save_json(f"attributions/{name}.json", document)
    return document


def _about(
    run: Run, selection: Selection, explanation: Explanation, probabilities: np.ndarray, place: int
) -> dict[str, Any]:
    assert explanation.targets is not None
    target, predicted = int(explanation.targets[place]), int(probabilities[place].argmax())
    label = None if selection.labels is None else run.classes[int(selection.labels[place])]
    return {
        "index": selection.names[place],
        "label": label,
        "predicted": run.classes[predicted],
        "target": run.classes[target],
        "probability": float(probabilities[place, target]),
        "correct": None if label is None else label == run.classes[predicted],
    }


def _caption(about: dict[str, Any]) -> str:
    index = about["index"]
    shown = Path(index).name if isinstance(index, str) else f"test image {index}"
    truth = "" if about["label"] is None else f"true {about['label']}, "
    return f"{shown}: {truth}predicted {about['predicted']}\np({about['target']}) = {about['probability']:.3f}"
