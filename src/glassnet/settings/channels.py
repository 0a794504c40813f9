"""What `glassnet channels` is asked to do."""

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
    for a class, how well it detects one, and what the network loses when it is removed. Dead channels are named.
    """

    run: Positional[Path]
    """Run directory; or a network: a model by name (vgg16), or net.py:make, hf:NAME_OR_FOLDER, timm:NAME or net.pt2."""
    layers: tuple[str, ...] = ("conv",)
    """Layers by name, by pattern (relu*) or by kind (conv, last-conv, linear, all). The kinds conv and last-conv
    measure each convolution behind its batch normalisation, if it has one."""
    data: str | None = None
    """Network without a run: folder:PATH with its images, best in a sub-folder for each class; or hf:NAME_OR_FOLDER."""
    split: Literal["test", "validation", "train"] = "test"
    """Part of the data set; validation means the images by which the run's epoch was chosen."""
    images: int = 5000
    """Most images to use; of more, a random sample with the classes in the same proportions."""
    top: int = 9
    """Images to keep for each channel: those that activate it most."""
    ablate: bool = True
    """Remove the channels one at a time, and measure what the network loses."""
    ablation_images: int = 1000
    """Most images to measure that loss on, sampled from those above."""
    value: Literal["zero", "mean"] = "zero"
    """What a removed channel is set to."""
    visualize: bool = False
    """Also optimise, for each channel on a sheet, a synthetic image that activates it most (feature visualisation)."""
    sheet: int = 16
    """Most channels on a layer's sheet: half of them the most selective, half those the network needs most."""
    seed: int = 0
    """Seed of the samples and of the synthetic images."""
    name: str | None = None
    """Name of the analysis; short words of its settings if not given."""
    out: Path | None = None
    """Network without a run: folder that keeps the analyses; default runs/network-NAME."""

    def __post_init__(self) -> None:
        """Refuse what no analysis could use."""
        super().__post_init__()
        positive(self, "images", "top", "ablation_images", "sheet")
        seeded(self)
        if not self.layers:
            raise InputError("--layers is empty, expected at least one; leave the option out for the convolutions.")
