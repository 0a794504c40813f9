"""A training's curves and settings, also of one that goes on; and the network, layer by layer."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from glassnet.errors import GlassnetError
from glassnet.explorer.described import WITHOUT_FEATURES, measures_of
from glassnet.explorer.schemas import Curve, Network, NetworkLayer, Training
from glassnet.explorer.shown import OpenSubject
from glassnet.formats import is_number, plain
from glassnet.measures import MEASURES
from glassnet.run.training_files import read_history, weights_about
from glassnet.run.unfinished import is_free

_NO_CURVES = ("epoch", "seconds", "train_seconds")
_PARTS = {"train": "Training", "validation": "Validation"}


def training_of(opened: OpenSubject) -> Training:
    """Return a training as it is now.

    Raises:
        InputError: Its files are damaged.
    """
    if opened.path is None:
        return _no_training()
    path, finished = opened.path, opened.kind == "run"
    file = path / "metrics.jsonl"
    history = read_history(path) if file.exists() else []
    settings = opened.manifest["settings"] if finished else _settings_of_unfinished(opened)
    metrics = opened.manifest["metrics"] if finished else {}
    state: Literal["finished", "running", "stopped"] = "stopped" if is_free(path) else "running"
    return Training(
        state="finished" if finished else state,
        epochs=[int(row["epoch"]) for row in history],
        total_epochs=settings.get("epochs"),
        saved_epoch=int(metrics["epoch"]) if finished else _saved_epoch(path),
        curves=list(curves_of(history)),
        settings=[(name, plain(value)) for name, value in settings.items() if value not in (None, [], "")],
        metrics=list(measures_of(str(settings.get("task", "")), metrics)),
        heard=None if finished or not file.exists() else max(0.0, time.time() - file.stat().st_mtime),
        seconds=opened.manifest.get("seconds") if finished else sum(row.get("seconds") or 0 for row in history),
        epoch_note=_epoch_note(opened, metrics) if finished else "",
    )


def _no_training() -> Training:
    return Training(
        state="none",
        epochs=[],
        total_epochs=None,
        saved_epoch=None,
        curves=[],
        settings=[],
        metrics=[],
        heard=None,
        seconds=None,
        epoch_note="glassnet did not train this network.",
    )


def curves_of(history: list[dict[str, Any]]) -> Iterable[Curve]:
    """Return a curve for each number that the epochs have; standard errors go with what they are of."""
    keys = dict.fromkeys(key for row in history for key in row)
    for key in keys:
        values = [float(row[key]) if is_number(row.get(key)) else None for row in history]
        if key not in _NO_CURVES and not key.endswith("_error") and any(one is not None for one in values):
            yield Curve(key=key, title=_title(key), values=values)


def _title(key: str) -> str:
    part, _, name = key.partition("_")
    if part in _PARTS and name:
        title = MEASURES[name].title if name in MEASURES else name.replace("_", " ")
        return f"{_PARTS[part]} {title[:1].lower() + title[1:] if title[1:2].islower() else title}"
    return key.replace("_", " ").capitalize()


def _settings_of_unfinished(opened: OpenSubject) -> Mapping[str, Any]:
    """Read the settings from the checkpoint, once; there are none before the first."""
    file = (opened.path or Path()) / "checkpoint" / "state.pt"
    if not file.exists():
        return {}

    def read() -> Mapping[str, Any]:
        from glassnet.run.training_files import load_checkpoint

        return dict(load_checkpoint(file)["settings"])

    try:
        return opened.once(("settings",), read)
    except GlassnetError:  # written anew at this moment
        return {}


def _saved_epoch(path: Path) -> int | None:
    try:
        epoch = weights_about(path / "model.safetensors").get("epoch", "")
    except GlassnetError:
        return None
    return int(epoch) if epoch.isdecimal() else None


def _epoch_note(opened: OpenSubject, metrics: Mapping[str, Any]) -> str:
    if not opened.is_loaded:  # which needs torch
        return ""
    return str(opened.subject.task.views().epoch_note(metrics))


def network_of(opened: OpenSubject) -> Network:
    """Return the network, layer by layer."""
    if opened.manifest is not None:
        return _network(opened.basics.model, opened.basics.image_shape, opened.manifest["model"]["layers"])
    return opened.once(("network", opened.version()), lambda: _of_model(opened))


def _of_model(opened: OpenSubject) -> Network:
    from glassnet.models.layer_table import layer_table

    subject = opened.subject
    rows = layer_table(subject.model(), (1, *subject.image_shape))
    return _network(subject.model_name, subject.image_shape, [vars(row) for row in rows])


def _network(name: str, shape: tuple[int, int, int], rows: list[Mapping[str, Any]]) -> Network:
    layers = [_layer(row) for row in rows]
    macs = [one.macs for one in layers]
    return Network(
        name=name,
        parameters=sum(one.parameters for one in layers),
        macs=None if None in macs else sum(one or 0 for one in macs),
        input=list(shape),
        layers=layers,
    )


def _layer(row: Mapping[str, Any]) -> NetworkLayer:
    output = list(row.get("output") or ())
    return NetworkLayer(
        name=row["name"],
        kind=row["kind"],
        input=list(row.get("input") or ()),
        output=output,
        parameters=row["parameters"],
        macs=row.get("macs"),
        receptive_field=_square(row.get("receptive_field")),
        map=len(output) == 3,
        features=bool(output) and row["kind"] not in WITHOUT_FEATURES,
    )


def _square(sizes: Any) -> int | None:
    """Return the side of a square receptive field; None for another one, and in runs of before it was known."""
    sides = list(sizes) if isinstance(sizes, list | tuple) else []
    return sides[0] if len(sides) == 2 and isinstance(sides[0], int) and sides[0] == sides[1] else None
