"""What the reconstruction part trains: the report's three networks on its three data sets, and the bound by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from glassnet.errors import InputError, unknown_name
from glassnet.experiment import Run
from glassnet.settings import TrainSettings
from glassnet.settings.train import ReproduceSettings
from glassnet.training import train_or_resume

SIMPLE, VAE, DEEP = "autoencoder_fc", "vae_conv", "vae_deep"
NETWORKS = (SIMPLE, VAE, DEEP)
"""The report's sections 4.1, 4.2 and 4.3, in its order from the worst to the best."""


@dataclass(frozen=True)
class Planned:
    """How one network is trained on one data set.

    Attributes:
        options: Of the model.
        epochs: Passes over the training images.
        learning_rate: Peak of the schedule.
        beta: Weight of the KL term.
    """

    options: tuple[str, ...]
    epochs: int
    learning_rate: float
    beta: float = 1.0


@dataclass(frozen=True)
class Denoising:
    """A data set with its noise, and how each network is trained on it.

    Attributes:
        data: Name of the data set.
        noise: As `glassnet train --noise` takes it.
        figures: The report's figure by network; networks that are not among them are ours to compare.
        networks: By name.
        image_size: In pixels; None for the data set's own.
    """

    data: str
    noise: str
    figures: dict[str, str]
    networks: dict[str, Planned]
    image_size: int | None = None

    @property
    def name(self) -> str:
        """The data set's name without a path, for names of files."""
        return self.data.partition(":")[0]


# Rates and betas were chosen by the PSNR of validation images of MNIST and CIFAR-10. The fully connected network has no
# batch-norm, and does worse on photographs at the others' rate. With the whole KL term the noise of the code costs
# sharpness: the bound itself is measured apart, see `bounds`.
_DIGITS = {
    SIMPLE: Planned(("latent=256",), 20, 0.012),
    VAE: Planned(("spatial=true", "latent=16"), 20, 0.012, beta=0.001),
    DEEP: Planned(("spatial=true", "latent=16"), 20, 0.012, beta=0.001),
}
_PHOTOGRAPHS = {
    SIMPLE: Planned(("latent=512", "likelihood=gaussian"), 8, 0.003),
    VAE: Planned(("spatial=true", "latent=32", "likelihood=gaussian"), 8, 0.012, beta=0.1),
    DEEP: Planned(("spatial=true", "latent=32", "likelihood=gaussian"), 8, 0.012, beta=0.1),
}
_DOGS = {name: replace(one, epochs=60) for name, one in _PHOTOGRAPHS.items()}

DENOISING: dict[str, Denoising] = {
    "mnist": Denoising("mnist", "gaussian:0.3", {SIMPLE: "7", VAE: "8"}, _DIGITS),
    "cifar10": Denoising("cifar10", "gaussian:0.1", {SIMPLE: "9", VAE: "10"}, _PHOTOGRAPHS),
    "stanford_dogs": Denoising("stanford_dogs", "gaussian:0.1", {DEEP: "11"}, _DOGS, image_size=64),
    "mnist-sample": Denoising("mnist-sample", "gaussian:0.3", {}, _DIGITS),
    "photos-sample": Denoising("photos-sample", "gaussian:0.1", {}, _PHOTOGRAPHS),
}
"""By data set; the two samples need no download, are for a try, and stand for no figure of the report."""
REPORTED = ("mnist", "cifar10", "stanford_dogs")
"""The report's data sets."""


@dataclass(frozen=True)
class Bound:
    """A VAE on clean images, for the bound by itself.

    Attributes:
        title: As the table names it.
        settings: Model, options and what else differs from the defaults of this part.
    """

    title: str
    settings: TrainSettings


def bounds(data: str) -> list[Bound]:
    """List the trainings whose bound is measured on a data set: 20 latent dimensions on digits, bits on photographs."""
    if data in ("mnist", "mnist-sample"):
        vector = TrainSettings(
            data=data,
            model=VAE,
            model_options=("latent=20", "hidden=512", "filters=32,64"),
            epochs=30,
            kl_warmup=0.1,
            learning_rate=0.012,
        )
        return [
            Bound("grey values as Bernoulli means", vector),
            Bound("dynamically binarised", replace(vector, binarize=True)),
        ]
    if data in ("cifar10", "photos-sample"):
        options = ("spatial=true", "latent=32", "likelihood=discretized_gaussian")
        return [
            Bound(
                "discretised Gaussian",
                TrainSettings(data=data, model=VAE, model_options=options, epochs=8, learning_rate=0.012),
            )
        ]
    return []


def chosen(settings: ReproduceSettings) -> list[Denoising]:
    """Return the data sets that are asked for, in the report's order.

    Raises:
        InputError: One is not planned for, or they are given twice.
    """
    if settings.datasets and settings.data != "mnist":
        raise InputError(f"--data is {settings.data} beside --datasets, which names the data sets here; leave one out.")
    names = settings.datasets or (REPORTED if settings.data == "mnist" else (settings.data,))
    for name in names:
        if name not in DENOISING:
            raise unknown_name("data set", name, DENOISING, where=" in this part", noun="data sets")
    return [DENOISING[name] for name in DENOISING if name in names]


def networks(settings: ReproduceSettings) -> Sequence[str]:
    """Return the networks that are asked for, in the report's order.

    Raises:
        InputError: One is none of the report's.
    """
    for name in settings.models:
        if name not in NETWORKS:
            raise unknown_name("network", name, NETWORKS, where=" in the report's section 4", noun="networks")
    return [name for name in NETWORKS if not settings.models or name in settings.models]


def training_settings(plan: Denoising, network: str) -> TrainSettings:
    """Return how a network is trained on a data set, without seed and place."""
    one = plan.networks[network]
    return TrainSettings(
        data=plan.data, model=network, model_options=one.options, noise=plan.noise, beta=one.beta, epochs=one.epochs,
        learning_rate=one.learning_rate, image_size=plan.image_size,
    )  # fmt: skip


def trained(base: TrainSettings, settings: ReproduceSettings, *, seed: int, path: Path) -> Run:
    """Train a run, go on with it, or open it where it is finished.

    Args:
        base: What is special to it.
        settings: Device, precision, data root, and epochs if they are to be others.
        seed: Of the run.
        path: Run directory.

    Raises:
        InputError: The directory holds a run of other settings.
    """
    wanted = replace(
        base, seed=seed, augment=False, device=settings.device, precision=settings.precision,
        data_root=settings.data_root, epochs=settings.epochs or base.epochs,
    )  # fmt: skip
    return train_or_resume(wanted, path)
