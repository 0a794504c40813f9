"""What training and evaluation ask of a task."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class Task:
    """A loss to train on, measures to report, and which of two epochs is kept."""

    name: str
    loss: Callable[[Tensor, Tensor, float], Tensor]
    """(output, targets, label smoothing) to the mean loss of the batch."""
    measure: Callable[[Tensor, Tensor], dict[str, float]]
    """(output, targets) to a few figures by name, among them "loss" and its "loss_error"; no label smoothing."""
    supersedes: Callable[[Mapping[str, float], Mapping[str, float]], bool]
    """(an epoch's measures on the validation part, the lowest loss's so far) to whether the epoch is kept."""
    evaluate: Callable[[Tensor, Tensor, Sequence[str]], dict[str, Any]]
    """(output, targets, class names) to all that the report shows, as JSON values."""
