"""Where a run comes from: its settings, versions and machine, and the command that makes it again."""

import dataclasses
import shlex
from typing import Any

from glassnet.report import numbers
from glassnet.report.records import part
from glassnet.report.tables import Table, code, pairs, table
from glassnet.run import RunDirectory
from glassnet.settings import TrainSettings, to_json
from glassnet.tasks import TASKS

ALWAYS = ("data", "model", "epochs", "seed")
"""Settings that the command names even where they are the default, since a default may change."""
NEVER = ("out", "resume")
"""Settings that do not change the result."""
DERIVED = ("task",)
"""Settings that follow from others which the command names."""


def provenance(run: RunDirectory) -> dict[str, Any]:
    """Collect what the section on settings and versions shows."""
    manifest = dict(run.manifest)
    return {
        "command": train_command(part(manifest, "settings")),
        "data": _data(part(manifest, "data")),
        "settings": _settings(part(manifest, "settings")),
        "execution": pairs("How the run was computed", "Item", _execution(manifest)),
        "versions": pairs("Versions of the software", "Software", _versions(manifest)),
    }


def train_command(settings: dict[str, Any]) -> str:
    """Write the command line that trains with these settings, leaving out what is the default."""
    usual = _usual(settings)
    words = ["glassnet", "train"]
    for name, value in settings.items():
        if (
            value is None
            or name in (*NEVER, *DERIVED)
            or (name not in ALWAYS and name in usual and value == usual[name])
        ):
            continue
        words += _option(name.replace("_", "-"), value)
    return shlex.join(words)


def _usual(settings: dict[str, Any]) -> dict[str, Any]:
    """Return what each setting would be if not given; some follow from the task."""
    task = TASKS.get(settings.get("task") or "classification")
    return to_json(TrainSettings()) | (to_json(task.defaults) | to_json(task.recipe) if task else {})


def _option(name: str, value: Any) -> list[str]:
    if isinstance(value, bool):
        return [f"--{name}" if value else f"--no-{name}"]
    return [f"--{name}", *map(str, value if isinstance(value, list | tuple) else [value])]


def _settings(settings: dict[str, Any]) -> Table:
    usual = _usual(settings)
    known = [field.name for field in dataclasses.fields(TrainSettings)]
    columns = ("Setting", "Value", "Default")
    shown = [name for name in settings if name not in (*NEVER, *_of_other_tasks(settings))]
    ordered = sorted(shown, key=lambda name: known.index(name) if name in known else len(known))
    cells = [(code(name), numbers.plain(settings[name]), numbers.plain(usual.get(name))) for name in ordered]
    return table("Settings of the training, and what each would be if not given", columns, cells, words=(0, 1, 2))


def _of_other_tasks(settings: dict[str, Any]) -> set[str]:
    """Name the settings that the run's task does not read, and that would seem to say how it was trained."""
    task = TASKS.get(settings.get("task") or "classification")
    return {name for other in TASKS.values() for name in other.options} - set(task.options) if task else set()


def _data(data: dict[str, Any]) -> Table:
    size, classes = data.get("image_size"), data.get("classes")
    return pairs(
        "The data",
        "Item",
        {
            "Data set": data.get("name"),
            "Classes": f"{len(classes)}: {numbers.plain(classes)}" if isinstance(classes, list) else None,
            "Image, channels × height × width in pixels": numbers.shape([data.get("channels"), size, size]),
            "Training images": numbers.count(data.get("train")),
            "Validation images, held out of the training": numbers.count(data.get("validation")),
            "Test images": numbers.count(data.get("test")),
            "Note": data.get("note"),
        },
    )


def _execution(manifest: dict[str, Any]) -> dict[str, Any]:
    machine = part(manifest, "machine")
    return {
        "Seed": manifest.get("seed"),
        "Device": manifest.get("device"),
        "Precision": manifest.get("precision"),
        "Processes": manifest.get("processes"),
        "Started": manifest.get("started"),
        "Training time": numbers.duration(manifest.get("seconds")),
        **{name.replace("_", " ").capitalize(): value for name, value in machine.items()},
    }


def _versions(manifest: dict[str, Any]) -> dict[str, Any]:
    return {"glassnet": manifest.get("glassnet"), **part(manifest, "versions")}
