"""What the explorer's server answers: each class is a type of its OpenAPI schema, and so one of the page's TypeScript.

Arrays travel as bytes, described by `ArrayMeta` in the header X-Arrays; the header X-Meta holds the route's Meta model.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from glassnet.tasks.explored import ViewName

Dtype = Literal["float32", "int32", "uint8"]


class Answer(BaseModel):
    """Base of all answers; a field that is not described is a mistake."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Problem(Answer):
    """What went wrong, as one sentence that says what to do."""

    error: str


class ArrayMeta(Answer):
    """An array of a binary answer, little-endian and in C order."""

    name: str
    dtype: Dtype
    shape: list[int]


class Job(Answer):
    """Work that goes on; the same request again answers it, or the result.

    Attributes:
        id: For DELETE /jobs/{id}.
        what: A few words, such as "t-SNE of fc1".
        done: Steps done.
        total: Steps in all; 0 while unknown.
        seconds: Since it was asked for.
        queue: How many come before it; 0 once it runs.
    """

    id: str
    what: str
    done: int
    total: int
    seconds: float
    queue: int


class SubjectSummary(Answer):
    """A subject in the list of all.

    Attributes:
        kind: A finished run, a run that is not finished (only its training can be seen), or a network with images.
        views: Those that its task has.
        problem: Why it cannot be shown; empty where it can.
    """

    id: str
    name: str
    kind: Literal["run", "unfinished", "network"]
    task: str
    model: str
    data: str | None
    views: list[ViewName]
    problem: str = ""


class Session(Answer):
    """What is shown, and by what.

    Attributes:
        version: Of glassnet.
        exported: Whether this is a static export, without a model.
    """

    version: str
    exported: bool
    subjects: list[SubjectSummary]


class LayerInfo(Answer):
    """A layer that has features.

    Attributes:
        name: As `explain` and `features` take it.
        kind: Class of the module.
        shape: Of its output, without the batch; empty where unknown.
        channels: Its number of channels; 0 where it has none.
        map: Whether its output has height and width, so that maps and channels can be shown.
    """

    name: str
    kind: str
    shape: list[int]
    channels: int
    map: bool


class MethodInfo(Answer):
    """A method of attribution.

    Attributes:
        signed: Whether its maps are of the input, with signs and channels, not of a layer.
        needs_layer: Whether it explains a layer, not the whole network.
        slow: Whether it needs many passes, so that a page asks for it only where it was chosen.
    """

    name: str
    title: str
    about: str
    signed: bool
    needs_layer: bool
    slow: bool


class PartInfo(Answer):
    """A part of the images."""

    name: Literal["train", "test"]
    images: int


class SubjectInfo(Answer):
    """All that a page needs to know of a subject at the start.

    Attributes:
        classes: Names by index.
        image_shape: Channels, height, width.
        labelled: Whether the images have labels.
        label_of: What has a class: the image, each pixel of it, or the image several ("labels"); "none" for nothing.
        layers: In the order of the forward pass.
        default_layer: Whose embedding is shown first.
        map_layers: Those whose maps are shown first.
        methods: That can explain it.
        reductions: Methods of the embedding that are installed.
        targets: What can be explained besides classes by name: the task's own words.
        measures: The main numbers: name, value, note.
        note: How the data have changed since the training, and other warnings; empty for none.
    """

    id: str
    name: str
    kind: Literal["run", "unfinished", "network"]
    task: str
    model: str
    data: str | None
    classes: list[str]
    image_shape: list[int]
    labelled: bool
    label_of: Literal["image", "labels", "pixel", "none"]
    parts: list[PartInfo]
    layers: list[LayerInfo]
    default_layer: str | None
    map_layers: list[str]
    methods: list[MethodInfo]
    default_methods: list[str]
    reductions: list[str]
    targets: list[str]
    measures: list[tuple[str, str, str]]
    views: list[ViewName]
    note: str = ""


class ColumnsMeta(Answer):
    """What the columns hold.

    Attributes:
        wrong: How many images are predicted wrongly; None where that means nothing.
        quality: What the column `quality` is, such as IoU or PSNR; empty for none.
    """

    images: int
    wrong: int | None
    quality: str
    quality_higher_is_better: bool
    precision: str


class Names(Answer):
    """Names of the images of a part by their place, empty where they have only numbers."""

    numbers: list[int]
    names: list[str]


class Atlas(Answer):
    """Thumbnails on pages: tile k, row by row on its page, is the k-th image of the part's order.

    Attributes:
        tile: Height and width of a tile in pixels.
        columns: Tiles in a row of a page.
        per_page: Tiles on a full page.
        digest: Changes where the images do.
    """

    tile: int
    columns: int
    per_page: int
    pages: int
    images: int
    media: str
    digest: str


class ImageFacts(Answer):
    """What is known of an image and of the model's answer to it.

    Attributes:
        label: Index of its class; None where it has none, or several.
        labels: Indices of all its classes, where an image has several.
        correct: Whether label and prediction agree; None where that means nothing.
        facts: Further facts: name and value as text.
    """

    number: int
    name: str
    part: str
    label: int | None
    labels: list[int]
    predicted: int | None
    confidence: float | None
    loss: float | None
    correct: bool | None
    facts: list[tuple[str, str]]


class EmbeddingOnDisk(Answer):
    """An embedding that needs no computing."""

    layer: str
    method: str
    dims: int
    images: int
    seed: int
    perplexity: float | None
    entry: str


class EmbeddingList(Answer):
    """What is on disk."""

    embeddings: list[EmbeddingOnDisk]


