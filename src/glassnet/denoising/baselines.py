"""The baselines of a reconstruction: what needs no network, on the very images that a run's network was given."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from sklearn.decomposition import PCA
from torch import Tensor, nn

from glassnet.console import progress
from glassnet.data import Dataset
from glassnet.data.batches import corrupt
from glassnet.denoising import DENOISERS, Denoiser
from glassnet.errors import InputError
from glassnet.experiment import Run, corruption_of
from glassnet.images import to_float
from glassnet.models.autoencoder import Autoencoder
from glassnet.rng import PerImageRNG
from glassnet.tasks.reconstruction.image_quality import QUALITY, psnr
from glassnet.tasks.reconstruction.learn import quality

Images = Float[Tensor, "n channel height width"]

TUNING_IMAGES = 50
"""Training images that a denoiser's strength is chosen on."""
TUNED_ON = 500
"""Training images that the deviation of the noise is measured on; the first of them also choose strengths."""
MOST_IMAGES = 10_000
"""Training images that the components are found from, the first ones: the covariance settles long before."""


@dataclass(frozen=True)
class Baseline:
    """One baseline's images.

    Attributes:
        name: A key of DENOISERS, or "pca".
        title: As tables name it, with the strength that was chosen.
        images: Of the first test images; fewer than all for a slow one.
    """

    name: str
    title: str
    images: Images


@dataclass(frozen=True, eq=False)
class BaselineQuality:
    """A baseline's measures of each image.

    Attributes:
        name: A key of DENOISERS, or "pca".
        title: As tables name it.
        quality: Arrays by the keys of QUALITY; of the first images only for a slow baseline.
        images: The images that were measured.
    """

    name: str
    title: str
    quality: Mapping[str, np.ndarray]
    images: Images

    def to_json(self) -> dict[str, Any]:
        """Return the number of images, means and intervals as JSON values."""
        return {"name": self.name, "title": self.title, "images": len(self.quality["psnr"]), **quality(self.quality)}


def noise_deviation(noisy: Images, clean: Images) -> float:
    """Root mean squared difference that the noise makes, after clipping: the noise level that a denoiser is given."""
    return float((noisy - clean).square().mean().sqrt())


def denoise_all(noisy: Images, tuning: tuple[Tensor, Tensor]) -> tuple[list[Baseline], list[str]]:
    """Denoise test images by every classical denoiser that is installed.

    Args:
        noisy: Test images.
        tuning: Noisy and clean training images, to choose strengths and measure the noise on.

    Returns:
        The baselines, and a sentence for each that is left out.
    """
    baselines: list[Baseline] = []
    left_out: list[str] = []
    pair = tuning[0][:TUNING_IMAGES], tuning[1][:TUNING_IMAGES]
    deviation = noise_deviation(*tuning)
    for name, one in DENOISERS.items():
        if not one.available():
            left_out.append(f"{one.title} is left out because it is not installed: {one.needs}.")
            continue
        some = noisy[: one.limit]
        with progress(f"{one.title} on {len(some):,} images", None):
            strength = _strength(one, *pair, deviation) if len(one.strengths) > 1 else one.strengths[0]
            images = _run(one, some, deviation, strength)
        chosen = f" ({strength:g})" if len(one.strengths) > 1 else ""
        baselines.append(Baseline(name, f"{one.title}{chosen}", images))
    return baselines, left_out


def principal_components(rows: Float[Tensor, "n d"], count: int) -> PCA:
    """Fit `count` principal components to clean training images, or as many as there are images less one.

    Pearson 1901, https://doi.org/10.1080/14786440109462720; the optimal linear autoencoder by Baldi and Hornik 1989,
    https://doi.org/10.1016/0893-6080(89)90014-2.

    Raises:
        InputError: There are fewer than two images, or `count` is below 1 or above the values of an image.
    """
    training = rows[:MOST_IMAGES].float()
    n, d = training.shape
    if n < 2 or not 1 <= count <= d:
        raise InputError(
            f"got {n} images of {d} values and {count} components, expected at least 2 images and 1 to {d} components."
        )
    with np.errstate(invalid="ignore"):  # of images that are all the same, whose variance no share can be of
        return PCA(min(count, n - 1), svd_solver="full").fit(training.numpy())


