"""`glassnet demo`: reports that need no download, on a network for each task and on photographs that another names."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from glassnet.cli import Answer
from glassnet.cli.analysis import report
from glassnet.cli.training import describe
from glassnet.console import say
from glassnet.data.datasets.photos_sample import copy_photographs
from glassnet.devices import choose_device
from glassnet.errors import InputError
from glassnet.experiment import Run
from glassnet.models import create_model
from glassnet.reports import report as write_report
from glassnet.settings import DemoSettings, ReportSettings, TrainSettings
from glassnet.subject import Subject
from glassnet.training import train as train_run

MODEL, PIXELS = "efficientnet_lite0", 224
OWN = f"glassnet report {MODEL} --model-options weights=imagenet --data folder:PHOTOS"
"""What a reader types next, with a folder of their own."""


SAMPLES = {
    "classification": TrainSettings(data="mnist-sample", epochs=20),
    "segmentation": TrainSettings(data="digit-scenes", image_size=64, epochs=6),
    "reconstruction": TrainSettings(task="reconstruction", data="mnist-sample", epochs=20),
}
"""What is trained on for each task: data that ships with a package, and few epochs."""


def demo(settings: DemoSettings) -> Answer:
    """Train the report's network on 4,000 real digits and report; then let ImageNet's network name photographs.

    With --all, a network for each of the other tasks is trained and reported in between.

    Raises:
        InputError: A folder beside --out that --all would write to holds something; nothing has been done.
    """
    main, *others = SAMPLES if settings.all else ("classification",)
    for task in others:
        _check_free(_beside(settings.out, task))
    first, told = _trained(main, settings, settings.out, "demo")
    done = {task: _trained(task, settings, _beside(settings.out, task), f"{first.path.name}-{task}") for task in others}
    photographs = _photographs(first.path.with_name(f"{first.path.name}-photographs"), settings.device)
    lines = [told.text, *(answer.text for _, answer in done.values())]
    runs = [first, *(run for run, _ in done.values())]
    lines.append(
        f"explore {'them' if done else 'it'} in your browser: glassnet explore {' '.join(str(r.path) for r in runs)}"
    )
    if photographs is not None:
        lines += [f"report on photographs: {photographs['report']}", f"next, on your own: {OWN}"]
    data = {**told.data, **{task: answer.data for task, (_, answer) in done.items()}, "photographs": photographs}
    return Answer("\n".join(lines), data)


def _trained(task: str, settings: DemoSettings, out: Path | None, name: str) -> tuple[Run, Answer]:
    """Train on a task's sample, write the run's report, and say both."""
    sample, seed, device = SAMPLES[task], settings.seed, settings.device
    asked = dataclasses.replace(
        sample, epochs=settings.epochs or sample.epochs, seed=seed, out=out, device=device, precision=settings.precision
    )
    run = train_run(asked, name=name)
    written = report(ReportSettings(run=(run.path,), seed=seed, device=device))
    summary = describe(run)
    text = "\n".join([*summary.text.splitlines()[:2], written.text])
    return run, Answer(text, {**summary.data, **written.data})


def _beside(out: Path | None, task: str) -> Path | None:
    """Name a task's folder by that of the first run, where one is given."""
    return None if out is None else out.with_name(f"{out.name}-{task}")


def _check_free(folder: Path | None) -> None:
    if folder is not None and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} already exists, and --all writes there; give another --out, or remove it.")


def _photographs(folder: Path, device: str) -> Mapping[str, Any] | None:
    """Report on ImageNet's network and photographs that scikit-image ships; None, and why, where one is missing."""
    try:
        model = create_model(MODEL, in_channels=3, num_classes=1000, image_size=PIXELS, weights="imagenet")
        images = copy_photographs(folder / "photographs")
    except InputError as error:
        say(f"left out: the report on photographs: {error}")
        return None
    subject = Subject(
        model.eval().to(choose_device(device)),
        images,
        name="photographs",
        model_name=MODEL,
        task="classification",
        size=PIXELS,
        out=folder,
    )
    return {"report": str(write_report(subject, device=device).resolve()), "folder": str(folder)}
