"""What a page needs to know of a subject at the start, from its run.json alone where it is a run: without torch."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from glassnet.explorer.methods import methods_for
from glassnet.explorer.schemas import LayerInfo, PartInfo, SubjectInfo
from glassnet.formats import is_number
from glassnet.measures import MEASURES
from glassnet.tasks.explored import LabelOf, ViewName, explored

PartName = Literal["train", "test"]
PARTS: tuple[PartName, ...] = ("test", "train")
WITHOUT_FEATURES = ("Dropout", "Dropout1d", "Dropout2d", "Identity", "Flatten", "Normalize")
"""Modules that give what they are given."""
MOST_MAP_LAYERS = 16


@dataclass(frozen=True)
class Basics:
    """What all that is said of a subject follows from.

    Attributes:
        layers: Rows of the layer table: name, kind, output without the batch.
        parts: Images of each part.
    """

    task: str
    model: str
    data: str | None
    classes: Sequence[str]
    image_shape: tuple[int, int, int]
    labelled: bool
    layers: Sequence[tuple[str, str, Sequence[int]]]
    parts: Mapping[PartName, int]
    metrics: Mapping[str, Any]
    is_run: bool


def of_manifest(manifest: Mapping[str, Any]) -> Basics:
    """Read the basics from a run.json."""
    model, data, settings = manifest["model"], manifest["data"], manifest["settings"]
    before = data.get("fingerprint") or {}
    train = (before.get("train") or {}).get("images", data["train"] + data["validation"])
    return Basics(
        task=str(settings["task"]),
        model=str(model["name"]),
        data=str(data["name"]),
        classes=data["classes"],
        image_shape=(model["in_channels"], model["image_size"], model["image_size"]),
        labelled=True,
        layers=[(row["name"], row["kind"], row.get("output") or ()) for row in model["layers"]],
        parts={"test": data["test"], "train": train},
        metrics=manifest["metrics"],
        is_run=True,
    )


def views_of(basics: Basics) -> list[ViewName]:
    """Return the views of a subject by its task, and by what is known of it."""
    left_out: set[ViewName] = set() if basics.is_run else {"training"}
    if not basics.labelled:
        left_out |= {"mistakes"}
    if not basics.is_run and not _has_code(basics):
        left_out |= {"reconstruction"}
    if not any(len(shape) == 3 and shape[0] > 1 for _, _, shape in basics.layers):
        left_out |= {"channels"}
    return [view for view in explored(basics.task).views if view not in left_out]


def describe(
    subject_id: str, name: str, kind: Literal["run", "unfinished", "network"], basics: Basics, note: str
) -> SubjectInfo:
    """Put together what a page needs at the start."""
    layers = [_layer(*row) for row in basics.layers if row[1] not in WITHOUT_FEATURES]
    conv = _convolutions(basics)
    kinds = [row[1] for row in basics.layers]
    return SubjectInfo(
        id=subject_id,
        name=name,
        kind=kind,
        task=basics.task,
        model=basics.model,
        data=basics.data,
        classes=list(basics.classes),
        image_shape=list(basics.image_shape),
        labelled=basics.labelled,
        label_of=_label_of(basics),
        parts=[PartInfo(name=part, images=count) for part, count in basics.parts.items()],
        layers=layers,
        default_layer=_default_layer(basics),
        map_layers=conv,
        methods=methods_for(kinds, without=explored(basics.task).without_methods, maps=any(one.map for one in layers)),
        default_methods=["gradcam", "guided_gradcam"] if conv else ["saliency", "input_x_gradient"],
        reductions=["pca", "tsne", *(["umap"] if importlib.util.find_spec("umap") else [])],
        targets=list(explored(basics.task).targets),
        measures=list(measures_of(basics.task, basics.metrics)),
        views=views_of(basics),
        note=note,
    )


def _label_of(basics: Basics) -> LabelOf:
    if not basics.labelled or len(basics.classes) < 2:
        return "none"
    return explored(basics.task).label_of


def _layer(name: str, kind: str, shape: Sequence[int]) -> LayerInfo:
    is_map = len(shape) == 3
    return LayerInfo(name=name, kind=kind, shape=list(shape), channels=shape[0] if is_map else 0, map=is_map)


def _has_code(basics: Basics) -> bool:
    return any(name == "mean" for name, _, _ in basics.layers)


def _default_layer(basics: Basics) -> str | None:
    """Name the code, or the linear layer before the last, or the last convolution where there is none."""
    if _has_code(basics):
        return "mean"
    linear = [name for name, kind, _ in basics.layers if kind == "Linear"]
    conv = [name for name, kind, _ in basics.layers if kind == "Conv2d"]
    if len(linear) > 1:
        return linear[-2]
    last = conv or linear
    return last[-1] if last else None


def _convolutions(basics: Basics) -> list[str]:
    """Name the convolutions, of many the last at each size."""
    rows = [(name, tuple(shape[1:])) for name, kind, shape in basics.layers if kind == "Conv2d" and len(shape) == 3]
    rows = [(name, size) for name, size in rows if name != "log_variance"]
    if len(rows) <= MOST_MAP_LAYERS:
        return [name for name, _ in rows]
    last = {size: name for name, size in rows}
    return [name for name, _ in rows if name in last.values()]


def measures_of(task: str, metrics: Mapping[str, Any]) -> Iterable[tuple[str, str, str]]:
    """Yield the main numbers of a run: name, value, note."""
    for key in explored(task).headlines:
        value = metrics.get(f"test_{key}")
        if is_number(value):
            bounds = metrics.get(f"test_{key}_interval")
            note = f"95% interval {MEASURES[key].interval(bounds)}" if bounds else ""
            title = MEASURES[key].title
            yield (
                f"Test {title if title[:2].isupper() else title[0].lower() + title[1:]}",
                MEASURES[key].show(value),
                note,
            )
