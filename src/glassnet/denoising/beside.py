"""What needs no network, measured on the very images that a run's network was given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
import torch
from torch import Tensor, nn

from glassnet.data import Dataset
from glassnet.data.batches import corrupt
from glassnet.denoising.baselines import Baseline, denoised, projected
from glassnet.denoising.principal import MOST_IMAGES
from glassnet.experiment import Run, corruption_of
from glassnet.images import to_float
from glassnet.models.autoencoder import Autoencoder
from glassnet.rng import PerImageRNG
from glassnet.tasks.reconstruction.image_quality import QUALITY
from glassnet.tasks.reconstruction.learn import quality

TUNED_ON = 500
"""Training images that the deviation of the noise is measured on; the first of them also choose strengths."""


@dataclass(frozen=True)
class Beside:
    """A baseline's measures of each image.

    Attributes:
        name: A key of DENOISERS, or "pca".
        title: As tables name it.
        quality: Arrays by the keys of QUALITY; of the first images only for a slow baseline.
    """

    name: str
    title: str
    quality: Mapping[str, np.ndarray]

    def to_json(self) -> dict[str, Any]:
        """Return the number of images, means and intervals as JSON values."""
        return {"name": self.name, "title": self.title, "images": len(self.quality["psnr"]), **quality(self.quality)}


def given(
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
) -> tuple[list[Beside], list[str]]:
    """Measure every classical denoiser, and PCA with as many components as the model's code has numbers.

    Returns:
        The baselines, and a sentence on each that is left out.
    """
    found, left_out = measure_denoisers(run, dataset, split)
    numbers = int(np.prod(cast(Autoencoder, model).latent_shape))
    return [*found, measure_principal(run, dataset, split, components=numbers)], left_out


def measure_denoisers(run: Run, dataset: Dataset, split: Literal["train", "test"]) -> tuple[list[Beside], list[str]]:
    """Measure every classical denoiser that is installed, or none without noise, where there is nothing to denoise.

    Returns:
        The denoisers, and a sentence on each that is left out.
    """
    noisy, clean = given(run, dataset, split)
    if torch.equal(noisy, clean):
        return [], ["The input has no noise, so that no denoiser is measured."]
    found, left_out = denoised(noisy, given(run, dataset, "train", torch.arange(min(TUNED_ON, len(dataset.train)))))
    return [_measured(one, clean) for one in found], left_out


def measure_principal(run: Run, dataset: Dataset, split: Literal["train", "test"], *, components: int) -> Beside:
    """Measure PCA with so many components, found from clean training images."""
    noisy, clean = given(run, dataset, split)
    many = to_float(dataset.train.take(torch.arange(min(MOST_IMAGES, len(dataset.train))))[0])
    return _measured(projected(noisy, many, components), clean)


def _measured(baseline: Baseline, clean: Tensor) -> Beside:
    originals = clean[: len(baseline.images)]
    each = {name: measure(baseline.images, originals).numpy() for name, measure in QUALITY.items()}
    return Beside(baseline.name, baseline.title, each)
