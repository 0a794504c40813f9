"""A reconstruction's results told: PSNR and SSIM next to baselines, the bound in its terms, what a report needs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor, nn

from glassnet import figures
from glassnet.analysis.views import OF_THE_INPUT, EvaluationView, Views
from glassnet.data import Split
from glassnet.data.batches import corrupt
from glassnet.denoising.baselines import BaselineQuality
from glassnet.display import drawable
from glassnet.errors import InputError
from glassnet.experiment import corruption_of
from glassnet.formats import DASH, count, decimal
from glassnet.images import to_float
from glassnet.loggers.pictures import SIDE_PIXELS, Picture, stacked
from glassnet.measures import MEASURES, interval, show
from glassnet.models.inference import outputs
from glassnet.models.layers import select_layers
from glassnet.rng import PerImageRNG
from glassnet.run.store import FigureWords, Plot
from glassnet.settings import ResolvedSettings
from glassnet.subject import Subject
from glassnet.tables import Table, make_table
from glassnet.tasks.reconstruction.explain import ERROR, EXPLAIN, given
from glassnet.tasks.reconstruction.importance import measure_likelihood
from glassnet.tasks.reconstruction.learn import TASK, mean_interval, quality
from glassnet.tasks.reconstruction.pictures import compared, plots
from glassnet.tasks.reconstruction.result import Baseline, Importance, Reconstruction

ORDER = ("psnr", "ssim", "mse")
"""Measures of an image, in the order of tables."""
FEW_CODES = 10
"""Codes that count, below which importance sampling has not settled."""
NETWORK = "this network"
"""What tables call the network next to baselines."""


def _complete(view: EvaluationView, result: Reconstruction) -> Reconstruction:
    """Add the noise and the baselines."""
    comparison, settings = compared(view), view.subject.settings
    own = result.values["psnr"]
    return dataclasses.replace(
        result,
        noise="none" if settings is None else settings.noise,
        baselines=tuple(_baseline(one, own) for one in comparison.measured),
        left_out=tuple(comparison.left_out),
        values={
            **result.values,
            **{f"{one.name}/{key}": each for one in comparison.measured for key, each in one.quality.items()},
        },
    )


def _baseline(one: BaselineQuality, own: np.ndarray) -> Baseline:
    """Summarise a baseline, and by how much the network's PSNR lies above its own on the images that it has."""
    images = len(one.quality["psnr"])
    differences = own[:images].astype(np.float64) - one.quality["psnr"]
    return Baseline(
        name=one.name,
        title=one.title,
        images=images,
        margin=float(differences.mean()),
        margin_interval=mean_interval(differences),
        **quality(one.quality),
    )


def _predictions(view: EvaluationView, result: Reconstruction) -> tuple[Sequence[str], list[Sequence[str]]]:
    rows: list[Sequence[str]] = [
        (view.label_of(row), *(f"{result.values[key][row]:.6g}" for key in ORDER), view.part)
        for row in range(result.images)
    ]
    return ("file" if view.split.files is not None else "image", *ORDER, "split"), rows


def _text(result: Reconstruction) -> str:
    line = TASK.summary_line({f"test_{key}": getattr(result, key) for key in TASK.saved_metrics})
    code, deviation = result.latent, _deviation(result)
    more = [] if code is None else [f"{count(code.active)} of {count(code.dimensions)} latent dimensions are active."]
    more += [f"The likelihood's standard deviation, per channel, is {deviation}."] if deviation else []
    if result.importance is not None:
        told = f"{MEASURES['nll'].title} {_with_error(result.importance)}"
        more.append(f"{told} ({result.likelihood}). {_how(result.importance)}")
    table = _quality(result, note="").text()
    return "\n".join([f"noise {result.noise}: {line.removeprefix('test ')}", "", table, "", *more, *_remarks(result)])


def _deviation(result: Reconstruction) -> str:
    return ", ".join(decimal(value, 4) for value in result.likelihood_deviation or ())


def _remarks(result: Reconstruction) -> list[str]:
    return [*result.warnings, *result.left_out]


