"""How much a reproduction trains: the seeds of each part, the share of the usual epochs, the images explained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import get_args

from glassnet.errors import unknown_name
from glassnet.settings.train import BudgetName, ReproduceSettings

USUAL_SEEDS: tuple[int, ...] = (0, 1, 2)
"""Of a part by itself, without a budget."""
USUAL_IMAGES = 2000


@dataclass(frozen=True)
class Budget:
    """How much to train.

    Attributes:
        about: In a line.
        seeds: Of the parts that train with several; a part that is not here trains with one.
        share: Of each network's usual epochs, at least one epoch.
        images: Test images that part gradcam explains.
    """

    about: str
    seeds: Mapping[str, tuple[int, ...]]
    share: float
    images: int


BUDGETS: dict[str, Budget] = {
    "quick": Budget(
        "a twelfth of the epochs; two seeds for classification, one for the rest",
        {"classification": (0, 1), "segmentation": (0,), "reconstruction": (0,)},
        1 / 12,
        500,
    ),
    "standard": Budget(
        "all epochs; three seeds for classification, one for the rest",
        {"classification": (0, 1, 2), "segmentation": (0,), "reconstruction": (0,)},
        1,
        USUAL_IMAGES,
    ),
    "full": Budget(
        "all epochs; five seeds for classification, three for segmentation and reconstruction, one for the rest",
        {"classification": (0, 1, 2, 3, 4), "segmentation": (0, 1, 2), "reconstruction": (0, 1, 2)},
        1,
        USUAL_IMAGES,
    ),
}


def filled(settings: ReproduceSettings, part: str) -> ReproduceSettings:
    """Put the budget's seeds and images in for a part, where none are given.

    Raises:
        InputError: There is no such budget.
    """
    if settings.budget is None:
        seeds, images = USUAL_SEEDS, USUAL_IMAGES
    elif settings.budget in BUDGETS:
        budget = BUDGETS[settings.budget]
        seeds, images = budget.seeds.get(part, ()), budget.images
    else:
        raise unknown_name("budget", str(settings.budget), get_args(BudgetName), noun="budgets")
    return replace(settings, seeds=settings.seeds or seeds, images=settings.images or images)


def epochs_of(settings: ReproduceSettings, usual: int) -> int:
    """Return how many epochs to train: those that are given, or the budget's share of the usual ones, at least one."""
    if settings.epochs is not None:
        return settings.epochs
    share = 1.0 if settings.budget is None else BUDGETS[settings.budget].share
    return max(1, round(usual * share))
