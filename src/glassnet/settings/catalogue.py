"""Settings of `glassnet data` and `glassnet models`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from glassnet.errors import InputError
from glassnet.settings.convert import positive


@dataclass(frozen=True, kw_only=True)
class DataSettings:
    """List the data sets, download one from its official source, verify the files on disk, or check one's images.

    `check` inspects a data set before training, including folder:PATH and masks:PATH. It looks for copies within and
    between training and test images, near copies, files that are ignored or cannot be read, small classes, and images
    of unusual sizes or formats. The exit code is 2 if training would refuse the data set.
    """

    action: Positional[Literal["list", "fetch", "verify", "check"]] = "list"
    """What to do."""
    name: Positional[str | None] = None
    """Name of the data set. Default: all of them; check needs a name."""
    data_root: Path | None = None
    """Folder that holds the data sets. Default: $GLASSNET_DATA, then the user's cache folder."""

    def __post_init__(self) -> None:
        """Refuse a check of nothing."""
        if self.action == "check" and self.name is None:
            raise InputError("check needs a data set, as in `glassnet data check folder:photos`.")


@dataclass(frozen=True, kw_only=True)
class ModelsSettings:
    """List the models, or print a model's layer table: name, kind, sizes, parameters, multiply-adds."""

    name: Positional[str | None] = None
    """A model name, net.py:make, hf:NAME_OR_FOLDER, timm:NAME or net.pt2. Default: list all models."""
    model_options: tuple[str, ...] = ()
    """Model options as NAME=VALUE, such as filters=64,64,64,64."""
    in_channels: int | None = None
    """Number of image channels. Default: 1; for a network given by reference, what it was made for, or 3."""
    image_size: int | None = None
    """Height and width of the image in pixels. Default: 28; for a network given by reference, what it was made for, or
    224."""
    num_classes: int | None = None
    """Number of output classes. Default: 10; for a network given by reference, what it has."""
    figure: Path | None = None
    """Also draw the table to this file (.png, .svg or .pdf)."""

    def __post_init__(self) -> None:
        """Refuse sizes that no image has, and options without a model."""
        positive(self, "in_channels", "image_size", "num_classes")
        if self.name is None and (self.model_options or self.figure):
            raise InputError(
                "--model-options and --figure need a model, as in `glassnet models convnet --figure net.png`."
            )
