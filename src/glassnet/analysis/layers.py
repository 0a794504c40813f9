"""The layers compared: where the classes come apart, and which layers see the images alike."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64

from glassnet import figures
from glassnet.analysis.base import Context, Kind, Precision
from glassnet.analysis.features import check_images_have_classes, image_labels, in_order
from glassnet.console import say
from glassnet.data import Split
from glassnet.data.split import balanced_draw
from glassnet.display import Shown
from glassnet.embedding.layers import Alignment, LayerScore, cka, layer_scores
from glassnet.errors import InputError
from glassnet.experiment import Run
from glassnet.models.features import extract_features
from glassnet.run.store import FigureWords, Plot
from glassnet.stats import wilson_interval
from glassnet.subject import Subject

MOST_IMAGES = 5000
NEIGHBOURS = 10
LEAST_SCORED, LEAST_OF_A_CLASS = 4, 3
HELD_OUT = 0.3
"""Share of the images that is scored where there are no training images to fit to."""


@dataclass(frozen=True)
class LayersRequest:
    """What is compared.

    Attributes:
        layers: Layers by name, pattern or kind.
        against: Another run on the same data; None for none.
        images: So many test images at most, drawn by seed.
        seed: Of the draws.
        precision: Of the forward pass.
    """

    layers: tuple[str, ...] = ("conv", "linear")
    against: str | None = None
    images: int = 5000
    seed: int = 0
    precision: Precision = "fp32"


@dataclass(frozen=True, repr=False)
class LayerRow(Shown):
    """One layer's measures; intervals are Wilson's at 95%.

    Attributes:
        layer: Its name.
        features: Numbers an image.
        probe_accuracy: Share of the scored images that a linear classifier gets right.
        probe_interval: Its bounds.
        regularisation: That was chosen for it.
        knn_accuracy: The same of the nearest neighbours' majority.
        knn_interval: Its bounds.
        scatter_ratio: Scatter of the class means over that within the classes.
        nearest_mean_accuracy: Share of the images nearest to the mean of their own class.
        effective_rank: In how many directions the features spread.
        participation_ratio: The same by the squares of the variances.
        rank_sample: Images that these two were measured on.
    """

    layer: str
    features: int
    probe_accuracy: float
    probe_interval: tuple[float, float] | None
    regularisation: float
    knn_accuracy: float
    knn_interval: tuple[float, float] | None
    scatter_ratio: float | None
    nearest_mean_accuracy: float
    effective_rank: float
    participation_ratio: float
    rank_sample: int


@dataclass(frozen=True, eq=False, repr=False)
class AlignedLayers(Shown):
    """How alike layers see the same images, by linear CKA, debiased.

    Attributes:
        against: The other run's name; empty within one run.
        first: Layers of the rows.
        second: Layers of the columns.
        matrix: 1 for features that are equal up to rotation and scale.
        images: Images that it was measured on.
    """

    against: str
    first: tuple[str, ...]
    second: tuple[str, ...]
    matrix: Float64[np.ndarray, "first second"]
    images: int

    def most_alike(self) -> tuple[str, str, float] | None:
        """Return the two layers that see the images most alike, of one run the different ones."""
        cells = [
            (float(value), a, b)
            for i, (a, row) in enumerate(zip(self.first, self.matrix, strict=True))
            for j, (b, value) in enumerate(zip(self.second, row, strict=True))
            if (self.against or j > i) and np.isfinite(value)
        ]
        if not cells:
            return None
        value, first, second = max(cells)
        return first, second, value


@dataclass(frozen=True)
class LayerComparison(Shown):
    """The layers from input to output, and how alike they are.

    Attributes:
        rows: A row a layer.
        alignments: Within the run, and with the other one if there is one.
        fitted: Images that probe and neighbours are fitted to.
        scored: Images that they are scored on.
        neighbours: Neighbours that vote.
        part: What the fitted images are, as in "training images".
    """

    rows: tuple[LayerRow, ...]
    alignments: tuple[AlignedLayers, ...]
    fitted: int
    scored: int
    neighbours: int
    part: str

    def __repr__(self) -> str:
        """Say in one line what was compared."""
        return f"LayerComparison({len(self.rows)} layers, {self.scored:,} images scored)"


def compute(subject: Subject, request: LayersRequest, context: Context) -> LayerComparison:
    """Score layers on images after fitting to others, and align them.

    Raises:
        InputError: There is no such layer, or the other run is of other data.
    """
    check_images_have_classes(subject)
    if not subject.labelled:
        raise InputError(f"{subject.name} has images without labels, but comparing layers needs labels; give some.")
    other = None if request.against is None else _other(subject, request.against)
    images, labels, test_rows, part = _images(subject, request)
    _check_enough(subject, labels, test_rows)
    model = context.once(("model", id(subject)), lambda: subject.model(context.device))
    rows = extract_features(model, images, list(request.layers), precision=request.precision)
    own = {name: values[test_rows] for name, values in rows.items()}
    alignments = [_aligned("", cka(own, debiased=True))]
    if other is not None:
        seen = _features_of(other, images[torch.from_numpy(test_rows)], request, context)
        alignments.append(_aligned(other.name, cka(own, seen, debiased=True)))
    fitted = len(labels) - len(test_rows)
    say(f"probing {len(rows)} layers, fitted to {fitted:,} {part}, scored on {len(test_rows):,}")
    neighbours = min(NEIGHBOURS, fitted)
    scores = layer_scores(rows, labels, test_rows=test_rows, neighbours=neighbours, seed=request.seed)
    table = tuple(_row(score, len(test_rows)) for score in scores)
    return LayerComparison(table, tuple(alignments), fitted, len(test_rows), neighbours, part)


def _images(subject: Subject, request: LayersRequest) -> tuple[torch.Tensor, np.ndarray, np.ndarray, str]:
    """Return images, labels, which rows are scored, and what the others are."""
    test = _draw(subject.part("test"), min(request.images, MOST_IMAGES), request.seed)
    if subject.run is None:  # no training images: some of its own are fitted to, the others scored
        labels = image_labels(test.targets)
        order = np.random.default_rng(request.seed).permutation(len(labels))
        scored = np.sort(order[: max(1, round(HELD_OUT * len(labels)))])
        return test.images, labels, scored, "of the images"
    train = _draw(subject.part("train"), MOST_IMAGES, request.seed)
    images = torch.cat([train.images, test.images])
    labels = np.concatenate([image_labels(train.targets), image_labels(test.targets)])
    return images, labels, np.arange(len(train), len(labels)), "training images"


def _check_enough(subject: Subject, labels: np.ndarray, test_rows: np.ndarray) -> None:
    """Refuse, before any work is done, images too few to fit to, to choose by and to score."""
    fitted = np.delete(labels, test_rows)
    most, classes = int(np.bincount(fitted).max(initial=0)), len(np.unique(fitted))
    if len(test_rows) < LEAST_SCORED or most < LEAST_OF_A_CLASS or classes < 2:
        raise InputError(
            f"{subject.name} has {len(fitted)} images of {classes} classes to fit and {len(test_rows)} to score; "
            f"expected at least two classes, {LEAST_OF_A_CLASS} images of one of them, and {LEAST_SCORED} to score; "
            "use more images."
        )


def _draw(split: Split, count: int, seed: int) -> Split:
    return split.subset(balanced_draw(torch.from_numpy(image_labels(split.targets)), count, seed=seed))


def _other(subject: Subject, against: str) -> Run:
    """Open the run to compare with, and refuse one whose images are others."""
    if subject.run is None:
        raise InputError(f"--against compares runs, but {subject.name} is a network without a run; leave it out.")
    other = Run.open(against)
    if other.path.resolve() == subject.run.path.resolve():
        raise InputError(f"--against is {against}, this run itself; give another run.")
    mine, theirs = _data_of(subject.run), _data_of(other)
    if mine != theirs:
        raise InputError(
            f"--against {against} is a run on {theirs[0]} at {theirs[2]} pixels, but this run is on {mine[0]} at "
            f"{mine[2]} pixels; only runs on the same images can be compared."
        )
    return other


def _data_of(run: Run) -> tuple[str, tuple[str, ...], int, int]:
    model = run.manifest["model"]
    return run.manifest["settings"]["data"], run.classes, model["image_size"], model["in_channels"]


def _features_of(other: Run, images: torch.Tensor, request: LayersRequest, context: Context) -> dict[str, np.ndarray]:
    try:
        return extract_features(other.model(context.device), images, list(request.layers), precision=request.precision)
    except InputError as error:
        raise InputError(f"{other.path}: {error}") from None


def _aligned(against: str, alignment: Alignment) -> AlignedLayers:
    return AlignedLayers(against, alignment.first, alignment.second, alignment.matrix, alignment.images)


def _row(score: LayerScore, scored: int) -> LayerRow:
    return LayerRow(
        layer=score.layer,
        features=score.columns,
        probe_accuracy=score.probe.accuracy,
        probe_interval=score.probe.interval,
        regularisation=score.probe.regularisation,
        knn_accuracy=score.knn_accuracy,
        knn_interval=wilson_interval(round(score.knn_accuracy * scored), scored),
        scatter_ratio=score.separability.scatter_ratio,
        nearest_mean_accuracy=score.separability.nearest_mean_accuracy,
        effective_rank=score.spread.effective_rank,
        participation_ratio=score.spread.participation_ratio,
        rank_sample=score.spread.sample,
    )


def plots(subject: Subject, _request: LayersRequest, result: LayerComparison, _context: Context) -> Iterable[Plot]:
    """Draw the layers' measures, and a square for each pair of layers."""
    yield _comparison(subject, result)
    for aligned in result.alignments:
        yield alignment_plot(subject, aligned)


