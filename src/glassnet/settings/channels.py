"""Settings of `glassnet channels`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from glassnet.errors import InputError
from glassnet.settings.analysis import NetworkSettings
from glassnet.settings.convert import positive, seeded


@dataclass(frozen=True, kw_only=True)
class ChannelsSettings(NetworkSettings):
    """Show what each channel of each layer has learned: its images, its classes, what the network loses without it.

    For each channel: the images that activate it most, the share of images that activate it at all, how selective it is
    for a class, how well it detects one, and what the network loses when it is removed. Also lists dead channels.
    """

    run: Positional[Path]
    """A run directory or a network: a model name (vgg16), net.py:make, hf:NAME_OR_FOLDER, timm:NAME or net.pt2."""
    layers: tuple[str, ...] = ("conv",)
    """Layers: names, patterns (relu*) or kinds (conv, last-conv, linear, all). conv and last-conv measure each
    convolution after its batch normalisation, if it has one."""
    data: str | None = None
    """For a network without a run: its images, as folder:PATH (ideally one sub-folder per class) or
    hf:NAME_OR_FOLDER."""
    split: Literal["test", "validation", "train"] = "test"
    """Which part of the data set to use; validation means the images that chose the run's best epoch."""
    images: int = 5000
    """Largest number of images; if there are more, a random sample in the same class proportions."""
    top: int = 9
    """Number of images to keep per channel: those that activate it most."""
    ablate: bool = True
    """Remove the channels one at a time and measure what the network loses."""
    ablation_images: int = 1000
    """Largest number of images for measuring that loss, sampled from those above."""
    value: Literal["zero", "mean"] = "zero"
    """What to set a removed channel to."""
    visualize: bool = False
    """Also optimise a synthetic image that activates each channel on a sheet as much as possible (feature
    visualisation)."""
    sheet: int = 16
    """Largest number of channels on a layer's sheet: half are the most selective, half are those the network needs
    most."""
    seed: int = 0
    """Seed for the samples and the synthetic images."""
    name: str | None = None
    """Name of the analysis. Default: a short name made from its settings."""
    out: Path | None = None
    """For a network without a run: folder for the analyses. Default: runs/network-NAME."""

    def __post_init__(self) -> None:
        """Refuse what no analysis could use."""
        super().__post_init__()
        positive(self, "images", "top", "ablation_images", "sheet")
        seeded(self)
        if not self.layers:
            raise InputError("--layers is empty, expected at least one; leave the option out for the convolutions.")
