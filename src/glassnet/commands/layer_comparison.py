"""Layers beside each other: where the classes come apart, and which layers see the images alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from glassnet import figures
from glassnet.console import say
from glassnet.data import Dataset
from glassnet.data.sampling import balanced_draw
from glassnet.devices import choose_device
from glassnet.embedding.cka import Alignment, cka
from glassnet.embedding.layers import LayerScore, layer_scores
from glassnet.errors import InputError
from glassnet.experiment import Run
from glassnet.models.features import extract_features
from glassnet.settings import FeaturesSettings
from glassnet.stats import wilson_interval
from glassnet.tables import text_table
from glassnet.versions import versions

Precision = Literal["fp32", "bf16"]
MOST_IMAGES = 5000
WEIGHT_LAYERS = ("conv", "linear")
NEIGHBOURS = 10


@dataclass(frozen=True)
class Comparison:
    """What was measured of a run's layers, on how many images."""

    scores: tuple[LayerScore, ...]
    alignments: tuple[tuple[str, Alignment], ...]
    """Name of the other run, or "" within this run, and how alike the layers see the images."""
    train_images: int
    test_images: int


@dataclass(frozen=True)
class Kept:
    """What the command says of a comparison."""

    lines: tuple[str, ...]
    data: Mapping[str, Any]


def compare(
    run: Run, model: nn.Module, data: Dataset, settings: FeaturesSettings, precision: Precision
) -> Comparison | None:
    """Score the asked layers on test images after fitting to training images, and align them on the test images.

    Raises:
        InputError: A run lacks the layers, or the other run is of other data.
    """
    if not settings.compare and settings.against is None:
        return None
    layers = list(settings.compare or WEIGHT_LAYERS)
    other = None if settings.against is None else _other(run, settings)
    train = balanced_draw(data.train.targets, MOST_IMAGES, seed=settings.seed)
    test = balanced_draw(data.test.targets, min(settings.images, MOST_IMAGES), seed=settings.seed)
    seen_train, seen_test = data.train.take(train), data.test.take(test)
    images = torch.cat([seen_train[0], seen_test[0]])
    labels = torch.cat([seen_train[1], seen_test[1]]).numpy()
    rows = extract_features(model, images, layers, precision=precision)
    own = {name: values[len(train) :] for name, values in rows.items()}
    alignments = [("", cka(own, debiased=True))]
    if other is not None:
        seen = _features_of(other, images[len(train) :], layers, settings, precision)
        alignments.append((other.name, cka(own, seen, debiased=True)))
    say(f"probing {len(rows)} layers, fitted to {len(train):,} training images, scored on {len(test):,} test images")
    scores = layer_scores(
        rows,
        labels,
        test_rows=np.arange(len(train), len(labels)),
        neighbours=min(NEIGHBOURS, len(train)),
        seed=settings.seed,
    )
    return Comparison(scores, tuple(alignments), len(train), len(test))


def _other(run: Run, settings: FeaturesSettings) -> Run:
    """Open the run to compare with, and refuse one whose images are others."""
    assert settings.against is not None
    other = Run.open(settings.against)
    if other.path.resolve() == run.path.resolve():
        raise InputError(f"--against is {settings.against}, the run itself; give another run.")
    mine, theirs = _data_of(run), _data_of(other)
    if mine != theirs:
        name, size = theirs[0], theirs[2]
        raise InputError(
            f"--against {settings.against} is a run on {name} at {size} pixels, expected one on {mine[0]} at {mine[2]} "
            "pixels, as this run: only the same images can be compared."
        )
    return other


def _data_of(run: Run) -> tuple[str, tuple[str, ...], int, int]:
    model = run.manifest["model"]
    return run.settings.data, run.classes, model["image_size"], model["in_channels"]


def _features_of(
    other: Run, images: torch.Tensor, layers: list[str], settings: FeaturesSettings, precision: Precision
) -> dict[str, np.ndarray]:
    try:
        return extract_features(other.model(choose_device(settings.device)), images, layers, precision=precision)
    except InputError as error:
        raise InputError(f"{other.path}: {error}") from None


def keep_comparison(run: Run, found: Comparison | None, common: Mapping[str, Any]) -> Kept:
    """Write the numbers and figures of a comparison, and return what the command says of it."""
    if found is None:
        return Kept((), {})
    document = _keep_scores(run, found, common)
    aligned = [_keep_alignment(run, name, alignment, common) for name, alignment in found.alignments]
    return Kept(_lines(document), {"comparison": document, "alignments": aligned})


