"""What the explorer says of a classifier before torch is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from glassnet.tasks.explored import LEAST, Column, Columns, Explored, no_columns


def columns(_result: Mapping[str, Any], arrays: Mapping[str, Column]) -> Columns:
    """Return prediction, confidence and cross-entropy of each image."""
    chances, targets = arrays["probabilities"], arrays["targets"]
    predicted = chances.argmax(axis=1).astype(np.int32)
    likely = chances[np.arange(len(targets)), targets]
    return no_columns(
        len(targets),
        predicted=predicted,
        confidence=chances.max(axis=1),
        loss=-np.log(np.maximum(likely, LEAST)),
        wrong=int((predicted != targets).sum()),
    )


EXPLORED = Explored(
    views=("embedding", "image", "edit", "mistakes", "channels", "network", "training", "compare"),
    columns=columns,
    targets=("predicted", "label"),
    headlines=("accuracy", "loss"),
)
