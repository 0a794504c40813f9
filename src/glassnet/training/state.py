"""All that changes while a model trains, and how it is saved and restored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import OneCycleLR
from torch.optim.swa_utils import AveragedModel

from glassnet.errors import InputError
from glassnet.settings import ResolvedSettings
from glassnet.training.transfer import parameter_groups


@dataclass
class TrainingState:
    """The model, its averaged twin, the optimizer, the schedule, how far they have come, and which epoch is kept.

    The order of the images, the augmentation and dropout follow from (seed, epoch) alone, so that no generator has to
    be saved: whatever epoch a run is resumed at, it draws the very numbers that it would have drawn.
    """

    model: nn.Module
    average: AveragedModel | None
    optimizer: AdamW
    schedule: OneCycleLR
    epoch: int = 0
    seconds: float = 0.0
    best: dict[str, float] = field(default_factory=dict)
    best_weights: str | None = None
    """Digest of the weights of the best epoch."""
    reference: dict[str, float] = field(default_factory=dict)

    @property
    def eval_model(self) -> nn.Module:
        """The model that is validated and kept: the averaged one if there is one."""
        return self.average.module if self.average is not None else self.model

    def state_dict(self) -> dict[str, Any]:
        """Return everything as tensors and plain values, which torch.load reads with weights_only."""
        return {
            "model": self.model.state_dict(),
            "average": self.average.state_dict() if self.average is not None else None,
            "optimizer": self.optimizer.state_dict(),
            "schedule": {k: v for k, v in self.schedule.state_dict().items() if isinstance(v, int | float | list)},
            "epoch": self.epoch,
            "seconds": self.seconds,
            "best": self.best,
            "best_weights": self.best_weights,
            "reference": self.reference,
        }

    def restore(self, state: dict[str, Any], *, source: object) -> None:
        """Restore what `state_dict` returned.

        Raises:
            InputError: It does not fit; `source` is named as where it came from.
        """
        try:
            self._load(state)
        except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
            raise InputError(
                f"the checkpoint of {source} does not fit its settings ({type(error).__name__}); train the run again."
            ) from None

    def _load(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.epoch, self.seconds = state["epoch"], state["seconds"]
        self.best_weights = state.get("best_weights")  # which version 0.1 did not write down
        # Version 0.1 called the reference "lowest".
        self.best, self.reference = dict(state["best"]), dict(state["lowest" if "lowest" in state else "reference"])


def new_state(model: nn.Module, settings: ResolvedSettings, *, steps: int) -> TrainingState:
    """Set up AdamW (Loshchilov and Hutter 2019) under a one-cycle schedule (Smith and Topin 2019), and the average.

    Args:
        model: The model on its device.
        settings: Peak learning rate, weight decay, averaging.
        steps: Optimizer steps in the whole training.
    """
    groups = parameter_groups(model, settings)
    optimizer = AdamW(groups, lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True)
    # Of four steps the rise would take 0.25 x 4 - 1 = 0, by which torch divides.
    total = 5 if steps == 4 else max(2, steps)
    peaks = [settings.learning_rate * group["share"] for group in groups]
    schedule = OneCycleLR(optimizer, peaks, total_steps=total, pct_start=0.25)
    average = None
    if settings.weight_averaging:
        average = AveragedModel(model, multi_avg_fn=_exponential(settings.weight_averaging), use_buffers=True)
        average.n_averaged = torch.tensor(0)  # on the CPU, where reading it does not wait for a GPU
    return TrainingState(model, average, optimizer, schedule)


def _exponential(decay: float) -> Any:
    """Average with decay min(decay, (1 + t) / (10 + t)): short at first, so that the random start is soon forgotten."""

    @torch.no_grad()
    def update(averaged: Sequence[Tensor], current: Sequence[Tensor], count: Tensor | int) -> None:
        step = int(count)
        weight = 1 - min(decay, (1 + step) / (10 + step))
        if averaged[0].is_floating_point():
            torch._foreach_lerp_(list(averaged), list(current), weight)
        else:
            for mean, value in zip(averaged, current, strict=True):
                mean.copy_(value)

    return update
