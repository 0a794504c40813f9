"""Models that are fitted at once: a linear map of frozen features, with the decay chosen on validation images."""

from __future__ import annotations

from typing import Any, Protocol, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from glassnet.console import progress, say
from glassnet.data import Split
from glassnet.devices import autocast
from glassnet.images import to_float
from glassnet.models.memory_order import memory_order
from glassnet.tasks import Objective

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Weights of the penalty |W|² / 2 that are tried, on features of mean 0 and deviation 1."""
FEWEST_HELD = 20
"""Held-out images below which the choice of the strength is said to be uncertain."""
_BATCH = 64


class Fitted(Protocol):
    """A model whose `head`, a linear map of its `features`, is fitted."""

    head: nn.Linear

    def features(self, images: Tensor) -> Tensor:
        """Return a row for each image."""


def fit_head(
    model: nn.Module,
    training: Split,
    validation: Split,
    objective: Objective,
    *,
    device: torch.device,
    precision: str,
) -> dict[str, float]:
    """Fit the head by L-BFGS for each strength, and take the one of least validation loss, of equals the strongest.

    The loss is that of the task. The features' means and deviations go into the map, so that it takes them as they are.

    Returns:
        Loss of the training images, the task's other means, such as their accuracy, and the strength.
    """
    fitted = cast(Fitted, model)
    if len(validation) < FEWEST_HELD:
        held_out = "1 held-out image" if len(validation) == 1 else f"{len(validation)} held-out images"
        say(
            f"the probe's penalty is chosen on {held_out}, too few for a reliable choice; give more images, or a "
            "larger --validation."
        )
    rows, targets = _features(fitted, training, device, precision, "training")
    held_rows, held_targets = _features(fitted, validation, device, precision, "validation")
    mean, deviation = rows.mean(dim=0), rows.std(dim=0, correction=0).clamp(min=1e-6)
    rows, held_rows = (rows - mean) / deviation, (held_rows - mean) / deviation
    best: tuple[float, dict[str, float], float, nn.Linear] | None = None
    for strength in sorted(STRENGTHS, reverse=True):
        head = nn.Linear(rows.shape[1], fitted.head.out_features, device=device)
        means = _minimise(head, rows, targets, objective, strength)
        with torch.no_grad():
            held = float(objective(head(held_rows), held_targets, 1.0)[0])
        if best is None or held < best[0]:
            best = (held, means, strength, head)
    assert best is not None  # there is a strength
    _, means, strength, head = best
    with torch.no_grad():
        fitted.head.weight.copy_(head.weight / deviation)
        fitted.head.bias.copy_(head.bias - head.weight @ (mean / deviation))
    return {**means, "strength": strength}


def _minimise(
    head: nn.Linear, rows: Float[Tensor, "n d"], targets: Tensor, objective: Objective, strength: float
) -> dict[str, float]:
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    optimizer = torch.optim.LBFGS(head.parameters(), max_iter=200, history_size=20, line_search_fn="strong_wolfe")

    def penalised() -> Tensor:
        optimizer.zero_grad()
        loss: Tensor = objective(head(rows), targets, 1.0)[0] + strength / 2 * head.weight.square().sum()
        loss.backward()
        return loss

    with torch.enable_grad():
        optimizer.step(cast(Any, penalised))
    with torch.no_grad():
        loss, others = objective(head(rows), targets, 1.0)
    return {"loss": float(loss), **{name: float(mean) for name, mean in others.items()}}


@torch.no_grad()
def _features(
    model: Fitted, split: Split, device: torch.device, precision: str, what: str
) -> tuple[Float[Tensor, "n d"], Tensor]:
    """Return a float32 row for each image of a split as it is, and the targets."""
    rows, targets = [], []
    order: torch.memory_format | None = None
    with progress(f"features of the {what} images", -(-len(split) // _BATCH), announce=False) as advance:
        for places in torch.arange(len(split)).split(_BATCH):
            taken, wanted = split.take(places)
            images = to_float(taken.to(device))
            order = order or memory_order(cast(nn.Module, model), images, call=_features_of)
            with autocast(device, precision):
                rows.append(model.features(images.contiguous(memory_format=order)).float())
            targets.append(wanted.to(device))
            advance()
    return torch.cat(rows), torch.cat(targets)


def _features_of(model: nn.Module, images: Tensor) -> Tensor:
    return cast(Fitted, model).features(images)
