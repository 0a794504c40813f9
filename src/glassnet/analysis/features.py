"""The features of one layer: a row an image, drawn by seed; more than memory should hold streams to a file."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from glassnet.analysis.base import Context, Kind, Precision, get
from glassnet.data.split import balanced_draw
from glassnet.display import Shown
from glassnet.errors import InputError
from glassnet.files import scratch_folder
from glassnet.images import ImageRows, Images
from glassnet.models.features import extract_features
from glassnet.models.layers import select_layers
from glassnet.subject import Part, Subject

Extract = Callable[[nn.Module, Images | ImageRows, Sequence[str], Precision, int], dict[str, np.ndarray]]
"""Takes a model, images, layers, the precision and the images of a batch, and returns a row an image of each layer."""
STREAMED_FROM_IMAGES = 20_000
"""The features of more images stream to files, one a layer, that anything can map."""


@dataclass(frozen=True)
class FeaturesRequest:
    """What is extracted.

    Attributes:
        layer: Name of the layer.
        images: So many images at most, drawn by seed, classes balanced as in the whole.
        split: Part that they are drawn from.
        seed: Of the draw.
        precision: Of the forward pass.
    """

    layer: str
    images: int = 5000
    split: Part = "test"
    seed: int = 0
    precision: Precision = "fp32"


@dataclass(frozen=True, eq=False)
class Features(Shown):
    """The features of a layer.

    Attributes:
        layer: Its name.
        features: A row an image.
        labels: Class of each image; one more than the last where there are no labels.
        numbers: Stable number of each image in its part.
        files: Its file; None where images are not files.
    """

    layer: str
    features: Float[np.ndarray, "n d"]
    labels: Int64[np.ndarray, " n"]
    numbers: Int64[np.ndarray, " n"]
    files: tuple[str, ...] | None

    def __repr__(self) -> str:
        """Say in one line what it holds."""
        return f"Features({self.layer}: {len(self.features):,} images, {self.features.shape[1]:,} numbers each)"


def compute(subject: Subject, request: FeaturesRequest, context: Context) -> Features:
    """Extract a layer's features, or take them from what `prepare` extracted.

    Raises:
        InputError: There is no such layer, or it gives no row an image.
    """
    rows = _prepared(subject, request, context).get(request.layer)
    if rows is None:
        prepare(subject, [request.layer], request, context)
        rows = _prepared(subject, request, context)[request.layer]
    split = subject.part(request.split).subset(drawn(subject, request, context))
    labelled = subject.labelled and split.target_dimensions < 3
    labels = image_labels(split.targets) if labelled else np.full(len(rows), len(subject.classes))
    return Features(request.layer, rows, labels, split.numbers.numpy(), split.files)


def prepare(
    subject: Subject, layers: Sequence[str], request: Any, context: Context, *, extract: Extract | None = None
) -> None:
    """Extract the features of several layers in one pass, for the analyses of this context.

    Args:
        subject: Of what.
        layers: Their names.
        request: Which images are drawn, and the precision.
        context: Where to compute, and what keeps the features.
        extract: Extracts in another way than here, as over several processes, and into a folder of its own.
    """
    prepared = _prepared(subject, request, context)
    missing = [layer for layer in layers if layer not in prepared]
    if not missing:
        return
    chosen = drawn(subject, request, context)
    model = context.once(("model", id(subject)), lambda: subject.model(context.device))
    images = subject.part(request.split).subset(chosen).pixels
    if extract is not None:
        prepared |= extract(model, images, missing, request.precision, context.batch_size)
        return
    folder = None
    if len(chosen) > STREAMED_FROM_IMAGES:
        folder = _folder(subject, context)
    prepared |= extract_features(
        model, images, missing, precision=request.precision, out=folder, batch_size=context.batch_size
    )


def width_of(subject: Subject, request: Any, context: Context) -> int:
    """Return how many features a layer gives for an image, which `prepare` has extracted."""
    return int(_prepared(subject, request, context)[request.layer].shape[1])


class _Life:
    """What the memory of a context holds, and dies with it."""


def _folder(subject: Subject, context: Context) -> Path:
    """Return a new folder that is gone with the context's memory: on the disk of the analyses, if there is room."""
    life = context.once("life of streamed features", _Life)
    if subject.store is None or not subject.store.writable:
        folder = Path(tempfile.mkdtemp(prefix="glassnet-features-"))
        weakref.finalize(life, shutil.rmtree, folder, ignore_errors=True)
        return folder
    stack = ExitStack()
    folder = stack.enter_context(scratch_folder(subject.store.root / "features", "streamed"))
    weakref.finalize(life, stack.close)
    return folder


