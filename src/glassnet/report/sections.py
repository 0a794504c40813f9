"""The sections of a run's report: what each shows, or what was not done and the command that does it."""

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from glassnet.report.attributions import attributions
from glassnet.report.features import features
from glassnet.report.network import network
from glassnet.report.provenance import provenance, train_command
from glassnet.report.reconstruction import reconstructed
from glassnet.report.records import part, task_name
from glassnet.report.results import evaluated, learning
from glassnet.report.segmentation import segmented
from glassnet.run import RunDirectory
from glassnet.tasks import TASKS


@dataclass(frozen=True)
class Kind:
    """One section of every report; its prose is templates/sections/KEY.html.j2."""

    title: str
    collect: Callable[[RunDirectory], Mapping[str, Any] | None]
    missing: str = ""
    """One sentence for a run that lacks what the section shows."""
    command: str = ""
    """The command that makes it, up to the run's path; the run's training where it is empty."""
    tasks: tuple[str, ...] = tuple(TASKS)
    """Tasks whose reports have it."""


@dataclass(frozen=True)
class Section:
    """One section of one run's report."""

    key: str
    title: str
    content: Mapping[str, Any] | None
    missing: str
    command: str


def methods(run: RunDirectory) -> Mapping[str, Any]:
    """Collect what the section on methods asks of a run: which of them it used."""
    manifest = dict(run.manifest)
    return {"settings": part(manifest, "settings"), "leak": part(manifest, "data").get("leak") or 0}


SECTIONS: dict[str, Kind] = {
    "settings": Kind("Settings and versions", provenance),
    "learning": Kind("Learning curves", learning, "This run recorded no epochs; training it again does."),
    "test": Kind(
        "Test results", evaluated, "This run was not evaluated on test images.", "glassnet eval", ("classification",)
    ),
    "segmentation": Kind(
        "Test results", segmented, "This run was not evaluated on test images.", "glassnet eval", ("segmentation",)
    ),
    "reconstruction": Kind(
        "Test results",
        reconstructed,
        "This run was not evaluated on test images.",
        "glassnet eval",
        ("reconstruction",),
    ),
    "network": Kind("The network", network, "This run did not record its layers; training it again does."),
    "features": Kind(
        "Features",
        features,
        "The features of this run were not embedded.",
        "glassnet features",
        ("classification", "reconstruction"),
    ),
    "attributions": Kind(
        "Attributions", attributions, "This run’s predictions were not explained.", "glassnet explain"
    ),
    "bound": Kind("How these numbers were made", methods, tasks=("reconstruction",)),
    "methods": Kind("How these numbers were made", methods, tasks=("classification",)),
    "segmentation_methods": Kind("How these numbers were made", methods, tasks=("segmentation",)),
}


def read_sections(run: RunDirectory) -> list[Section]:
    """Read every section of a run's report in order.

    Raises:
        InputError: A file of the run is damaged.
    """
    training = train_command(part(dict(run.manifest), "settings"))
    path = shlex.quote(str(run.path))
    kinds = {key: kind for key, kind in SECTIONS.items() if task_name(run) in kind.tasks}
    commands = {key: f"{kind.command} {path}" if kind.command else training for key, kind in kinds.items()}
    return [Section(key, kind.title, kind.collect(run), kind.missing, commands[key]) for key, kind in kinds.items()]