def _comparison(subject: Subject, result: LayerComparison) -> Plot:
    rows = result.rows
    title = f"The layers of {subject.model_name} compared"
    nothing = (np.nan, np.nan)
    figure = figures.layer_comparison(
        [row.layer for row in rows],
        probe=np.array([row.probe_accuracy for row in rows]),
        probe_interval=np.array([row.probe_interval or nothing for row in rows]),
        knn=np.array([row.knn_accuracy for row in rows]),
        knn_interval=np.array([row.knn_interval or nothing for row in rows]),
        separability=np.array([row.scatter_ratio for row in rows], dtype=float),  # None becomes NaN
        effective_rank=np.array([row.effective_rank for row in rows]),
        dimensions=np.array([row.features for row in rows]),
        chance=1 / len(subject.classes),
        title=title,
    )
    words = FigureWords(
        name="layers",
        title=title,
        alt=f"{title}: accuracy of a linear probe and of nearest neighbours, separability and effective rank, layer "
        "by layer.",
        caption=f"Probe and neighbours are fitted to {result.fitted:,} {result.part} and scored on {result.scored:,} "
        "others; bars are 95% intervals. Feature maps are averaged over their pixels.",
        lead="Layers run from input (left) to output (right); the classes separate where the probe's accuracy rises.",
    )
    return Plot(figure, words)


