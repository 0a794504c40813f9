"""What the explorer says of a network that names several labels an image, before torch is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from glassnet.tasks.explored import LEAST, Column, Columns, Explored, no_columns


def columns(_result: Mapping[str, Any], arrays: Mapping[str, Column]) -> Columns:
    """Return the likeliest label, its probability, and the mean binary cross-entropy of each image."""
    chances, targets = arrays["probabilities"].astype(np.float64), arrays["targets"]
    bounded = np.clip(chances, LEAST, 1 - LEAST)
    return no_columns(
        len(targets),
        predicted=np.where(chances.max(axis=1) >= 0.5, chances.argmax(axis=1), -1).astype(np.int32),
        confidence=chances.max(axis=1),
        loss=-np.where(targets == 1, np.log(bounded), np.log1p(-bounded)).mean(axis=1),
        wrong=int(((chances >= 0.5) != (targets == 1)).any(axis=1).sum()),
    )


EXPLORED = Explored(
    views=("embedding", "image", "edit", "mistakes", "channels", "network", "training"),
    columns=columns,
    label_of="labels",
    targets=("predicted", "label"),
    headlines=("mean_average_precision", "exact_match"),
)
