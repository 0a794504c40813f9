"""What is shown: subjects, their parts, layers and methods."""

from __future__ import annotations

from typing import Literal

from glassnet.explorer.schemas.base import Answer
from glassnet.tasks.explored import ViewName


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
