"""Beyond the report: what each channel of its network has learned, and what is lost without it."""

from __future__ import annotations

import shutil
from pathlib import Path

from glassnet.analysis import Context, analyse
from glassnet.analysis.channel_rows import overview
from glassnet.analysis.measured_channels import MeasuredChannels
from glassnet.devices import choose_device
from glassnet.experiment import Run
from glassnet.files import atomic, write_json
from glassnet.reproduction.part import Part, Reproduction, SavedFigure, open_folder
from glassnet.reproduction.reported import OWN_NETWORK
from glassnet.reproduction.trainings import Training, own_training, train_own_network
from glassnet.run import RunDirectory
from glassnet.run.entry import Entry
from glassnet.run.store import FigureWords
from glassnet.settings.train import ReproduceSettings
from glassnet.subject import as_subject

IMAGES, ABLATION_IMAGES = 2000, 500
"""Test images that the channels are measured on, and of these those on which each channel is removed in turn."""


def channels(settings: ReproduceSettings, out: Path) -> Reproduction:
    """Measure the channels of the report's network on test images.

    Raises:
        InputError: The run's data are missing.
    """
    folder = open_folder(out)
    run = Run.open(settings.run) if settings.run is not None else train_own_network(settings, out)
    subject = as_subject(run, data_root=settings.data_root)
    context = Context(choose_device(settings.device), settings.data_root)
    done = analyse(
        subject, "channels", images=IMAGES, ablation_images=ABLATION_IMAGES, seed=settings.seed, context=context
    )
    result: MeasuredChannels = done.result
    overall = result.agreement(seed=settings.seed)
    together = [] if overall is None else [f"Selective channels and the cost of removal, all layers: {overall.words}."]
    assert done.entry is not None  # a run keeps its analyses
    return Reproduction(
        part="channels",
        out=out,
        tables=(overview(result),),
        verdicts=(),
        figures=tuple(_copied(folder, done.entry, words) for words in done.figures),
        notes=(
            f"Run: {run.path}, {run.manifest['model']['name']}; at most {IMAGES:,} test images, seed {settings.seed}. "
            f"Each channel is removed in turn on {ABLATION_IMAGES:,} images. The 2019 report has no counterpart.",
            *together,
            *result.notes,
        ),
        details={
            "run": str(run.path),
            "agreement": None if overall is None else vars(overall),
            "dead": {name: len(one.dead) for name, one in result.channels.layers.items()},
        },
    )


def trainings(settings: ReproduceSettings, out: Path) -> list[Training]:
    """List the one training; none where a run is given."""
    return [] if settings.run is not None else [own_training(settings, out)]


CHANNELS = Part(
    f"Beyond the report: what the channels of {OWN_NETWORK} have learned", trainings, channels, ("run", "seed")
)


def _copied(folder: RunDirectory, entry: Entry, words: FigureWords) -> SavedFigure:
    """Copy a figure of the analysis into the folder's figures/, .png and .svg."""
    name = f"channels-{words.name}"
    for suffix in ("png", "svg"):
        source = entry.figure_file(words.name, suffix)
        if source.exists():
            with atomic(folder.file("figures") / f"{name}.{suffix}") as temporary:
                shutil.copyfile(source, temporary)
    told = {"title": words.title, "alt": words.alt, "caption": words.caption}
    write_json(folder.file("figures") / f"{name}.json", told)
    return SavedFigure(name, words.title, words.alt)
