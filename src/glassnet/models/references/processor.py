"""What the image processor of a transformers network does, read from its file: range, channels, mean, size.

It is read, not built: the processor of torch's tensors needs torchvision.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from glassnet.console import say_once
from glassnet.download import is_offline
from glassnet.errors import InputError

PROCESSING = (
    "do_rescale",
    "rescale_factor",
    "rescale_offset",
    "do_normalize",
    "image_mean",
    "image_std",
    "include_top",
    "do_flip_channel_order",
    "do_center_crop",
    "crop_size",
    "size",
)
"""What is read of an image processor."""


def read_processor(transformers: Any, where: str) -> dict[str, Any]:
    """Read what the image processor does, without building it: that of torch's tensors needs torchvision."""
    from transformers.utils.hub import cached_file

    for name in ("preprocessor_config.json", "processor_config.json"):
        file = cached_file(
            where,
            name,
            local_files_only=is_offline(),
            _raise_exceptions_for_missing_entries=False,
            _raise_exceptions_for_connection_errors=False,
        )
        read = {} if file is None else json.loads(Path(file).read_text())
        processor = read.get("image_processor", read if name.startswith("pre") else None)  # one beside a tokenizer's
        if file is not None and isinstance(processor, dict):
            return _defaults(transformers, processor) | processor
    say_once(f"{where} has no preprocessor_config.json, so it gets images from 0 to 1 without normalisation.")
    return {}


def _defaults(transformers: Any, processor: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the processor of a kind does where its file does not say it, as a file of few keys does not."""
    kind = str(processor.get("image_processor_type") or processor.get("feature_extractor_type") or "")
    name = kind.replace("FeatureExtractor", "ImageProcessor").removesuffix("Fast")
    known = getattr(transformers, f"{name}Pil", None)  # the variant that needs no torchvision
    if known is None:
        return {}
    usual = {key: getattr(known, key) for key in PROCESSING if getattr(known, key, None) is not None}
    return {"do_normalize": False, **usual}  # MobileViT's has a mean, and does not use it


def normalization(processor: Mapping[str, Any], channels: int) -> tuple[list[float], list[float]]:
    """Return mean and deviation for images in [0, 1], whatever range the processor brings them to first."""
    rescales = processor.get("do_rescale", True)
    factor = 255 * float(processor.get("rescale_factor", 1 / 255)) if rescales else 255.0
    shift = 1.0 if rescales and processor.get("rescale_offset") else 0.0
    plain = not processor or not processor.get("do_normalize", True)
    mean, std = (
        [float(one) for one in _each(None if plain else processor.get(key), usual, channels)]
        for key, usual in (("image_mean", 0.0), ("image_std", 1.0))
    )
    # EfficientNet's processor divides by the deviation once more where the network has its head.
    again = [one if processor.get("include_top") and not plain else 1.0 for one in std]
    return [(one + shift) / factor for one in mean], [
        one * other / factor for one, other in zip(std, again, strict=True)
    ]


def _each(values: Any, usual: float, channels: int) -> list[float]:
    """Return a value for each channel."""
    every = values if isinstance(values, list | tuple) else [usual if values is None else values]
    return list(every) if len(every) == channels else [every[0]] * channels


def size_of(text: str, processor: Mapping[str, Any], config: Any) -> int | None:
    """Return the side of the images that a processor gives, or of those that the configuration is for.

    Raises:
        InputError: They are not square.
    """
    cropped = processor.get("do_center_crop") and processor.get("crop_size")
    size = cropped or processor.get("size") or getattr(config, "image_size", None)
    if isinstance(size, Mapping):
        size = size.get("shortest_edge") or (size.get("height"), size.get("width"))
    sides = tuple(size) if isinstance(size, list | tuple) else (size, size)
    if len(set(sides)) != 1:
        raise InputError(
            f"{text} takes images of {' by '.join(map(str, sides))} pixels, expected a network for square images."
        )
    return None if sides[0] is None else int(sides[0])
