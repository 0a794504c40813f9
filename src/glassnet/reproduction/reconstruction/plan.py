"""What the reconstruction part trains: the report's three networks on its three data sets, and the bound by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from glassnet.errors import InputError, unknown_name
from glassnet.experiment import resolve
from glassnet.reproduction.budget import epochs_of, filled
from glassnet.reproduction.trainings import Training, folder_of
from glassnet.settings import TrainSettings
from glassnet.settings.train import ReproduceSettings

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
        raise InputError(f"--data is {settings.data}, but --datasets also names data sets; leave one of them out.")
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


def training_of(base: TrainSettings, settings: ReproduceSettings, *, seed: int, path: Path, figure: str) -> Training:
    """Return how a run is trained.

    Args:
        base: What is special to it.
        settings: Device, precision, data root, and how many epochs.
        seed: Of the run.
        path: Run directory.
        figure: Of the report, "" where it has none.
    """
    wanted = replace(
        base, seed=seed, augment=False, device=settings.device, precision=settings.precision,
        data_root=settings.data_root, epochs=epochs_of(settings, base.epochs or resolve(base).epochs),
    )  # fmt: skip
    return Training(resolve(wanted), path, (figure,) if figure else ())


def network_trainings(plan: Denoising, settings: ReproduceSettings, out: Path) -> dict[str, dict[int, Training]]:
    """Return the trainings on a data set by network and seed."""
    return {
        name: {
            seed: training_of(
                training_settings(plan, name), settings, seed=seed, figure=plan.figures.get(name, ""),
                path=folder_of(out) / f"{plan.name}-{name}-seed{seed}",
            )
            for seed in settings.seeds
        }
        for name in networks(settings)
    }  # fmt: skip


def bound_trainings(plan: Denoising, settings: ReproduceSettings, out: Path) -> list[tuple[Bound, Training]]:
    """Return the trainings of the bound on a data set, those of the networks that are asked for; the lowest seed."""
    seed = min(settings.seeds)
    return [
        (
            bound,
            training_of(
                bound.settings, settings, seed=seed, path=folder_of(out) / f"{plan.name}-bound{place}-seed{seed}",
                figure="",
            ),
        )
        for place, bound in enumerate(bounds(plan.data))
        if bound.settings.model in networks(settings)
    ]  # fmt: skip


def trainings(settings: ReproduceSettings, out: Path) -> list[Training]:
    """List the trainings of all data sets: the networks with every seed, then the bounds."""
    settings = filled(settings, "reconstruction")
    plans = chosen(settings)
    by_network = (network_trainings(plan, settings, out) for plan in plans)
    listed = [one for by_seed in by_network for seeds in by_seed.values() for one in seeds.values()]
    return listed + [one for plan in plans for _, one in bound_trainings(plan, settings, out)]
