"""What `glassnet data` and `glassnet models` are asked to do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from glassnet.errors import InputError
from glassnet.settings.checks import positive


@dataclass(frozen=True, kw_only=True)
class DataSettings:
    """List the data sets, download one from its official source, or verify the files on disk."""

    action: Positional[Literal["list", "fetch", "verify"]] = "list"
    """What to do."""
    name: Positional[str | None] = None
    """Data set; if not given, all of them."""
    data_root: Path | None = None
    """Folder of the data sets; default $GLASSNET_DATA, then the user's cache folder."""


@dataclass(frozen=True, kw_only=True)
class ModelsSettings:
    """List the models, or print one model's layer table: name, kind, sizes, parameters, multiply-adds."""

    name: Positional[str | None] = None
    """Model; if not given, all models are listed."""
    model_options: tuple[str, ...] = ()
    """Options of the model as NAME=VALUE, such as filters=64,64,64,64."""
    in_channels: int = 1
    """Channels of the input image."""
    image_size: int = 28
    """Height and width of the input image in pixels."""
    num_classes: int = 10
    """Classes at the output."""
    figure: Path | None = None
    """Also draw the table to this file (.png, .svg or .pdf)."""

    def __post_init__(self) -> None:
        """Refuse sizes that no image has, and options without a model."""
        positive(self, "in_channels", "image_size", "num_classes")
        if self.name is None and (self.model_options or self.figure):
            raise InputError(
                "--model-options and --figure need a model, as in `glassnet models convnet --figure net.png`."
            )
