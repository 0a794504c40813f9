"""`glassnet train`: a run directory."""

from glassnet.commands.answer import Answer
from glassnet.experiment import Run
from glassnet.settings import TrainSettings
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
