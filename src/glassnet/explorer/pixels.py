"""Images between page and model: as bytes that are shown, and as numbers that the model takes."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from glassnet.data import Split

_LOOKED_AT = 1000
"""Images by which the range of floats is found."""


@dataclass(frozen=True, eq=False)
class Scale:
    """How what the model takes becomes grey values, and back.

    Attributes:
        low: Value of each channel that is shown black (channels,); None where the images are bytes.
        high: The one that is shown white.
    """

    low: np.ndarray | None = None
    high: np.ndarray | None = None

    @classmethod
    def of(cls, split: Split) -> Scale:
        """Find the scale of images: bytes as they are, floats in [0, 1] as such, else each channel by its own range."""
        images = split.take(slice(0, _LOOKED_AT))[0]
        if images.dtype == torch.uint8:
            return cls()
        array = images.float().numpy()
        low, high = array.min(axis=(0, 2, 3)), array.max(axis=(0, 2, 3))
        if low.min() >= -1e-3 and high.max() <= 1.001:
            low, high = np.zeros_like(low), np.ones_like(high)
        return cls(low, np.where(high > low, high, low + 1))

    def to_bytes(self, images: Tensor) -> UInt8[np.ndarray, "n c h w"]:
        """Return images as grey values."""
        if self.low is None or self.high is None:
            return images.numpy()
        low, high = self.low[:, None, None], self.high[:, None, None]
        scaled = (images.float().numpy() - low) / (high - low)
        return (np.nan_to_num(scaled).clip(0, 1) * 255).round().astype(np.uint8)

    def to_model(self, pixels: UInt8[np.ndarray, "n c h w"]) -> Tensor:
        """Return grey values as the model takes them: bytes, or floats of its range."""
        if self.low is None or self.high is None:
            return torch.from_numpy(np.array(pixels))
        low, high = self.low[:, None, None], self.high[:, None, None]
        return torch.from_numpy((pixels.astype(np.float32) / 255 * (high - low) + low).astype(np.float32))


def drawable(pixels: UInt8[np.ndarray, "... c h w"]) -> UInt8[np.ndarray, "... c h w"]:
    """Return grey values of 1 or 3 channels; of others the mean."""
    if pixels.shape[-3] in (1, 3):
        return pixels
    return pixels.mean(axis=-3, keepdims=True).round().astype(np.uint8)


def encode_image(pixels: UInt8[np.ndarray, "c h w"], media: str) -> bytes:
    """Write an image of 1 or 3 channels as PNG or WebP."""
    from PIL import Image

    array = pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0))
    written = io.BytesIO()
    if media == "image/webp":
        Image.fromarray(array).save(written, "WEBP", quality=85, method=1)
    else:
        Image.fromarray(array).save(written, "PNG", compress_level=3)
    return written.getvalue()


def own_pixels(body: bytes, scale: Scale, shape: tuple[int, int, int], original: Tensor | None = None) -> Tensor:
    """Return the image (1, channel, height, width) that a page sends.

    Args:
        body: uint8 (channel, height, width), and of an edited image a mask uint8 (height, width) behind it.
        scale: Of the images.
        shape: Channels, height and width that the model takes.
        original: The image that was edited: where the mask is 0 its own values are taken, exactly.

    Raises:
        InputError: The body is of another length.
    """
    from glassnet.errors import InputError

    channels, height, width = shape
    expected = (channels + (original is not None)) * height * width
    if len(body) != expected:
        what = "pixels and a mask" if original is not None else "pixels"
        raise InputError(f"got {len(body)} bytes, expected {expected}: {what} of {channels}×{height}×{width}.")
    values = np.frombuffer(body, np.uint8)
    pixels = values[: channels * height * width].reshape(1, channels, height, width)
    image = scale.to_model(pixels)
    if original is None:
        return image
    mask = torch.from_numpy(np.array(values[channels * height * width :]).reshape(height, width)) > 0
    return torch.where(mask, image, original)
