"""What training and evaluation ask of a task."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class Task:
    """A loss to train on, measures to report, and the order in which epochs are ranked."""

    name: str
    loss: Callable[[Tensor, Tensor, float], Tensor]
    """(output, targets, label smoothing) to the mean loss of the batch."""
    measure: Callable[[Tensor, Tensor], dict[str, float]]
    """(output, targets) to a few figures by name, among them "loss"; no label smoothing."""
    rank: Callable[[Mapping[str, float]], tuple[float, ...]]
    """Measures to a sort key: the epoch with the largest key on the validation part is the best."""
    evaluate: Callable[[Tensor, Tensor, Sequence[str]], dict[str, Any]]
    """(output, targets, class names) to all that the report shows, as JSON values."""
