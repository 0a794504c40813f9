"""`glassnet demo`: the main job from real digits to a report, without a download."""

from __future__ import annotations

from typing import Any

from glassnet.commands.answer import Answer
from glassnet.commands.report import report
from glassnet.commands.train import describe
from glassnet.settings import DemoSettings, ReportSettings, TrainSettings
from glassnet.training import train


def demo(settings: DemoSettings) -> Answer:
    """Train the report's network on 4,000 real digits, then evaluate, embed, explain and report."""
    common: dict[str, Any] = {"device": settings.device, "precision": settings.precision}
    trained = train(
        TrainSettings(data="mnist-sample", epochs=settings.epochs, seed=settings.seed, out=settings.out, **common),
        name="demo",
    )
    written = report(ReportSettings(run=(trained.path,), seed=settings.seed, **common))
    summary = describe(trained)
    text = "\n".join([*summary.text.splitlines()[:2], written.text])
    return Answer(text, {**summary.data, **written.data})