def _quality(result: Reconstruction, *, note: str) -> Table:
    rows = [(NETWORK, *_cells(result)), *((one.title, *_cells(one)) for one in result.baselines)]
    columns = ["", "Images"]
    for key in ORDER:
        columns += [MEASURES[key].title, "95% interval"]
    return make_table(
        "Mean image quality, compared with baselines that use no network", columns, rows, words=(0,), note=note
    )


def _cells(measured: Reconstruction | Baseline) -> tuple[str, ...]:
    cells = [count(measured.images)]
    for key in ORDER:
        cells += [show(key, getattr(measured, key)), interval(key, getattr(measured, f"{key}_interval"))]
    return tuple(cells)


def _tables(result: Reconstruction) -> list[Table]:
    return [_quality(result, note=" ".join(_remarks(result))), *_bound(result)]


def _bound(result: Reconstruction) -> list[Table]:
    """Lay out the bound's two terms and the code; nothing where there is no finite bound."""
    code, deviation = result.latent, _deviation(result)
    if result.negative_elbo is None or code is None:
        return []
    keys = ("reconstruction", "kl", "negative_elbo")
    rows = [(MEASURES[key].title, show(key, getattr(result, key)), MEASURES[key].meaning) for key in keys]
    if result.importance is not None:
        one = result.importance
        rows.append((MEASURES["nll"].title, _with_error(one), _how(one)))
    if result.bits_per_dimension is not None:
        meaning = f"Discretised Gaussian likelihood, over {count(result.values_per_image)} values per image."
        key = "bits_per_dimension"
        rows.append((MEASURES[key].title, show(key, result.bits_per_dimension), meaning))
    if deviation:
        rows.append(
            ("Deviation of the likelihood", deviation, "Standard deviation of a pixel, per channel, as learned.")
        )
    active = f"{count(code.active)} of {count(code.dimensions)}"
    rows.append(("Active latent dimensions", active, "Dimensions whose mean depends on the image."))
    rows.append(("Largest deviation of a code", decimal(code.largest_deviation, 2), "The prior’s is 1."))
    caption = f"The evidence lower bound and its two terms; likelihood: {result.likelihood}"
    return [make_table(caption, ("Term", "Value", "Meaning"), rows, words=(0, 2))]


def _with_error(one: Importance) -> str:
    error = "" if one.nll_error is None else f" ± {show('nll', one.nll_error)}"
    return f"{show('nll', one.nll)}{error}"


def _how(one: Importance) -> str:
    few = one.effective is not None and one.effective < FEW_CODES
    return (
        f"Nats per image (mean ± standard error), by importance sampling with {count(one.samples)} codes for each of "
        f"{count(one.images)} images (Burda et al. 2016). The bound on the same images is "
        f"{show('negative_elbo', one.negative_elbo)}. In the median image, {decimal(one.effective, 1)} of the codes "
        f"count{(': more codes would lower the figure' if few else '')}."
    )


def _wanted(subject: Subject) -> list[tuple[str, dict[str, Any]]]:
    """What a report needs: the evaluation, the codes embedded, and the error of a few images explained."""
    model = subject.model()
    wanted: list[tuple[str, dict[str, Any]]] = [("evaluation", {})]  # which needs no labels
    if "mean" in dict(model.named_modules()):
        wanted += [("embedding", {"layer": "mean", "method": method, "dims": 2}) for method in ("tsne", "pca")]
    asked: dict[str, Any] = {"target": ERROR, "images": "first:4"}
    try:
        select_layers(model, "conv")
    except InputError:
        asked |= OF_THE_INPUT
    return [*wanted, ("attribution", asked)]


def _headlines(metrics: Mapping[str, Any]) -> tuple[tuple[str, str, str], ...]:
    lines = [
        (f"Test {MEASURES[key].title}", show(key, metrics.get(f"test_{key}")), f"95% interval {bounds}")
        for key in ("psnr", "ssim")
        for bounds in [interval(key, metrics.get(f"test_{key}_interval"))]
    ]
    elbo = show("negative_elbo", metrics.get("test_negative_elbo"))
    if elbo != DASH:
        kl, likelihood = show("kl", metrics.get("test_kl")), metrics.get("test_likelihood")
        note = f"nats per image, {kl} of them KL" + (f"; {likelihood}" if likelihood else "")
        lines.append((MEASURES["negative_elbo"].title, elbo, note))
    return tuple(lines)