def project(noisy: Images, training: Float[Tensor, "m channel height width"], components: int) -> Baseline:
    """Reconstruct noisy images from as many principal components of the clean training images as a code has numbers.

    mean + W Wᵀ (x - mean), W the components, clipped to [0, 1].
    """
    pca = principal_components(training.flatten(1), components)
    images = pca.inverse_transform(pca.transform(noisy.flatten(1).numpy())).clip(0, 1)
    return Baseline("pca", f"PCA, {pca.n_components_:,} components", torch.from_numpy(images).view_as(noisy))


def _strength(one: Denoiser, noisy: Images, clean: Images, deviation: float) -> float:
    """Choose the strength of the highest mean PSNR on training images."""
    few = min(len(noisy), one.limit // 10 if one.limit else len(noisy))
    mean_psnr = {s: float(psnr(_run(one, noisy[:few], deviation, s), clean[:few]).mean()) for s in one.strengths}
    return max(mean_psnr, key=mean_psnr.__getitem__)


def _run(one: Denoiser, noisy: Images, deviation: float, strength: float) -> Images:
    """Denoise the images in as many pieces as torch has threads, side by side where the denoiser allows it."""
    threads = torch.get_num_threads() if one.threads else 1
    pieces = noisy.chunk(threads)
    with ThreadPoolExecutor(threads) as pool:
        cleaned = pool.map(lambda piece: one.denoise(piece.numpy(), deviation, strength), pieces)
        return torch.from_numpy(np.concatenate(list(cleaned)))


def noisy_and_clean(
    run: Run, dataset: Dataset, split: Literal["train", "test"], places: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return images of a split as a run's network is given them, and as it should give them back.

    Args:
        run: Whose noise, seed and binarisation count.
        dataset: What the images are from.
        split: Its part.
        places: Which of the part's images; all of them if not given.
    """
    part = dataset.train if split == "train" else dataset.test
    chosen = torch.arange(len(part)) if places is None else places
    images = to_float(part.take(chosen)[0])
    rng = PerImageRNG(run.settings.seed, split)
    return corrupt(images, chosen.tolist(), corruption=corruption_of(run.settings), rng=rng)


def measure_baselines(
    run: Run, model: nn.Module, dataset: Dataset, split: Literal["train", "test"]
) -> tuple[list[BaselineQuality], list[str]]:
    """Measure every classical denoiser, and PCA with as many components as the model's code has numbers.

    Returns:
        The baselines, and a sentence on each that is left out.
    """
    denoisers, left_out = measure_denoisers(run, dataset, split)
    if not isinstance(model, Autoencoder):
        return denoisers, [*left_out, "PCA is left out: the network has no code to match in size."]
    numbers = int(np.prod(model.latent_shape))
    return [*denoisers, measure_principal(run, dataset, split, components=numbers)], left_out


def measure_denoisers(
    run: Run, dataset: Dataset, split: Literal["train", "test"]
) -> tuple[list[BaselineQuality], list[str]]:
    """Measure every classical denoiser that is installed, or none without noise, where there is nothing to denoise.

    Returns:
        The denoisers, and a sentence on each that is left out.
    """
    noisy, clean = noisy_and_clean(run, dataset, split)
    if torch.equal(noisy, clean):
        return [], ["The input has no noise, so no denoiser is measured."]
    noise = corruption_of(run.settings).noise
    if noise is not None and noise.least is not None:
        return [], [
            f"Each image has its own noise level ({run.settings.noise}), but a denoiser needs one level, so none is "
            "measured."
        ]
    tuning = noisy_and_clean(run, dataset, "train", torch.arange(min(TUNED_ON, len(dataset.train))))
    baselines, left_out = denoise_all(noisy, tuning)
    return [_quality_of(one, clean) for one in baselines], left_out


def measure_principal(
    run: Run, dataset: Dataset, split: Literal["train", "test"], *, components: int
) -> BaselineQuality:
    """Measure PCA with so many components, found from clean training images."""
    noisy, clean = noisy_and_clean(run, dataset, split)
    many = to_float(dataset.train.take(torch.arange(min(MOST_IMAGES, len(dataset.train))))[0])
    return _quality_of(project(noisy, many, components), clean)


def _quality_of(baseline: Baseline, clean: Tensor) -> BaselineQuality:
    originals = clean[: len(baseline.images)]
    each = {name: measure(baseline.images, originals).numpy() for name, measure in QUALITY.items()}
    return BaselineQuality(baseline.name, baseline.title, each, baseline.images)
