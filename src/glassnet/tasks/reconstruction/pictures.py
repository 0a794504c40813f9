"""The pictures of a reconstruction: its rows with the denoisers', samples, traversals, interpolation, the code."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Generator, Tensor

from glassnet import figures
from glassnet.analysis.views import EvaluationView
from glassnet.console import say
from glassnet.data.split import balanced_draw
from glassnet.denoising import DENOISERS
from glassnet.denoising.baselines import BaselineQuality, measure_baselines, noisy_and_clean
from glassnet.images import first_weight, to_float
from glassnet.measures import show
from glassnet.models.autoencoder import Autoencoder
from glassnet.run.store import FigureWords, Plot
from glassnet.tasks.base import Records
from glassnet.tasks.reconstruction.image_quality import psnr
from glassnet.tasks.reconstruction.learn import Output, output_images
from glassnet.tasks.reconstruction.result import Reconstruction
from glassnet.turns import evaluating

PICTURED, SAMPLED, TRAVERSED, STEPS = 10, 20, 6, 7
"""Images in a row of the main figure, samples from the prior, dimensions traversed, and steps of each."""
SEED = 0
REACH = 3.0
"""Standard deviations on either side that a traversal covers."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """The baselines of an evaluation, with a few of their images.

    Attributes:
        measured: The baselines, without their images.
        left_out: A sentence on each that is not measured.
        places: The images that are pictured: drawn by seed from those that each denoiser has.
        pictures: The denoisers' images at these places, by title.
    """

    measured: list[BaselineQuality]
    left_out: list[str]
    places: Tensor
    pictures: dict[str, Tensor]


def compared(evaluated: EvaluationView) -> Comparison:
    """Measure the baselines, once for an evaluation."""
    return evaluated.once("baselines", lambda: _compared(evaluated))


def _compared(evaluated: EvaluationView) -> Comparison:
    run, targets = evaluated.subject.run, evaluated.split.targets
    if run is None or evaluated.dataset is None:
        reason = "Baselines are left out: they need training images, which only a run has."
        return Comparison([], [reason], balanced_draw(targets, PICTURED, seed=SEED), {})
    say("measuring baselines without a network on the same images")
    measured, left_out = measure_baselines(run, evaluated.model, evaluated.dataset, evaluated.part)
    denoisers = [one for one in measured if one.name in DENOISERS and one.name != "noisy"]
    fewest = min((len(one.images) for one in denoisers), default=len(targets))
    places = balanced_draw(targets[:fewest], PICTURED, seed=SEED)
    pictures = {one.title: one.images[places] for one in denoisers}
    return Comparison([dataclasses.replace(one, images=one.images[:0]) for one in measured], left_out, places, pictures)


def plots(evaluated: EvaluationView, result: Reconstruction) -> list[Plot]:
    """Draw what there is to see of an evaluated reconstruction."""
    comparison = compared(evaluated)
    noisy, clean = _given(evaluated, comparison.places)
    weight = first_weight(evaluated.model)
    with torch.no_grad(), evaluating(evaluated.model):  # which a generator would leave on for its caller
        output = evaluated.model(noisy.to(weight.device, weight.dtype))
        images = output_images(output).float().cpu()
        drawn = [_rows(evaluated, result, comparison.pictures, (noisy, images, clean))]
        return drawn if isinstance(output, Tensor) else [*drawn, *_of_code(evaluated, result, output)]


def _of_code(evaluated: EvaluationView, result: Reconstruction, output: Output) -> Iterator[Plot]:
    """Draw what there is to see of a code: the way from one to another, and of a distribution what its parts do."""
    model = cast(Autoencoder, evaluated.model)
    yield from _interpolation(model, output.mean)
    if output.log_variance is not None:
        yield _traversals(evaluated, result, model, output.mean[:1])
        yield _prior(model, output.mean.device)
        yield from _use(result)


def _given(evaluated: EvaluationView, places: Tensor) -> tuple[Tensor, Tensor]:
    """Return some images as the model is given them, and their originals."""
    if evaluated.subject.run is None or evaluated.dataset is None:
        images = to_float(evaluated.split.take(places)[0])
        return images, images
    return noisy_and_clean(evaluated.subject.run, evaluated.dataset, evaluated.part, places)


def _rows(
    evaluated: EvaluationView, result: Reconstruction, others: dict[str, Tensor], own: tuple[Tensor, Tensor, Tensor]
) -> Plot:
    noisy, images, clean = own
    name, noise = evaluated.subject.model_name, result.noise
    first, second = ("input", "reconstructed") if noise == "none" else ("noisy", "network")
    named = {title.replace(" (", "\n("): row for title, row in others.items()}
    compared_rows = {second: images, **named} | ({} if noise == "none" else {first: noisy})
    captions = {row: [f"{value:.1f} dB" for value in psnr(each, clean)] for row, each in compared_rows.items()}
    rows = {first: noisy, second: images, **named, "original": clean}
    strengths = " The denoisers need no training; their strengths, in brackets, were chosen on training images."
    return Plot(
        figures.image_rows(
            {row: each.numpy() for row, each in rows.items()},
            captions=captions,
            title=f"{name}: mean PSNR {show('psnr', result.psnr)} on {result.images:,} images",
            note=f"Noise: {noise}. {len(clean)} images drawn at random, not hand-picked; the number below each is its "
            "PSNR to the original.",
        ),
        FigureWords(
            name="reconstructions",
            title="Input, reconstruction, original",
            alt=f"{len(rows)} rows of {len(clean)} images: {', '.join(row.replace(chr(10), ' ') for row in rows)}.",
            caption="The images are drawn at random in the same class proportions. A higher PSNR means a smaller "
            f"error.{(strengths if others else '')}",
            lead="Compare each reconstruction with its original: what is blurred or missing was not in the code."
            if noise == "none"
            else "Compare the network's output with the original, and with what classical denoisers make of the same "
            "noise.",
        ),
    )


def _decoded(model: Autoencoder, codes: Tensor) -> np.ndarray:
    return model.decode(codes).float().sigmoid().cpu().numpy()


def _prior(model: Autoencoder, device: torch.device) -> Plot:
    codes = torch.randn((SAMPLED, *model.latent_shape), generator=Generator().manual_seed(SEED)).to(device)
    images, half = _decoded(model, codes), SAMPLED // 2
    return Plot(
        figures.image_rows(
            {f"1 to {half}": images[:half], f"{half + 1} to {SAMPLED}": images[half:]},
            title="Samples from the prior",
            note="Codes drawn from N(0, 1) and decoded: what the network considers likely images.",
        ),
        FigureWords(
            name="prior-samples",
            title="Samples from the prior",
            alt=f"{SAMPLED} images decoded from random codes.",
            caption="No input image was used. If the KL term has little weight (beta below 1), the codes of real "
            "images lie far from the prior, and samples need not look like images.",
            lead="These images were generated from random codes alone.",
        ),
    )


def _traversals(evaluated: EvaluationView, result: Reconstruction, model: Autoencoder, code: Tensor) -> Plot:
    assert result.latent is not None
    kl = np.array(result.latent.kl_per_dimension, dtype=np.float64)  # NaN where it was infinite
    steps = torch.linspace(-REACH, REACH, STEPS)
    centre, deviation = code_spread(evaluated.records)
    rows = {}
    for dimension in np.argsort(-kl, kind="stable")[:TRAVERSED].tolist():
        codes = code.flatten(1).repeat(STEPS, 1)
        codes[:, dimension] = (centre[dimension] + deviation[dimension] * steps).to(codes)
        nats = f"{kl[dimension]:.1f} nats" if np.isfinite(kl[dimension]) else "KL not finite"
        place = _place(dimension, model.latent_shape)
        rows[f"{place}\n{nats}"] = _decoded(model, codes.view(STEPS, *model.latent_shape))
    return Plot(
        figures.image_rows(
            rows,
            columns=[f"{value:+.0f} s" if value else "centre" for value in steps.tolist()],
            title="Latent traversals",
            note="One latent dimension of the first image moves up to 3 standard deviations s to either side of a "
            "centre; the others stay fixed.",
        ),
        FigureWords(
            name="traversals",
            title="Latent traversals",
            alt=f"{len(rows)} rows of {STEPS} images: in each, one dimension of the code changes step by step.",
            caption="The dimensions with the largest KL, which carry most of an image. Centre and standard deviation "
            "s are those of the code over the images if that is wider than the prior, else 0 and 1.",
            lead="Each row shows what one latent dimension controls.",
        ),
    )


def code_spread(records: Records) -> tuple[Tensor, Tensor]:
    """Return centre and deviation to move each dimension by: the prior's 0 and 1, or the images' where these are wider.

    With little weight on the KL term, codes lie far outside of the prior, and its deviation would move hardly anything.
    """
    images = float(records["code_images"].sum())
    mean = records["code_sum"].sum(dim=0) / images
    deviation = (records["code_squares"].sum(dim=0) / images - mean.square()).clamp(min=0).sqrt()
    wider = deviation > 1
    return torch.where(wider, mean, 0.0), torch.where(wider, deviation, 1.0)


def _place(dimension: int, shape: tuple[int, ...]) -> str:
    if len(shape) == 1:
        return f"z{dimension}"
    channel, row, column = np.unravel_index(dimension, shape)
    return f"z{channel} at {row},{column}"


def _interpolation(model: Autoencoder, codes: Tensor) -> Iterator[Plot]:
    rows = {}
    for pair in range(min(3, len(codes) // 2)):
        start, end = codes[2 * pair], codes[2 * pair + 1]
        steps = torch.linspace(0, 1, STEPS + 2, device=codes.device).view(-1, *[1] * start.ndim)
        rows[f"pair {pair + 1}"] = _decoded(model, start + steps * (end - start))
    if not rows:
        return
    yield Plot(
        figures.image_rows(
            rows,
            columns=[f"{share:.0%}" for share in torch.linspace(0, 1, STEPS + 2).tolist()],
            title="Interpolation between two images",
            note="Codes on the straight line from one image's code to another's, decoded.",
        ),
        FigureWords(
            name="interpolation",
            title="Interpolation between two images",
            alt=f"{len(rows)} rows of images that change step by step from one image to another.",
            caption="If the code has learned the shape of the data, the images in between look real, not like double "
            "exposures.",
            lead="From left to right, one image turns into another.",
        ),
    )


def _use(result: Reconstruction) -> Iterator[Plot]:
    code = result.latent
    if code is None or None in code.kl_per_dimension:  # infinite: the variance exploded, which is said in words
        return
    kl = np.array(code.kl_per_dimension, dtype=np.float64)
    active = np.zeros(len(kl), dtype=bool)
    active[list(code.active_dimensions)] = True
    yield Plot(
        figures.latent_kl(kl, active),
        FigureWords(
            name="latent-kl",
            title="What each latent dimension carries",
            alt=f"One bar per latent dimension shows its KL; {code.active} of {code.dimensions} are active.",
            caption="A dimension is active if its mean varies by more than 0.01 over the images (Burda et al. 2016).",
            lead="The highest bars carry most of an image; a bar at zero carries nothing.",
        ),
    )
