"""What layers know: embeddings, neighbours, likely label errors, scores of layers."""

from __future__ import annotations

from typing import Any

from glassnet.explorer.schemas.base import Answer, Measure


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


class LayerScore(Answer):
    """What a layer's features tell."""

    layer: str
    measures: list[Measure]


class LayerScores(Answer):
    """What the layers' features tell, on how many images."""

    images: int
    layers: list[LayerScore]
