"""`glassnet report`: one HTML file of a run, doing first what has not been done."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from glassnet import figures
from glassnet.commands.answer import Answer
from glassnet.commands.evaluate import evaluate
from glassnet.commands.explain import explain
from glassnet.commands.features import features
from glassnet.console import say
from glassnet.errors import InputError
from glassnet.experiment import Run
from glassnet.report import write_report
from glassnet.settings import EvalSettings, ExplainSettings, FeaturesSettings, ReportSettings


def report(settings: ReportSettings) -> Answer:
    """Complete a run's analysis and write its report."""
    if settings.out is not None and settings.out.is_dir():
        raise InputError(f"--out is the folder {settings.out}, expected a file, as in {settings.out / 'report.html'}.")
    run = Run.open(settings.run)
    complete(run, settings)
    path = write_report(run, out=settings.out)
    return Answer(f"report: {path.resolve()}", {"run": str(run.path), "report": str(path.resolve())})


def complete(run: Run, settings: ReportSettings) -> None:
    """Do each stage that the run lacks; what is there whole is kept as it is."""
    if not run.has("evaluation/test.json"):
        say("evaluating on the test images")
        evaluate(
            EvalSettings(
                run=settings.run,
                device=settings.device,
                precision=settings.precision,
                data_root=settings.data_root,
            )
        )
    COMPLETED[run.task.name](run, settings)
    _draw(run)


def _complete_classification(run: Run, settings: ReportSettings) -> None:
    where, root = settings.run, settings.data_root
    embed = FeaturesSettings(
        run=where, seed=settings.seed, device=settings.device, precision=settings.precision, data_root=root
    )
    if not set(embed.layers) <= set(run.stems("embeddings")):
        features(embed)
    show = ExplainSettings(run=where, device=settings.device, precision=settings.precision, data_root=root)
    if not all(_is_shown(run, name, show) for name in ("correct", "wrong")):
        say("explaining a few correct and a few wrong images")
        explain(show)


def _complete_segmentation(run: Run, settings: ReportSettings) -> None:
    # The first, a middle and the last convolutions: a U-Net has too many for one figure.
    convolutions = [row["name"] for row in run.manifest["model"]["layers"] if "Conv" in row["kind"]]
    layers = tuple(convolutions[round(i * (len(convolutions) - 1) / 5)] for i in range(6))
    show = ExplainSettings(
        run=settings.run,
        layers=tuple(dict.fromkeys(layers)),
        methods=("gradcam",),
        device=settings.device,
        precision=settings.precision,
        data_root=settings.data_root,
    )
    if not {"correct", "wrong"} <= set(run.stems("attributions")):
        say("explaining the regions of a few well and a few badly segmented images")
        explain(show)


def _complete_reconstruction(run: Run, settings: ReportSettings) -> None:
    where, root = settings.run, settings.data_root
    if "mean" not in run.stems("embeddings"):
        features(
            FeaturesSettings(
                run=where, layers=("mean",), seed=settings.seed, device=settings.device, precision=settings.precision,
                data_root=root,
            )
        )  # fmt: skip
    if "error" not in run.stems("attributions"):
        say("explaining the reconstruction error of a few images")
        kinds = {layer["kind"] for layer in run.manifest["model"]["layers"]}
        convolutional = bool(kinds & {"Conv2d", "ConvTranspose2d"})
        explain(
            ExplainSettings(
                run=where, target="error", images="first:8", device=settings.device, precision=settings.precision,
                data_root=root, layers=("conv",) if convolutional else ("linear",),
                methods=("gradcam", "guided_gradcam") if convolutional else ("saliency", "input_x_gradient"),
            )
        )  # fmt: skip


COMPLETED: dict[str, Callable[[Run, ReportSettings], None]] = {
    "classification": _complete_classification,
    "segmentation": _complete_segmentation,
    "reconstruction": _complete_reconstruction,
}
"""What each task's report needs besides the evaluation, the curves and the network."""


def _is_shown(run: Run, name: str, wanted: ExplainSettings) -> bool:
    """Tell whether a group of images is explained by all methods at all convolutions."""
    if name not in run.stems("attributions"):
        return False
    document = run.load_json(f"attributions/{name}.json")
    convolutions = {layer["name"] for layer in run.manifest["model"]["layers"] if layer["kind"] == "Conv2d"}
    return set(wanted.methods) <= set(document.get("methods", ())) and convolutions <= set(document.get("layers", ()))


def _curves(run: Run, history: Sequence[Mapping[str, Any]]) -> Figure:
    best = run.metrics["epoch"]
    if run.task.name == "reconstruction":
        return figures.reconstruction_curves(history, best_epoch=best)
    of = "pixels" if run.task.name == "segmentation" else "images"
    return figures.learning_curves(history, best_epoch=best, of=of)


def _draw(run: Run) -> None:
    # A loss of regions is not part of the validation loss: only what is in both can be drawn in one picture.
    history = [row | {"train_loss": row.get("train_cross_entropy", row["train_loss"])} for row in run.history]
    model = run.manifest["model"]
    best = run.metrics["epoch"]
    run.save_figure(
        "learning-curves",
        _curves(run, history),
        title="Learning curves",
        alt=f"Loss and error over {len(history)} epochs, for training and validation; epoch {best} was kept.",
        caption=f"Weights of epoch {best} were kept: {run.task.checkpoint_rule}.",
    )
    if run.task.name == "reconstruction":
        run.save_figure(
            "diagram",
            figures.autoencoder_diagram(model["layers"], f"{model['name']}: encoder, code, decoder"),
            title="Encoder, code, decoder",
            alt="The weight layers from the image to the code and back, each with its sizes.",
            caption="Batch-norms and activations are left out; the layer table has them.",
        )
    run.save_figure(
        "architecture",
        figures.architecture(model["layers"], model["name"]),
        title=f"The network: {model['name']}",
        alt=f"{len(model['layers'])} layers from input to output, each with its sizes.",
        caption=f"{model['parameters']:,} parameters.",
    )
