"""Networks and trainings, alone and compared."""

from __future__ import annotations

from typing import Literal

from glassnet.explorer.schemas.base import Answer


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