def _epoch_note(metrics: Mapping[str, Any]) -> str:
    return f"validation PSNR {show('psnr', metrics.get('validation_psnr'))}"


def _summary(result: Reconstruction) -> list[str]:
    noise = "" if result.noise == "none" else f" from noisy inputs ({result.noise})"
    sentences = [f"It reconstructs {count(result.images)} images{noise} with a PSNR of {show('psnr', result.psnr)}."]
    others = [one for one in result.baselines if one.margin is not None]
    if others:
        best = min(others, key=lambda one: one.margin or 0.0)
        margin = best.margin or 0.0
        sentences.append(
            f"The best baseline without a network is {best.title}. On the same {count(best.images)} images, the "
            f"network is {show('psnr', abs(margin))} {('above' if margin > 0 else 'below')} it (95% interval of the "
            f"difference: {interval('margin', best.margin_interval)})."
        )
    return sentences + list(result.warnings)


def _curves(history: Sequence[Mapping[str, Any]], best: int) -> Any:
    return figures.reconstruction_curves(history, best_epoch=best)


def _network(model: Mapping[str, Any]) -> Iterable[Plot]:
    parts = {str(layer["name"]).partition(".")[0] for layer in model["layers"]}
    if not {"mean", "decoder"} <= parts:  # a user's own network, whose code nothing names
        return
    yield Plot(
        figures.autoencoder_diagram(model["layers"], f"{model['name']}: encoder, code, decoder"),
        FigureWords(
            name="diagram",
            title="Encoder, code, decoder",
            alt="The weight layers from the image to the code and back, each with its sizes.",
            caption="Batch norms and activations are left out; the layer table lists them.",
            lead="The narrowest point is the code: everything known about an image passes through it.",
        ),
    )


def _epoch_pictures(split: Split, rows: Tensor, settings: ResolvedSettings) -> Callable[[nn.Module], Picture]:
    """Draw images with the noise that the model is validated with, what it makes of them, and the originals."""
    images = to_float(split.take(rows)[0])
    noise = PerImageRNG(settings.seed, "validation")
    given, original = corrupt(images, split.numbers[rows].tolist(), corruption=corruption_of(settings), rng=noise)
    return lambda model: _restored_strip(model, given, original)


def _restored_strip(model: nn.Module, given: Tensor, original: Tensor) -> Picture:
    (output,) = outputs(model, [given])
    restored = output if isinstance(output, Tensor) else output.images
    rows = (given, restored.float().cpu().clamp(0, 1), original)
    return stacked(*([figures.thumbnail(one, SIDE_PIXELS) for one in drawable(images)] for images in rows))


VIEWS = Views(
    complete=_complete,
    likelihood=measure_likelihood,
    reads_training=True,  # the baselines are fitted to them
    plots=plots,
    predictions=_predictions,
    text=_text,
    tables=_tables,
    explain=EXPLAIN,
    wanted=_wanted,
    headlines=_headlines,
    epoch_note=_epoch_note,
    summary=_summary,
    comparison=(
        ("Test PSNR", lambda metrics: show("psnr", metrics.get("test_psnr"))),
        ("95% interval", lambda metrics: interval("psnr", metrics.get("test_psnr_interval"))),
        ("Test SSIM", lambda metrics: show("ssim", metrics.get("test_ssim"))),
        ("Negative ELBO", lambda metrics: show("negative_elbo", metrics.get("test_negative_elbo"))),
        ("Its likelihood", lambda metrics: str(metrics.get("test_likelihood") or DASH)),
    ),
    curves=_curves,
    epoch_pictures=_epoch_pictures,
    network=_network,
    given=given,
    history=(
        ("train_loss", "Training loss", MEASURES["loss"].show),
        ("validation_loss", "Validation loss", MEASURES["loss"].show),
        ("train_kl", "Training KL", MEASURES["kl"].show),
        ("validation_reconstruction", "Validation reconstruction", MEASURES["reconstruction"].show),
        ("validation_kl", "Validation KL", MEASURES["kl"].show),
        ("validation_psnr", "Validation PSNR", MEASURES["psnr"].show),
        ("validation_ssim", "Validation SSIM", MEASURES["ssim"].show),
    ),
)
