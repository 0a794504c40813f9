"""What the explorer says of a segmentation before torch is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from glassnet.tasks.explored import Column, Columns, Explored, no_columns


def columns(result: Mapping[str, Any], _arrays: Mapping[str, Column]) -> Columns:
    """Return the mean IoU of each image."""
    quality = np.array([np.nan if one is None else one for one in result["by_image"]], np.float32)
    return no_columns(len(quality), quality=quality, named="mean_iou")


EXPLORED = Explored(
    views=("segmentation", "image", "edit", "channels", "network", "training"),
    columns=columns,
    label_of="pixel",
    targets=("predicted",),
    headlines=("mean_iou", "pixel_accuracy"),
    # These compare changed images, whose regions are others.
    without_methods=("finercam", "scorecam", "smoothgrad", "integrated_gradients", "occlusion"),
)
