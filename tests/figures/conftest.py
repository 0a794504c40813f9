"""A figure of each kind, and a look at what a figure writes."""

import functools
import io
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure

from glassnet import figures
from glassnet.figures.channels import ChannelRow
from glassnet.figures.faithfulness import LayerShares

DIGITS = tuple("0123456789")
HISTORY = [
    {
        "epoch": e,
        "train_loss": 1 / e,
        "train_accuracy": 1 - 0.3 / e,
        "validation_loss": 0.8 / e,
        "validation_accuracy": a,
    }
    for e, a in ((1, 0.9), (2, 0.96), (3, 0.955))
]
LAYERS = [
    {"name": "conv1", "kind": "Conv2d", "input": [1, 8, 8], "output": [4, 8, 8], "parameters": 40, "macs": 2304},
    {"name": "relu1", "kind": "ReLU", "input": [4, 8, 8], "output": [4, 8, 8], "parameters": 0, "macs": 0},
    {"name": "pool1", "kind": "MaxPool2d", "input": [4, 8, 8], "output": [4, 4, 4], "parameters": 0, "macs": 0},
    {"name": "flatten", "kind": "Flatten", "input": [4, 4, 4], "output": [64], "parameters": 0, "macs": 0},
    {"name": "fc1", "kind": "Linear", "input": [64], "output": [10], "parameters": 650, "macs": 640},
]
NUMBERS = {"explained_variance": 0.41239, "knn_accuracy": None, "trustworthiness": 0.9126, "ari": 0.51949, "nmi": 0.6}


