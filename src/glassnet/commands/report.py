"""`glassnet report`: one HTML file of a run, doing first what has not been done."""

from __future__ import annotations

from glassnet import figures
from glassnet.commands.answer import Answer
from glassnet.commands.evaluate import evaluate
from glassnet.commands.explain import explain
from glassnet.commands.features import features
from glassnet.console import say
from glassnet.experiment import Run
from glassnet.report import write_report
from glassnet.settings import EvalSettings, ExplainSettings, FeaturesSettings, ReportSettings


def report(settings: ReportSettings) -> Answer:
    """Complete a run's analysis and write its report."""
    run = Run.open(settings.run)
    complete(run, settings)
    path = write_report(run, out=settings.out)
    return Answer(f"report: {path.resolve()}", {"run": str(run.path), "report": str(path.resolve())})


def complete(run: Run, settings: ReportSettings) -> None:
    """Do each stage that the run lacks; what is there is kept as it is."""
    where, root = settings.run, settings.data_root
    if not run.has("evaluation/test.json"):
        say("evaluating on the test images")
        evaluate(EvalSettings(run=where, device=settings.device, precision=settings.precision, data_root=root))
    if not any((run.path / "embeddings").glob("*.json")):
        features(
            FeaturesSettings(
                run=where, seed=settings.seed, device=settings.device, precision=settings.precision, data_root=root
            )
        )
    if not any((run.path / "attributions").glob("*.json")):
        say("explaining a few correct and a few wrong images")
        explain(ExplainSettings(run=where, device=settings.device, precision=settings.precision, data_root=root))
    _draw(run)


def _draw(run: Run) -> None:
    history, model = run.history, run.manifest["model"]
    best = run.metrics["epoch"]
    run.save_figure(
        "learning-curves",
        figures.learning_curves(history, best_epoch=best),
        title="Learning curves",
        alt=f"Loss and error over {len(history)} epochs, for training and validation; epoch {best} is the best.",
        caption=f"Weights of epoch {best} were kept, the best on the validation images.",
    )
    run.save_figure(
        "architecture",
        figures.architecture(model["layers"], model["name"]),
        title=f"The network: {model['name']}",
        alt=f"{len(model['layers'])} layers from input to output, each with its sizes.",
        caption=f"{model['parameters']:,} parameters.",
    )