def alignment_plot(subject: Subject, aligned: AlignedLayers) -> Plot:
    """Draw how alike layers see the images."""
    name, other = subject.name, aligned.against
    title = f"CKA between the layers of {name} and {other}" if other else f"CKA between the layers of {name}"
    figure = figures.cka_heatmap(
        aligned.matrix,
        aligned.first,
        aligned.second if other else None,
        title=title,
        axes=(f"layer of {name}", f"layer of {other or name}"),
    )
    words = FigureWords(
        name="cka-other" if other else "cka",
        title=title,
        alt=f"{title}: one square per pair of layers; the darker, the more similarly they represent the images.",
        caption=f"Linear centred kernel alignment, debiased, on {aligned.images:,} images: 1 if the features are equal "
        "up to rotation and scale, near 0 if they have nothing in common.",
        lead="Dark squares mark layers that represent the images alike.",
    )
    return Plot(figure, words)


def _words(_subject: Subject, request: LayersRequest) -> Iterable[str]:
    yield "+".join(request.layers)
    if request.against:
        yield f"against-{request.against.rstrip('/').rpartition('/')[2]}"
    if request.seed:
        yield f"seed{request.seed}"


def _made_of(subject: Subject, request: LayersRequest, _context: Context) -> dict[str, Any]:
    digests = subject.made_of("test")
    if subject.run is not None:  # whose training images are fitted to
        digests |= {"training": subject.made_of("train")["images"]}
    if request.against is None:
        return digests
    return digests | {"against": Subject.of_run(Run.open(request.against)).weights_digest}


LAYERS = Kind(
    name="layers",
    request=LayersRequest,
    result=lambda _subject: LayerComparison,
    compute=compute,
    words=_words,
    plots=plots,
    made_of=_made_of,
    resolve=lambda subject, request: dataclasses.replace(request, layers=in_order(subject, request.layers)),
    packages=("torch", "numpy", "scikit-learn", "matplotlib"),
    code=("analysis", "embedding", "models"),
)
