"""Concepts of a layer: their maps, strongest places and importance, and how much of the layer they keep."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int64
from torch.nn import functional as F

from glassnet.display import Shown, brief, fraction
from glassnet.errors import InputError
from glassnet.stats import Interval
from glassnet.tables import Table, make_table


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Concepts(Shown):
    """Non-negative concepts of a layer, the most important for the target first.

    Attributes:
        layer: The layer.
        target: The class whose score was explained; None for each image's highest class, or for a callable.
        images: Number of images.
        bank: Each concept's direction in channel space, of length 1 (k, c).
        coefficients: How strong each concept is at each place: maps of the layer's own size (n, k, h', w').
        importance: Total Sobol index of each concept, averaged over images (k,): the share of the score's variance that
            vanishes when the concept is held fixed, interactions included; NaN if no image's score varies.
        intervals: 95% interval of each mean, by bootstrap over images. Each image has its own masks, so the interval
            includes their error. None for a single image, or where all are equal.
        importance_by_image: The indices of each image (n, k).
        top_images: Numbers of the images where each concept is strongest (k, top); -1 where there is none.
        top_places: Row and column of these places in the layer's map (k, top, 2).
        top_coefficients: How strong the concept is there (k, top).
        top_boxes: The receptive-field box at that place: (x0, y0, x1, y1) in the image's pixels, x1 and y1 excluded
            (k, top, 4); zeros where there is no place. None if the receptive field is not known.
        reconstruction_error: |A - UW| / |A| (Frobenius) over all images and positions.
        logit_r2: 1 - |z - z'|² / |z - mean z|², where z are the outputs and z' those of the network on UW: the share of
            their variance that the concepts keep; None if the outputs have no variance.
        agreement: Share of the images whose highest class is the same on UW; None if the output has no classes.
        image_size: Height and width of the images in pixels.
    """

    layer: str
    target: int | None
    images: int
    bank: Float32[np.ndarray, "k c"]
    coefficients: Float32[np.ndarray, "n k h w"]
    importance: Float64[np.ndarray, " k"]
    intervals: tuple[Interval | None, ...] = field(repr=False)
    importance_by_image: Float64[np.ndarray, "n k"] = field(repr=False)
    top_images: Int64[np.ndarray, "k top"] = field(repr=False)
    top_places: Int64[np.ndarray, "k top 2"] = field(repr=False)
    top_coefficients: Float32[np.ndarray, "k top"] = field(repr=False)
    top_boxes: Int64[np.ndarray, "k top 4"] | None = field(repr=False)
    reconstruction_error: float
    logit_r2: float | None
    agreement: float | None
    image_size: tuple[int, int] = field(repr=False)

    def maps(self, concept: int) -> Float32[np.ndarray, "n height width"]:
        """Return a concept's heat map on each image, resized bilinearly to the image's size.

        Args:
            concept: Its number, the most important first.

        Raises:
            InputError: There is no such concept.
        """
        if not 0 <= concept < len(self.bank):
            raise InputError(f"concept is {concept}, expected 0 to {len(self.bank) - 1}.")
        own = torch.from_numpy(np.ascontiguousarray(self.coefficients[:, concept]))[:, None]
        return F.interpolate(own, self.image_size, mode="bilinear", align_corners=False)[:, 0].numpy()

    def reconstructed(self) -> Float32[np.ndarray, "n c h w"]:
        """Return the sum over concepts of coefficient times direction: the activations up to `reconstruction_error`."""
        return np.einsum("nkhw,kc->nchw", self.coefficients, self.bank, optimize=True)

    def __repr__(self) -> str:
        """Say in one line how many concepts there are, and how much of the layer they keep."""
        kept = "" if self.logit_r2 is None else f", R² of the logits {self.logit_r2:.3f}"
        return (
            f"Concepts({len(self.bank)} of {self.layer}, {self.images:,} images, reconstruction error "
            f"{self.reconstruction_error:.1%}{kept}, first importance {fraction(float(self.importance[0]))})"
        )

    def _table(self) -> Table:
        rows = [
            (
                str(number),
                fraction(float(self.importance[number])),
                "–" if bounds is None else " to ".join(map(fraction, bounds)),
                brief(self.top_images[number][self.top_images[number] >= 0].tolist()),
            )
            for number, bounds in enumerate(self.intervals)
        ]
        return make_table("", ("concept", "importance", "95% interval", "strongest images"), rows)

    def to_json(self) -> dict[str, Any]:
        """Return the values of each concept as JSON, without maps; None where there is no value."""
        return {
            "layer": self.layer,
            "target": self.target,
            "images": self.images,
            "reconstruction_error": self.reconstruction_error,
            "logit_r2": self.logit_r2,
            "agreement": self.agreement,
            "concepts": [
                {
                    "importance": float(self.importance[k]) if np.isfinite(self.importance[k]) else None,
                    "interval": None if self.intervals[k] is None else list(self.intervals[k] or ()),
                    "direction": self.bank[k].tolist(),
                    "top_images": self.top_images[k].tolist(),
                    "top_places": self.top_places[k].tolist(),
                    "top_coefficients": self.top_coefficients[k].tolist(),
                    "top_boxes": None if self.top_boxes is None else self.top_boxes[k].tolist(),
                }
                for k in range(len(self.bank))
            ],
        }
