"""`glassnet eval`: how good a run's model is on a data set, in numbers and pictures."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import numpy as np
import torch

from glassnet import figures
from glassnet.commands.answer import Answer, table
from glassnet.data import Dataset, load_dataset
from glassnet.devices import choose_device, choose_precision
from glassnet.errors import InputError
from glassnet.experiment import Run
from glassnet.models.inference import predict
from glassnet.settings import EvalSettings
from glassnet.versions import versions


def evaluate(settings: EvalSettings) -> Answer:
    """Measure a run on a data set, and keep the figures under evaluation/ in the run."""
    run = Run.open(settings.run)
    dataset = _dataset(run, settings)
    split = dataset.train if settings.split == "train" else dataset.test
    device = choose_device(settings.device)
    precision = choose_precision(settings.precision, device)
    logits = predict(run.model(device), split.images, batch_size=settings.batch_size, precision=precision)
    result = {
        "data": dataset.name,
        "split": settings.split,
        "precision": precision,
        "versions": versions("torch", "matplotlib"),
        **run.task.evaluate(logits, split.targets, dataset.classes),
    }
    name = settings.split if settings.data is None else f"{_slug(dataset.name)}-{settings.split}"
    probabilities = logits.softmax(dim=1).numpy()
    run.save_arrays(f"evaluation/{name}.npz", {"probabilities": probabilities, "targets": split.targets.numpy()})
    suffix = "" if name == "test" else f"-{name}"
    _draw(run, result, dataset, split.images, probabilities, split.targets, suffix)
    run.save_json(f"evaluation/{name}.json", result)  # last: whoever finds it finds the rest
    return Answer(_text(result, run), {"run": str(run.path), **result})


def _slug(name: str) -> str:
    """Turn a data set's name, which may be a path, into one word for file names, different for different names."""
    plain = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")
    return plain if plain == name else f"{plain[-40:]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _dataset(run: Run, settings: EvalSettings) -> Dataset:
    """Load the data set to measure on, and see that the model can take it."""
    if settings.data is None:
        return run.dataset(settings.data_root)
    model = run.manifest["model"]
    dataset = load_dataset(settings.data, root=settings.data_root, image_size=model["image_size"])
    if dataset.channels != model["in_channels"] or dataset.classes != run.classes:
        raise InputError(
            f"{settings.data} has {dataset.channels} channels and the classes {', '.join(dataset.classes)}; "
            f"expected {model['in_channels']} and {', '.join(run.classes)}, as {run.path} was trained on."
        )
    return dataset


def _draw(
    run: Run,
    result: dict[str, Any],
    dataset: Dataset,
    images: torch.Tensor,
    probabilities: np.ndarray,
    targets: torch.Tensor,
    suffix: str,
) -> None:
    wrong = int(result["images"] - np.trace(np.array(result["confusion"])))
    run.save_figure(
        f"confusion-matrix{suffix}",
        figures.confusion_matrix(np.array(result["confusion"]), dataset.classes),
        title="Confusion matrix",
        alt=f"Table of true against predicted classes: {result['images']:,} images, {wrong} off the diagonal.",
        caption="Rows are true classes, columns predicted ones; each cell counts images.",
    )
    run.save_figure(
        f"worst-mistakes{suffix}",
        figures.worst_mistakes(
            images.numpy(), targets.numpy(), probabilities.argmax(axis=1), probabilities, dataset.classes
        ),
        title="Worst mistakes",
        alt="Wrongly classified images of the highest confidence, each with its true and its predicted class.",
        caption=f"{wrong} of {result['images']:,} images are classified wrongly; the most confident of them are shown.",
    )


def _text(result: dict[str, Any], run: Run) -> str:
    low, high = result["accuracy_interval"]
    rows = [
        (
            row["class"],
            row["images"],
            *(f"{row[k]:.4f}" if row[k] is not None else "–" for k in ("precision", "recall", "f1")),
        )
        for row in result["per_class"]
    ]
    return (
        f"{run.name} on {result['data']} ({result['split']}, {result['images']:,} images): "
        f"loss {result['loss']:.4f}, accuracy {result['accuracy']:.4f} (95% interval {low:.4f} to {high:.4f}), "
        f"calibration error {result['calibration_error']:.4f}\n\n"
        + table(("class", "images", "precision", "recall", "f1"), rows)
    )