class Measure(Answer):
    """A number with what it means.

    Attributes:
        key: As in analysis.json.
        text: As it is written.
        chance: What it would be by chance, as text; empty where that means nothing.
    """

    key: str
    title: str
    value: float | None
    text: str
    interval: str
    chance: str
    about: str


class EmbeddingMeta(Answer):
    """An embedding's settings and its numbers.

    Attributes:
        explained: Share of the variance on each axis, of a PCA.
        aligned: The layer whose picture this one was turned onto; None for none.
        settings: All settings as resolved, for the caption.
        entry: KIND/NAME in the run's store; empty where it is not kept.
    """

    layer: str
    method: str
    dims: int
    images: int
    of: int
    measures: list[Measure]
    explained: list[float]
    aligned: str | None
    settings: dict[str, Any]
    clusters: int
    entry: str
    seconds: float


class MapsMeta(Answer):
    """What the maps explain.

    Attributes:
        target: Words for what is explained, such as "the score of 5".
        target_class: Its index; None where no single class is explained.
        notes: What should be known of a map: "METHOD|LAYER" to a sentence (all zero, not finite …).
        facts: As `ImageFacts.facts`.
        entry: In the store; empty where not kept.
    """

    number: int | None
    target: str
    target_class: int | None
    predicted: int | None
    layers: list[str]
    methods: list[str]
    notes: dict[str, str]
    facts: list[tuple[str, str]]
    entry: str
    seconds: float


class ChannelsMeta(Answer):
    """The channels of a layer: the largest mean activations first in `order`."""

    layer: str
    channels: int
    order: list[int]


class NeighboursMeta(Answer):
    """Nearest images in a layer's feature space: among how many, and how many of them share the label."""

    layer: str
    among: int
    same_label: int | None


class PlaceMeta(Answer):
    """Where an image falls in an embedding, and its nearest neighbours there in feature space."""

    layer: str
    method: str
    neighbours: list[int]
    note: str


class ReadMeta(Answer):
    """How an image file was read."""

    name: str
    width: int
    height: int
    note: str


class LabelError(Answer):
    """An image whose label its neighbours in feature space, and the model, contradict.

    Attributes:
        suggested: The class that they say.
        agreement: Share of the neighbours that say so.
        confidence: The model's probability of the suggested class.
        score: By which they are sorted, in [0, 1].
    """

    number: int
    name: str
    label: int
    suggested: int
    agreement: float
    confidence: float
    score: float


class LabelErrors(Answer):
    """Likely label errors, the likeliest first."""

    layer: str
    among: int
    neighbours: int
    method: str
    errors: list[LabelError]


class NetworkLayer(Answer):
    """A row of the layer table."""

    name: str
    kind: str
    input: list[int]
    output: list[int]
    parameters: int
    macs: int | None
    receptive_field: int | None
    map: bool
    features: bool


class Network(Answer):
    """The network, layer by layer, in the order of the forward pass."""

    name: str
    parameters: int
    macs: int | None
    input: list[int]
    layers: list[NetworkLayer]
    note: str = ""


class LayerScore(Answer):
    """What a layer's features tell."""

    layer: str
    measures: list[Measure]


class LayerScores(Answer):
    """What the layers' features tell, on how many images."""

    images: int
    layers: list[LayerScore]


class Curve(Answer):
    """A number of each epoch; None where an epoch has none."""

    key: str
    title: str
    values: list[float | None]


class Training(Answer):
    """A training, also one that goes on.

    Attributes:
        state: "finished", "running", or "stopped" where its process is gone.
        epochs: Epochs that are done, by number.
        saved_epoch: The one whose weights are kept.
        settings: As resolved: name and value as text.
        heard: Seconds since its last epoch was written.
        epoch_note: What the saved epoch came to.
    """

    state: Literal["finished", "running", "stopped", "none"]
    epochs: list[int]
    total_epochs: int | None
    saved_epoch: int | None
    curves: list[Curve]
    settings: list[tuple[str, str]]
    metrics: list[tuple[str, str, str]]
    heard: float | None
    seconds: float | None
    epoch_note: str


class SegmentationMeta(Answer):
    """A segmented image: IoU of each class that is in truth or prediction."""

    number: int
    mean_iou: float | None
    pixel_accuracy: float | None
    classes: list[int]
    iou: list[float | None]
    ignored: int


class ReconstructionMeta(Answer):
    """A reconstruction: its noise, its quality and that of the noisy image.

    Attributes:
        noise: As `--noise` takes it; "none" for none.
        strengths: What the slider offers, by the words of `--noise`.
    """

    number: int
    noise: str
    strengths: list[str]
    psnr: float | None
    ssim: float | None
    noisy_psnr: float | None
    code: int
    loss: float | None


class LatentsMeta(Answer):
    """The latent dimensions that carry most: how many there are, and how many carry anything."""

    dimensions: int
    active: int
    variational: bool


class Disagreement(Answer):
    """An image on which two networks say different things."""

    number: int
    name: str
    label: int | None
    first: int
    second: int
    first_confidence: float
    second_confidence: float


class Comparison(Answer):
    """Two subjects on the same images.

    Attributes:
        counts: Both right, only the first, only the second, both wrong; empty without labels.
        p_value: Of McNemar's exact test; None without labels.
        note: What should be known, such as other images or other classes.
    """

    images: int
    agree: int
    counts: list[int]
    p_value: float | None
    disagreements: list[Disagreement]
    note: str


class Cka(Answer):
    """Linear centred kernel alignment between the layers of two subjects, rows of the first."""

    first: list[str]
    second: list[str]
    values: list[list[float]]
    images: int
