"""The pictures of a reconstruction: its three rows, samples from the prior, traversals, interpolation, the code."""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from torch import Generator, Tensor

from glassnet import figures
from glassnet.commands.evaluated import Evaluated
from glassnet.data.sampling import balanced_draw
from glassnet.denoising.baselines import noisy_and_clean
from glassnet.models.autoencoder import Autoencoder
from glassnet.tasks.base import Records
from glassnet.tasks.reconstruction.image_quality import psnr

SHOWN, SAMPLED, TRAVERSED, STEPS = 10, 20, 6, 7
"""Images in a row of the main figure, samples from the prior, dimensions traversed, and steps of each."""
SEED = 0
REACH = 3.0
"""Standard deviations on either side that a traversal covers."""


def draw_pictures(found: Evaluated) -> None:
    """Draw what there is to see of an evaluated reconstruction into its run."""
    chosen = balanced_draw(found.split.targets, SHOWN, seed=SEED)
    noisy, clean = noisy_and_clean(found.run, found.dataset, found.split_name, chosen)
    model = cast(Autoencoder, found.model)
    device = next(model.parameters()).device
    with torch.no_grad():
        output = model(noisy.to(device))
        images, codes = output.images.cpu(), output.mean
        _rows(found, noisy, images, clean)
        if output.log_variance is not None:
            _prior(found, model, device)
            _traversals(found, model, codes[:1])
            _use(found)
        _interpolation(found, model, codes)


def _rows(found: Evaluated, noisy: Tensor, images: Tensor, clean: Tensor) -> None:
    noise = found.run.settings.noise
    name = found.run.manifest["model"]["name"]
    first = "input" if noise == "none" else "noisy"
    each = {"reconstructed": psnr(images, clean), first: psnr(noisy, clean)}
    captions = {row: [f"{value:.1f} dB" for value in values] for row, values in each.items()}
    if noise == "none":
        captions.pop(first)
    told = "none" if noise == "none" else noise
    found.run.save_figure(
        f"reconstructions{found.suffix}",
        figures.image_rows(
            {first: noisy.numpy(), "reconstructed": images.numpy(), "original": clean.numpy()},
            captions=captions,
            title=f"{name}: mean PSNR {found.result['psnr']:.2f} dB on {found.result['images']:,} images",
            note=f"Noise: {told}. {len(clean)} images drawn by seed, none picked; below each its PSNR to the original.",
        ),
        title="Input, reconstruction, original",
        alt=f"Three rows of {len(clean)} images: what {name} was given, what it gave back, and the originals.",
        caption="The selection is drawn by a fixed seed, classes in their shares. A higher PSNR is a smaller error.",
    )


def _prior(found: Evaluated, model: Autoencoder, device: torch.device) -> None:
    codes = torch.randn((SAMPLED, *model.latent_shape), generator=Generator().manual_seed(SEED)).to(device)
    images = model.decode(codes).float().sigmoid().cpu().numpy()
    half = SAMPLED // 2
    found.run.save_figure(
        f"prior-samples{found.suffix}",
        figures.image_rows(
            {f"1 to {half}": images[:half], f"{half + 1} to {SAMPLED}": images[half:]},
            title="Samples from the prior",
            note="Codes drawn from N(0, 1) and decoded: what the network takes for likely images.",
        ),
        title="Samples from the prior",
        alt=f"{SAMPLED} images decoded from random codes.",
        caption="No image was given. Where the KL term has little weight (beta below 1), codes of real images lie far "
        "from the prior's, and samples need not look like images.",
    )


def _traversals(found: Evaluated, model: Autoencoder, code: Tensor) -> None:
    kl = np.array(found.result["latent"]["kl_per_dimension"], dtype=np.float64)  # NaN where it was infinite
    steps = torch.linspace(-REACH, REACH, STEPS)
    centre, deviation = code_spread(found.records)
    rows = {}
    for dimension in np.argsort(-kl, kind="stable")[:TRAVERSED].tolist():
        codes = code.flatten(1).repeat(STEPS, 1)
        values = centre[dimension] + deviation[dimension] * steps
        codes[:, dimension] = values.to(codes)
        images = model.decode(codes.view(STEPS, *model.latent_shape)).float().sigmoid().cpu().numpy()
        told = f"{kl[dimension]:.1f} nats" if np.isfinite(kl[dimension]) else "KL not finite"
        rows[f"{_place(dimension, model.latent_shape)}\n{told}"] = images
    found.run.save_figure(
        f"traversals{found.suffix}",
        figures.image_rows(
            rows,
            columns=[f"{value:+.0f} s" if value else "centre" for value in steps.tolist()],
            title="Latent traversals",
            note="One number of the first image's code goes 3 deviations s to either side of a centre, the rest stay.",
        ),
        title="Latent traversals",
        alt=f"{len(rows)} rows of {STEPS} images: in each, one dimension of the code is changed step by step.",
        caption="The dimensions of the largest KL, the ones that tell most of an image. Centre "
        "and deviation s are the code's own over the images where it spreads wider than the prior, else 0 and 1.",
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


def _interpolation(found: Evaluated, model: Autoencoder, codes: Tensor) -> None:
    rows = {}
    for pair in range(min(3, len(codes) // 2)):
        start, end = codes[2 * pair], codes[2 * pair + 1]
        steps = torch.linspace(0, 1, STEPS + 2, device=codes.device).view(-1, *[1] * start.ndim)
        images = model.decode(start + steps * (end - start)).float().sigmoid().cpu().numpy()
        rows[f"pair {pair + 1}"] = images
    if not rows:
        return
    found.run.save_figure(
        f"interpolation{found.suffix}",
        figures.image_rows(
            rows,
            columns=[f"{share:.0%}" for share in torch.linspace(0, 1, STEPS + 2).tolist()],
            title="Interpolation between two images",
            note="Codes on the straight line from one image's code to another's, decoded.",
        ),
        title="Interpolation between two images",
        alt=f"{len(rows)} rows of images that change step by step from one image to another.",
        caption="Where the code has learned the shape of the data, the images between are images too, and no double "
        "exposures.",
    )


def _use(found: Evaluated) -> None:
    code = found.result["latent"]
    if None in code["kl_per_dimension"]:  # infinite: the variance exploded, which is said in words
        return
    kl = np.array(code["kl_per_dimension"])
    active = np.zeros(len(kl), dtype=bool)
    active[code["active_dimensions"]] = True
    found.run.save_figure(
        f"latent-kl{found.suffix}",
        figures.latent_kl(kl, active),
        title="What each latent dimension tells",
        alt=f"Bars of the KL of the latent dimensions; {code['active']} of {code['dimensions']} are active.",
        caption="A dimension is active where its mean varies over the images by more than 0.01 (Burda et al. 2016).",
    )