def cloud(number: int, dims: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Random points around one centre a class, and their classes."""
    rng = np.random.default_rng(1)
    targets = np.arange(number) % classes
    return (rng.normal(size=(number, dims)) + 9 * rng.normal(size=(classes, dims))[targets]).astype(np.float32), targets


def _embedding(dims: int) -> Figure:
    points, targets = cloud(40, dims, 4)
    centres = np.stack([points[targets == c].mean(axis=0) for c in range(4)])
    return figures.embedding_figure(
        points, targets, targets, DIGITS[:4], NUMBERS, "Embedding", method="pca", centres=centres
    )


def _images(channels: int) -> np.ndarray:
    return np.random.default_rng(0).random((3, channels, 8, 8), dtype=np.float32)


def _attribution() -> Figure:
    cam, guided = np.random.default_rng(2).random((3, 8, 8)), np.random.default_rng(3).normal(size=(3, 1, 8, 8))
    maps = {("gradcam", "conv1"): cam, ("guided_gradcam", "conv1"): guided, ("guided_backpropagation", "input"): guided}
    methods = ["gradcam", "guided_gradcam", "guided_backpropagation"]
    return figures.attribution_grid(_images(1), maps, ["conv1"], methods, ["a", "b", "c\np = 0.5"], title="Attribution")


def _mistakes() -> Figure:
    shares = np.full((3, 10), 0.1)
    return figures.worst_mistakes(
        _images(3), np.array([1, 2, 3]), np.array([1, 5, 4]), shares, DIGITS, title="Mistakes"
    )


def _points() -> Figure:
    points, targets = cloud(40, 2, 4)
    return figures.points_figure(points, targets, DIGITS[:4], NUMBERS, "Points", method="pca")


def _pair() -> Figure:
    points, targets = cloud(40, 2, 4)
    return figures.embedding_pair(
        points, points[::-1].copy(), targets, DIGITS[:4], (NUMBERS, {"nmi": 0.5}), "Pair", names=("Left", "Right"),
        method=("pca", "tsne"), assignments=(targets, targets - 1),
    )  # fmt: skip


def _crowd() -> Figure:
    points, targets = cloud(5001, 2, 4)
    return figures.embedding_figure(points, targets, targets - 1, DIGITS[:4], NUMBERS, "Crowd", clustering="hdbscan")


def _layers() -> Figure:
    shares = np.array([0.4, 0.99, 1.0])
    return figures.layer_comparison(
        ["conv1", "relu1", "fc1"], probe=shares, probe_interval=np.stack([shares - 0.1, shares], axis=1),
        knn=shares - 0.1, separability=np.array([0.4, np.nan, 3.0]), effective_rank=np.array([1.0, 8.5, 4.0]),
        dimensions=np.array([4, 64, 10]), chance=0.1, title="Layers",
    )  # fmt: skip


def _tuning() -> Figure:
    return figures.tuning_figure(
        ["16,16", "32,32"], [[0.991, 0.992, float("nan")], [0.994]], metric="test accuracy", title="Tuning",
        report=[0.9872, None], columns={"parameters": ["1,000", "4,000"]}, claims=["More filters help: supported."],
    )  # fmt: skip


def _strip() -> Figure:
    maps = {"convnet": np.random.default_rng(2).random((3, 8, 8)), "vgg16": np.zeros((3, 8, 8))}
    return figures.attribution_strip(
        {name: _images(1) for name in maps}, maps, ["a", "b", "c"], below={name: ["p = 0.5"] * 3 for name in maps},
        notes={"vgg16": "features.28, 2 px"}, title="Strip",
    )  # fmt: skip


def _faithfulness() -> Figure:
    at = np.linspace(0, 1, 6)
    curve = np.stack([1 - at, 0.9 - 0.9 * at, 1 - 0.8 * at], axis=1)
    keys = [("gradcam", "conv1"), ("gradcam", "conv2"), ("guided_gradcam", "conv2")]
    down, up = dict.fromkeys(keys, curve), dict.fromkeys(keys, curve[::-1])
    return figures.faithfulness_curves(at, down, up, random=(curve, curve), title="Faithfulness")


def _share() -> Figure:
    shares = np.array([0.2, 0.35])
    network = LayerShares(
        ["conv1", "features.28"], shares, np.stack([shares - 0.02, shares + 0.02], axis=1), np.array([28, 2]), 0.11
    )
    return figures.mask_share({"convnet": network, "vgg16": network}, title="Share")


def _sanity() -> Figure:
    rows = np.stack([np.array([1, 0.4, -0.1])] * 3, axis=1)
    return figures.sanity_curves(["trained", "fc2", "features.28"], {"gradcam": rows, "edges": rows}, title="Sanity")


def _segmented() -> Figure:
    truth = np.zeros((3, 8, 8), np.uint8)
    truth[:, 2:6, 2:6], truth[:, 0] = 1, 255
    return figures.segmentation_grid(
        _images(3), truth, np.roll(truth, 1, axis=2), ["ground", "a", "b"], ["one", "two", "three"], title="Segmented"
    )


CODED = [
    {"name": "encoder.conv1", "kind": "Conv2d", "input": [1, 8, 8], "output": [4, 4, 4], "parameters": 64, "macs": 1},
    {"name": "mean", "kind": "Linear", "input": [64], "output": [3], "parameters": 195, "macs": 192},
    {"name": "log_variance", "kind": "Linear", "input": [64], "output": [3], "parameters": 195, "macs": 192},
    {"name": "decoder.fc3", "kind": "Linear", "input": [3], "output": [64], "parameters": 256, "macs": 192},
    {"name": "decoder.deconv1", "kind": "ConvTranspose2d", "input": [4, 4, 4], "output": [1, 8, 8], "parameters": 65,
     "macs": 1},
]  # fmt: skip
BOUND = [
    {"epoch": e, "train_reconstruction": 90 / e, "train_kl": 3.0 * e, "validation_reconstruction": 95 / e,
     "validation_kl": 3.1 * e, "validation_psnr": 15.0 + e}
    for e in (1, 2, 3)
]  # fmt: skip


def _rows() -> Figure:
    return figures.image_rows(
        {"noisy": _images(1), "original": _images(1)}, captions={"noisy": ["9.1 dB"] * 3}, columns=["a", "b", "c"],
        title="Rows", note="as they are",
    )  # fmt: skip


def _sheet(classes: tuple[str, ...], title: str) -> Figure:
    bars = np.linspace(0, 1, len(classes))
    facts = ("active in 41.3% of images", f"selectivity 0.81: {classes[-1][:14]}", "removed: accuracy −0.40%")
    boxes = np.array([[0, 0, 3, 3], [2, 3, 6, 8], [0, 0, 8, 8]])
    made = _images(1)[0].astype(np.float64)
    rows = [ChannelRow(f"channel {i}", facts, _images(1), boxes, made, "1.8 × the best", bars) for i in range(3)]
    return figures.channel_sheet(rows, title=title, note="as it is", classes=classes, feet=["What it means."])


LONG = (
    "cavalier king charles spaniel of the second kind", "soft-coated wheaten terrier, somewhat long",
    "black-and-tan coonhound with a long name",
)  # fmt: skip
SIXTY = tuple(f"class number {i:02d}" for i in range(60))


def _named(classes: tuple[str, ...], title: str) -> Figure:
    points, targets = cloud(240, 2, len(classes))
    return figures.embedding_figure(points, targets, targets, classes, NUMBERS, title, method="tsne")


def _long_mistakes() -> Figure:
    truth, taken = np.array([0, 1, 2]), np.array([1, 2, 0])
    return figures.worst_mistakes(_images(1), truth, taken, np.full((3, 3), 0.3), LONG, title="Long mistakes")


def _long_masks() -> Figure:
    masks = np.arange(64, dtype=np.uint8).reshape(1, 8, 8).repeat(3, axis=0) % 4
    return figures.segmentation_grid(
        _images(1), masks, masks, ["background", *LONG], ["one"] * 3, title="Long masks", note="three", per_row=1
    )


CROWDED: dict[str, Callable[[], Figure]] = {
    "Long confusion": lambda: figures.confusion_matrix(np.diag([9, 8, 7]) + 1, LONG, title="Long confusion"),
    "Long points": lambda: _named(LONG, "Long points"),
    "Long bars": lambda: figures.class_bars([0.5, 0.3, 0.2], [None] * 3, LONG, title="Long bars"),
    "Long mistakes": _long_mistakes,
    "Long masks": _long_masks,
    "Long sheet": lambda: _sheet(LONG, "Long sheet"),
    "Sixty confusion": lambda: figures.confusion_matrix(np.eye(60, dtype=int) + 1, SIXTY, title="Sixty confusion"),
    "Sixty points": lambda: _named(SIXTY, "Sixty points"),
    "Sixty sheet": lambda: _sheet(SIXTY, "Sixty sheet"),
    "Sixty bars": lambda: figures.class_bars([0.5] * 60, [(0.4, 0.6)] * 60, SIXTY, title="Sixty bars"),
}
"""With long names of classes, and with many classes."""
FIGURES: dict[str, Callable[[], Figure]] = {
    "Curves": lambda: figures.learning_curves(HISTORY, title="Curves"),
    "Scree": lambda: figures.scree(np.array([0.5, 0.3, 0.1]), title="Scree"),
    "Confusion": lambda: figures.confusion_matrix(np.diag(range(4)) + 1, DIGITS[:4], title="Confusion"),
    "Network": lambda: figures.architecture(LAYERS, "Network"),
    "Images": lambda: figures.image_grid(_images(1), ["a", "b\nc", "d"], title="Images", note="as they are"),
    "Rows": _rows,
    "Bound": lambda: figures.reconstruction_curves(BOUND, best_epoch=3, title="Bound"),
    "Latent": lambda: figures.latent_kl(np.array([2.0, 0.0, 1.0]), np.array([True, False, True]), title="Latent"),
    "Diagram": lambda: figures.autoencoder_diagram(CODED, "Diagram of an autoencoder"),
    "Mistakes": _mistakes,
    "Embedding": lambda: _embedding(2),
    "Embedding in space": lambda: _embedding(3),
    "Attribution": _attribution,
    "Strip": _strip,
    "Faithfulness": _faithfulness,
    "Share": _share,
    "Sanity": _sanity,
    "Pair": _pair,
    "Points": _points,
    "Crowd": _crowd,
    "Layers": _layers,
    "Similarity": lambda: figures.cka_heatmap(np.array([[1, 0.5], [0.25, 0]]), "ab", title="Similarity"),
    "Segmented": _segmented,
    "Classes": lambda: figures.class_bars([0.5, None, 0.2], [(0.4, 0.6), None, None], "abc", title="Classes"),
    "Tuning": _tuning,
    "Sheet": lambda: _sheet(DIGITS, "Sheet"),
}


PICTURES: dict[str, Callable[[], np.ndarray]] = {
    "thumbnail": lambda: figures.thumbnail(_images(3)[0], 160),
    "heat": lambda: figures.heat_overlay(_images(1)[0], np.random.default_rng(2).random((8, 8))),
    "signs": lambda: figures.signed_map(np.random.default_rng(3).normal(size=(3, 8, 8))),
}


def svg_of(figure: Figure) -> bytes:
    """Save a figure as the run directory does."""
    file = io.BytesIO()
    figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    return file.getvalue()


@pytest.fixture
def svg() -> Callable[[Figure], bytes]:
    """A function that gives a figure's SVG."""
    return svg_of


@pytest.fixture
def texts() -> Callable[[Figure], list[str]]:
    """A function that gives all texts of a figure as they are read."""

    def read(figure: Figure) -> list[str]:
        root = ET.fromstring(svg_of(figure))
        found = ["".join(element.itertext()) for element in root.iter("{http://www.w3.org/2000/svg}text")]
        return [re.sub(r"\s+", " ", text).strip() for text in found]

    return read


@dataclass(frozen=True)
class Drawing:
    """One of the figures."""

    name: str
    draw: Callable[[], Figure]

    @functools.cached_property
    def svg(self) -> bytes:
        """Its SVG, drawn once for all tests."""
        return svg_of(self.draw())


DRAWINGS = {name: Drawing(name, draw) for name, draw in FIGURES.items()}


@pytest.fixture(params=list(FIGURES))
def drawing(request) -> Drawing:
    """Each figure in turn."""
    return DRAWINGS[request.param]


@pytest.fixture
def drawings() -> list[Callable[[], Any]]:
    """What draws each figure and each picture."""
    return [*FIGURES.values(), *PICTURES.values()]


@pytest.fixture(params=list(CROWDED))
def crowded(request) -> Drawing:
    """Each figure with long names or many classes in turn."""
    return Drawing(request.param, CROWDED[request.param])


@pytest.fixture
def history() -> list[dict[str, float]]:
    """Three epochs, the second the best."""
    return [dict(row) for row in HISTORY]


@pytest.fixture
def layers() -> list[dict[str, Any]]:
    """The table of a small network."""
    return [dict(layer) for layer in LAYERS]


@pytest.fixture
def points() -> Callable[[int, int, int], tuple[np.ndarray, np.ndarray]]:
    """A function that makes random points around one centre a class, and their classes."""
    return cloud


@pytest.fixture(autouse=True)
def settings_stay():
    """Whatever a figure does, the user's matplotlib settings are as before."""
    before = mpl.rcParams.copy()
    yield
    assert dict.__eq__(mpl.rcParams, before)  # its own == would load a backend