def drawn(subject: Subject, request: Any, context: Context) -> Tensor:
    """Return which images of the part are taken."""

    def draw() -> Tensor:
        split = subject.part(request.split)
        return balanced_draw(torch.from_numpy(image_labels(split.targets)), request.images, seed=request.seed)

    return context.once(("drawn", id(subject), request.split, request.images, request.seed), draw)


def image_labels(targets: Tensor) -> np.ndarray:
    """Return one class an image: the target, or the first label of several, one more than the last for none.

    A mask gives its image no class: all have the same.
    """
    if targets.ndim == 3:
        return np.zeros(len(targets), dtype=np.int64)
    if targets.ndim == 1:
        return targets.numpy().astype(np.int64)
    several = targets.numpy().astype(bool)
    return np.where(several.any(axis=1), several.argmax(axis=1), several.shape[1]).astype(np.int64)


def layer_names(subject: Subject, words: Sequence[str], context: Context) -> list[str]:
    """Return the names of the layers that names, patterns and kinds mean.

    Raises:
        InputError: There is no such layer.
    """
    return list(select_layers(context.once(("model", id(subject)), lambda: subject.model(context.device)), list(words)))


def in_order(subject: Subject, words: Sequence[str]) -> tuple[str, ...]:
    """Return words for layers each once, in the order of the model's layers, so that any order is one setting.

    Words that mean no layer stay where they are: who needs the layers refuses them.
    """
    each = tuple(dict.fromkeys(words))
    if len(each) < 2:
        return each
    model = subject.model()
    try:
        names = select_layers(model, list(each))
        first = {word: names.index(select_layers(model, [word])[0]) for word in each}
    except InputError:
        return each
    return tuple(sorted(each, key=lambda word: (first[word], word)))


def features_of(subject: Subject, request: FeaturesRequest, context: Context) -> Features:
    """Return a layer's features: those that are kept, or new ones."""
    found: Features = get(FEATURES, subject, request, context=context).result
    return found


def check_images_have_classes(subject: Subject) -> None:
    """Refuse a task whose images have no class of their own.

    Raises:
        InputError: They have not.
    """
    if not subject.task.labels_images:
        raise InputError(
            f"{subject.name} learned {subject.task.name}, but embeddings are coloured and scored by one class per "
            "image; `glassnet explain` shows where its layers look."
        )


def _prepared(subject: Subject, request: Any, context: Context) -> dict[str, np.ndarray]:
    key = ("features", id(subject), request.split, request.images, request.seed, request.precision)
    rows: dict[str, np.ndarray] = context.once(key, dict)
    return rows


def words(_subject: Subject, request: FeaturesRequest) -> Iterable[str]:
    """Name an entry by its layer, and by what is not usual."""
    yield request.layer
    yield from unusual(request)


def unusual(request: Any) -> Iterable[str]:
    """Name what of the images drawn is not the usual."""
    if request.split != "test":
        yield request.split
    if request.images != FeaturesRequest.images:
        yield f"{request.images}"
    if request.seed:
        yield f"seed{request.seed}"
    if request.precision != "fp32":
        yield request.precision


FEATURES = Kind(
    name="features",
    request=FeaturesRequest,
    result=lambda _subject: Features,
    compute=compute,
    words=words,
    plots=lambda _subject, _request, _result, _context: (),
    made_of=lambda subject, request, _context: subject.made_of(request.split),
    code=("models", "analysis"),
)
