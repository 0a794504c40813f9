"""What the explorer says of a network that gives images back, before torch is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from glassnet.tasks.explored import Column, Columns, Explored, no_columns


def columns(result: Mapping[str, Any], arrays: Mapping[str, Column]) -> Columns:
    """Return PSNR of each image, and its loss where there is a latent code."""
    known = {}
    if "values/psnr" in arrays:
        known["quality"] = arrays["values/psnr"].astype(np.float32)
    if {"values/reconstruction", "values/kl"} <= arrays.keys():
        known["loss"] = (arrays["values/reconstruction"] + arrays["values/kl"]).astype(np.float32)
    return no_columns(int(result["images"]), **known, named="psnr" if "quality" in known else "")


EXPLORED = Explored(
    views=("embedding", "image", "edit", "reconstruction", "channels", "network", "training"),
    columns=columns,
    targets=("error",),
    headlines=("psnr", "ssim", "negative_elbo"),
    without_methods=("finercam",),
)
