"""`glassnet eval`: how good a run's model is on a data set, in numbers and pictures."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from torch import nn

from glassnet.commands import evaluate_classification, evaluate_reconstruction, evaluate_segmentation
from glassnet.commands.answer import Answer
from glassnet.commands.evaluated import Evaluated, Shown
from glassnet.data import Dataset, load_dataset
from glassnet.devices import choose_device, choose_precision
from glassnet.errors import InputError
from glassnet.experiment import Run, build_corruption
from glassnet.measuring import run_evaluation
from glassnet.models.inference import FlipTTA
from glassnet.rng import PerImageRNG
from glassnet.settings import EvalSettings
from glassnet.tasks import Records
from glassnet.versions import versions

SHOWN: dict[str, Shown] = {
    "classification": evaluate_classification.SHOWN,
    "segmentation": evaluate_segmentation.SHOWN,
    "reconstruction": evaluate_reconstruction.SHOWN,
}
"""How the evaluation of each task is drawn and told."""


def evaluate(settings: EvalSettings) -> Answer:
    """Measure a run on a data set, and keep the figures under evaluation/ in the run."""
    run = _run(settings)
    dataset = _dataset(run, settings)
    split = dataset.train if settings.split == "train" else dataset.test
    device = choose_device(settings.device)
    precision = choose_precision(settings.precision, device)
    model, trained = run.model(device), run.settings

    def recorded(network: nn.Module) -> Records:
        return run_evaluation(
            network,
            split,
            run.task.test_stats(trained, len(dataset.classes)),
            task=run.task,
            batch_size=settings.batch_size,
            precision=precision,
            corruption=build_corruption(trained, run.task),
            rng=PerImageRNG(trained.seed, settings.split),
        )

    name = settings.split if settings.data is None else f"{_slug(dataset.name)}-{settings.split}"
    records = recorded(model)
    result = {
        "data": dataset.name,
        "split": settings.split,
        "precision": precision,
        "versions": versions("torch", "matplotlib"),
        **run.task.evaluate(records, dataset.classes),
    }
    if settings.flip:
        turned = run.task.evaluate(recorded(FlipTTA(model)), dataset.classes)
        result["flipped"] = {key: turned[key] for key in run.task.saved_metrics}
    else:
        result |= _flipped_before(run, f"evaluation/{name}.json", result)
    shown, suffix = SHOWN[run.task.name], "" if name == "test" else f"-{name}"
    found = Evaluated(run, model, dataset, split, settings.split, records, result, suffix, precision)
    run.save_arrays(f"evaluation/{name}.npz", shown.arrays(found))
    shown.draw(found)
    run.save_json(f"evaluation/{name}.json", result)  # last: whoever finds it finds the rest
    return Answer(shown.text(found), {"run": str(run.path), **result})


def _run(settings: EvalSettings) -> Run:
    """Open the run, and see that its task has what is asked for."""
    run = Run.open(settings.run)
    if settings.flip and run.task.name != "segmentation":
        raise InputError(f"--flip is of no use to {run.task.name}, only to segmentation; leave it out.")
    return run


def _flipped_before(run: Run, name: str, result: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an earlier --flip found, if all else that it found is what is found now."""
    try:
        before = run.load_json(name)
    except InputError:  # there is none, or it is damaged, and then written anew
        return {}
    same = all(before.get(key) == value for key, value in json.loads(json.dumps(result)).items())
    return {"flipped": before["flipped"]} if same and "flipped" in before else {}


def _slug(name: str) -> str:
    """Turn a data set's name, which may be a path, into one word for file names, different for different names."""
    plain = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")
    return plain if plain == name else f"{plain[-40:]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _dataset(run: Run, settings: EvalSettings) -> Dataset:
    """Load the data set to measure on, and see that the model can take it."""
    if settings.data is None:
        return run.dataset(settings.data_root)
    model = run.manifest["model"]
    dataset = load_dataset(
        settings.data,
        root=settings.data_root,
        image_size=model["image_size"],
        skip_damaged=run.settings.skip_damaged,
        task=run.task.name,
    )
    if run.task.name == "reconstruction":  # it has no classes, whatever the images are of
        if dataset.channels != model["in_channels"]:
            raise InputError(
                f"{settings.data} has {dataset.channels} channels; expected {model['in_channels']}, as {run.path} was "
                "trained on."
            )
        return dataset
    if dataset.channels != model["in_channels"] or dataset.classes != run.classes:
        raise InputError(
            f"{settings.data} has {dataset.channels} channels and the classes {', '.join(dataset.classes)}; "
            f"expected {model['in_channels']} and {', '.join(run.classes)}, as {run.path} was trained on."
        )
    return dataset