def _keep_scores(run: Run, found: Comparison, common: Mapping[str, Any]) -> dict[str, Any]:
    layers = [_row(score, found.test_images) for score in found.scores]
    document = {
        **{key: common[key] for key in ("seed", "precision")},
        "train_images": found.train_images,
        "test_images": found.test_images,
        "neighbours": min(NEIGHBOURS, found.train_images),
        "pool": "mean",
        "figure": "layer-comparison",
        "versions": versions("torch", "scikit-learn"),
        "layers": layers,
    }
    title = f"The layers of {run.manifest['model']['name']} compared"
    run.save_figure(
        "layer-comparison",
        figures.layer_comparison(
            [row["layer"] for row in layers],
            probe=np.array([row["probe_accuracy"] for row in layers]),
            probe_interval=np.array([row["probe_interval"] for row in layers]),
            knn=np.array([row["knn_accuracy"] for row in layers]),
            knn_interval=np.array([row["knn_interval"] for row in layers]),
            separability=np.array([row["scatter_ratio"] for row in layers], dtype=float),  # None becomes NaN
            effective_rank=np.array([row["effective_rank"] for row in layers]),
            dimensions=np.array([row["features"] for row in layers]),
            chance=1 / len(run.classes),
            title=title,
        ),
        title=title,
        alt=f"{title}: accuracy of a linear probe and of neighbours, separability and effective rank, layer by layer.",
        caption=f"Probe and neighbours are fitted to {found.train_images:,} training images and scored on "
        f"{found.test_images:,} test images; bars are 95% intervals. Feature maps are averaged over their pixels.",
    )
    run.save_json("embeddings/comparison/layers.json", document)
    return document


def _row(score: LayerScore, test_images: int) -> dict[str, Any]:
    right = round(score.knn_accuracy * test_images)
    return {
        "layer": score.layer,
        "features": score.columns,
        "probe_accuracy": score.probe.accuracy,
        "probe_interval": list(score.probe.interval),
        "regularisation": score.probe.regularisation,
        "knn_accuracy": score.knn_accuracy,
        "knn_interval": list(wilson_interval(right, test_images)),
        "scatter_ratio": score.separability.scatter_ratio,
        "nearest_mean_accuracy": score.separability.nearest_mean_accuracy,
        "effective_rank": score.spread.effective_rank,
        "participation_ratio": score.spread.participation_ratio,
        "rank_sample": score.spread.sample,
    }


def _keep_alignment(run: Run, other: str, alignment: Alignment, common: Mapping[str, Any]) -> dict[str, Any]:
    name = f"cka-{other}" if other else "cka"
    title = f"CKA between the layers of {run.name} and {other}" if other else f"CKA between the layers of {run.name}"
    run.save_figure(
        name,
        figures.cka_heatmap(
            alignment.matrix,
            alignment.first,
            alignment.second if other else None,
            title=title,
            axes=(f"layer of {run.name}", f"layer of {other or run.name}"),
        ),
        title=title,
        alt=f"{title}: a square for each pair of layers, darker the more alike they see the images.",
        caption=f"Linear centred kernel alignment, debiased, on {alignment.images:,} test images: 1 for features that "
        "are equal up to rotation and scale, near 0 for features that have nothing in common. Feature maps are "
        "averaged over their pixels.",
    )
    document = {
        **{key: common[key] for key in ("seed", "precision")},
        "figure": name,
        "run": run.name,
        "against": other or None,
        "images": alignment.images,
        "debiased": alignment.debiased,
        "first": list(alignment.first),
        "second": list(alignment.second),
        "matrix": alignment.matrix.tolist(),
        "versions": versions("torch"),
    }
    run.save_json(f"embeddings/comparison/{name}.json", document)
    return document


def _lines(document: Mapping[str, Any]) -> tuple[str, ...]:
    header = ("layer", "features", "probe", "95% interval", "kNN", "nearest mean", "scatter ratio", "effective rank")
    rows = [
        (
            row["layer"],
            row["features"],
            f"{row['probe_accuracy']:.4f}",
            "–".join(f"{end:.4f}" for end in row["probe_interval"]),
            f"{row['knn_accuracy']:.4f}",
            f"{row['nearest_mean_accuracy']:.4f}",
            "–" if row["scatter_ratio"] is None else f"{row['scatter_ratio']:.3f}",
            f"{row['effective_rank']:.1f}",
        )
        for row in document["layers"]
    ]
    train, test = document["train_images"], document["test_images"]
    sample = max(row["rank_sample"] for row in document["layers"])
    told = f"probe and kNN: fitted to {train:,} training images, scored on {test:,} test images"
    also = f"nearest mean and scatter ratio: all {train + test:,} of them; effective rank: {sample:,} of them"
    return (text_table(header, rows), told, also, "feature maps: averaged over their pixels")
