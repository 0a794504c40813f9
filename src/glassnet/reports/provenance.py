"""Where a run comes from: its settings, versions and machine, and the command that makes it again."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from glassnet.blocks import Block, Fold, Missing, Picture, Prose, Section
from glassnet.experiment import Run
from glassnet.formats import count, duration, plain, shape
from glassnet.reports.material import picture_of
from glassnet.run.legacy import old_figures
from glassnet.settings import TrainSettings, to_json
from glassnet.subject import Subject
from glassnet.tables import Table, make_table
from glassnet.tasks import TASKS

ALWAYS = ("data", "model", "epochs", "seed")
"""Settings that the command names even where they are the default, since a default may change."""
NEVER = ("out", "resume")
"""Settings that do not change the result."""
DERIVED = ("task", "steps")
"""Settings that follow from others which the command names; steps came to the epochs."""


def provenance(run: Run) -> tuple[Block, ...]:
    """Return what the section on settings and versions shows."""
    manifest = run.manifest
    settings = to_json(run.settings)
    again = Markup("This command repeats the training: <code>{}</code>").format(train_command(settings))
    return (
        Prose((again,)),
        _settings(settings),
        _pairs("The data", _data(manifest["data"])),
        _pairs("How the run was computed", _execution(manifest)),
        _pairs("Software versions", {"glassnet": manifest.get("glassnet"), **(manifest.get("versions") or {})}),
    )


def train_command(settings: Mapping[str, Any]) -> str:
    """Write the command line that trains with these settings, leaving out what is the default."""
    usual = _usual(settings)
    words = ["glassnet", "train"]
    for name, value in settings.items():
        default = name not in ALWAYS and name in usual and value == usual[name]
        if value is None or name in (*NEVER, *DERIVED) or default:
            continue
        words += _option(name.replace("_", "-"), value)
    return shlex.join(words)


def _usual(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return what each setting would be if not given; some follow from the task."""
    task = TASKS[settings["task"]]
    return to_json(TrainSettings()) | {"backbone_rate": 1.0} | to_json(task.defaults) | to_json(task.recipe)


def _option(name: str, value: Any) -> list[str]:
    if isinstance(value, bool):
        return [f"--{name}" if value else f"--no-{name}"]
    return [f"--{name}", *map(str, value if isinstance(value, list | tuple) else [value])]


def _settings(settings: Mapping[str, Any]) -> Table:
    usual, own = _usual(settings), TASKS[settings["task"]].options
    of_others = {name for task in TASKS.values() for name in task.options} - set(own)
    rows = [
        (Markup("<code>{}</code>").format(name), plain(value), plain(usual.get(name)))
        for name, value in settings.items()
        if name not in NEVER and name not in of_others
    ]
    caption = "Settings of the training, and their defaults"
    return make_table(caption, ("Setting", "Value", "Default"), rows, words=(0, 1, 2))


def _pairs(caption: str, values: Mapping[str, Any]) -> Table:
    rows = [(name, plain(value)) for name, value in values.items()]
    return make_table(caption, ("Item", "Value"), rows, words=(0, 1))


def _data(data: Mapping[str, Any]) -> dict[str, Any]:
    size, classes = data.get("image_size"), data.get("classes")
    return {
        "Data set": data.get("name"),
        "Classes": f"{len(classes)}: {plain(classes)}" if isinstance(classes, list) else None,
        "Image size: channels × height × width in pixels": shape([data.get("channels"), size, size]),
        "Training images": count(data.get("train")),
        "Validation images, held out from the training images": count(data.get("validation")),
        "Test images": count(data.get("test")),
        "Note": data.get("note"),
    }


def _execution(manifest: Mapping[str, Any]) -> dict[str, Any]:
    machine = manifest.get("machine") or {}
    return {
        "Seed": manifest.get("seed"),
        "Device": manifest.get("device"),
        "Precision": manifest.get("precision"),
        "Processes": manifest.get("processes"),
        "Started": manifest.get("started"),
        "Training time": duration(manifest.get("seconds")),
        **{name.replace("_", " ").capitalize(): value for name, value in machine.items()},
    }


def earlier_figures(subject: Subject, sections: Sequence[Section]) -> tuple[Block, ...]:
    """Return the figures of a run of an earlier version that no section shows."""
    entry = None if subject.run is None else old_figures(subject.run.path)
    if entry is None:
        return ()
    drawings = {_drawing(block) for section in sections for block in _unfolded(section.blocks)}
    drawn = (picture_of(entry, words) for words in entry.figures)
    rest = [one for one in drawn if _drawing(one) not in drawings]
    lead = Prose(
        (
            "These figures were drawn by an earlier version. Where the page has a figure of the same numbers, it is "
            "redrawn.",
        )
    )
    return (lead, *rest) if rest else ()


def _drawing(block: Block) -> bytes | str:
    """Return what tells figures apart, those that cannot be shown too."""
    return block.drawing if isinstance(block, Picture) else block.what if isinstance(block, Missing) else ""


def _unfolded(blocks: Sequence[Block]) -> Iterator[Block]:
    for block in blocks:
        yield from _unfolded(block.blocks) if isinstance(block, Fold) else (block,)
