"""Which images are looked at: fixed rules, so that no picture is picked by hand."""

import torch
from jaxtyping import Int64
from torch import Generator, Tensor

from glassnet.errors import InputError


def balanced_draw(targets: Int64[Tensor, " n"], count: int, *, seed: int) -> Int64[Tensor, " m"]:
    """Draw at most `count` indices, each class in its share of the whole, in ascending order.

    Args:
        targets: Class of each image.
        count: How many to draw; all of them if there are no more.
        seed: Seed of the draw.

    Raises:
        InputError: None is to be drawn.
    """
    if count < 1:
        raise InputError(f"{count} images are asked for, expected at least 1.")
    if len(targets) <= count:
        return torch.arange(len(targets))
    order = torch.randperm(len(targets), generator=Generator().manual_seed(seed))
    # Every image gets its place within its class as a share of the class; the smallest shares are taken.
    place = torch.empty(len(targets), dtype=torch.float64)
    for target in targets.unique():
        members = order[targets[order] == target]
        place[members] = (torch.arange(len(members), dtype=torch.float64) + 0.5) / len(members)
    return place.argsort(stable=True)[:count].sort().values
