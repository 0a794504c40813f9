"""Images: their columns and thumbnails, what is known of one, its maps, channels, masks and codes."""

from __future__ import annotations

from glassnet.explorer.schemas.base import Answer


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


class ReadMeta(Answer):
    """How an image file was read."""

    name: str
    width: int
    height: int
    note: str


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


class JudgedLabel(Answer):
    """How often one of several labels an image is right; it is said where its probability is at least 0.5.

    Attributes:
        index: Of the label among the classes.
        images: Those that have it.
        missed: Of these, those of which it is not said.
        invented: Images without it of which it is said.
        average_precision: Area below precision over recall; None where no image has it.
        precision: Share of the images of which it is said that have it; None where it is never said.
        recall: Share of the images that have it of which it is said; None where none has it.
    """

    index: int
    images: int
    missed: int
    invented: int
    average_precision: float | None
    precision: float | None
    recall: float | None


class JudgedLabels(Answer):
    """All labels, and how many images have a wrong one."""

    images: int
    wrong: int
    labels: list[JudgedLabel]
