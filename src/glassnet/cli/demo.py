"""`glassnet demo`: two reports that need no download, of digits that are learned and of photographs that are named."""

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
from glassnet.models import create_model
from glassnet.reports import report as write_report
from glassnet.settings import DemoSettings, ReportSettings, TrainSettings
from glassnet.subject import Subject
from glassnet.training import train as train_run

MODEL, PIXELS = "efficientnet_lite0", 224
OWN = f"glassnet report {MODEL} --model-options weights=imagenet --data folder:PHOTOS"
"""What a reader types next, with a folder of their own."""


def demo(settings: DemoSettings) -> Answer:
    """Train the report's network on 4,000 real digits and report; then let ImageNet's network name photographs."""
    seed, device = settings.seed, settings.device
    asked = TrainSettings(data="mnist-sample", epochs=settings.epochs, seed=seed, out=settings.out, device=device)
    trained = train_run(dataclasses.replace(asked, precision=settings.precision), name="demo")
    digits = report(ReportSettings(run=(trained.path,), seed=seed, device=device))
    summary = describe(trained)
    photographs = _photographs(trained.path.with_name(f"{trained.path.name}-photographs"), device)
    lines = [
        *summary.text.splitlines()[:2],
        digits.text,
        f"explore it in your browser: glassnet explore {trained.path}",
    ]
    if photographs is not None:
        lines += [f"report on photographs: {photographs['report']}", f"next, on your own: {OWN}"]
    return Answer("\n".join(lines), {**summary.data, **digits.data, "photographs": photographs})


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
