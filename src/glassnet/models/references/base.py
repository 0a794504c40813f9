"""What a reference is asked for, and what it gives: a network that is not ours, and what its source was."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from glassnet.errors import InputError


@dataclass(frozen=True)
class Wanted:
    """What a network is to take and to give, where it can be built so; None where that is open.

    Attributes:
        in_channels: Channels of its images.
        image_size: Their height and width in pixels.
        num_classes: Classes at its output.
        weights: File with the weights to put into it.
        pretrained: Whether it needs weights at all; not where a run's own take their place at once.
    """

    in_channels: int | None = None
    image_size: int | None = None
    num_classes: int | None = None
    weights: Path | None = None
    pretrained: bool = True


@dataclass(frozen=True)
class Reference:
    """A network by reference.

    Attributes:
        text: The reference, its path absolute, so that it works from any folder.
        name: What messages and reports call the network.
        module: Takes float images in [0, 1]; what its source says of their mean and deviation is inside it.
        source: SHA-256 of what the network was built from: the Python file, the configuration, the exported program.
        weights: SHA-256 of the file or files with its weights; None where they come out of the source.
        image_size: Height and width of the images that it was made for, in pixels; None where the source does not say.
        in_channels: Channels of these images; None where the source does not say.
        classes: Names of its classes; None where the source has none.
    """

    text: str
    name: str
    module: nn.Module
    source: str
    weights: str | None = None
    image_size: int | None = None
    in_channels: int | None = None
    classes: tuple[str, ...] | None = None

    @property
    def record(self) -> dict[str, Any]:
        """What a run, and an analysis, keep of it."""
        return {"text": self.text, "source": self.source, "weights": self.weights}


def digest_of(files: Iterable[Path]) -> str:
    """Compute the SHA-256 of the content of one file, or of the paths and contents of several.

    Raises:
        InputError: One cannot be read.
    """
    every, digests = list(files), {}
    folder = os.path.commonpath([file.parent for file in every]) if every else ""
    for file in every:
        try:
            with file.open("rb") as opened:
                digests[file.relative_to(folder).as_posix()] = hashlib.file_digest(opened, "sha256").hexdigest()
        except OSError as error:
            raise InputError(
                f"{file} cannot be read ({error.strerror}); change its permissions, or give another file."
            ) from None
    if len(digests) == 1:
        return next(iter(digests.values()))
    return hashlib.sha256("".join(f"{name} {digests[name]}\n" for name in sorted(digests)).encode()).hexdigest()


def sizes_of(wanted: Wanted) -> Mapping[str, int]:
    """Return the sizes that are wanted, by the names under which our models take them."""
    sizes = {name: getattr(wanted, name) for name in ("num_classes", "in_channels", "image_size")}
    return {name: value for name, value in sizes.items() if value is not None}
