"""`glassnet train` and `demo`: a run directory; and all that can be done with one, from real digits to a report."""

from __future__ import annotations

from typing import Any

from glassnet.cli.answer import Answer
from glassnet.experiment import Run
from glassnet.settings import DemoSettings, ReportSettings, TrainSettings
from glassnet.training import train as train_run


def train(settings: TrainSettings) -> Answer:
    """Train, and say how good the run is and where it lies."""
    return describe(train_run(settings))


def describe(run: Run) -> Answer:
    """Say a run's final figures."""
    metrics, data, model = run.metrics, run.manifest["data"], run.manifest["model"]
    warnings = "".join(f"{line}\n" for line in metrics.get("test_warnings", ()))
    text = (
        f"{model['name']} ({model['parameters']:,} parameters) on {data['name']}: {run.task.summary_line(metrics)} "
        f"on {data['test']:,} images; kept epoch {metrics['epoch']}, {run.manifest['seconds']:.0f} s.\n"
        f"{warnings}run: {run.path}\nnext: glassnet report {run.path}"
    )
    return Answer(text, {"run": str(run.path), "metrics": metrics, "seconds": run.manifest["seconds"]})


def demo(settings: DemoSettings) -> Answer:
    """Train the report's network on 4,000 real digits, then evaluate, embed, explain and report."""
    from glassnet.cli.analysis import report

    common: dict[str, Any] = {"device": settings.device, "precision": settings.precision}
    trained = train_run(
        TrainSettings(data="mnist-sample", epochs=settings.epochs, seed=settings.seed, out=settings.out, **common),
        name="demo",
    )
    written = report(ReportSettings(run=(trained.path,), seed=settings.seed, **common))
    summary = describe(trained)
    text = "\n".join([*summary.text.splitlines()[:2], written.text])
    return Answer(text, {**summary.data, **written.data})
