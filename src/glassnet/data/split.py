"""Split images into a training and a test part, and draw some of them, the same way everywhere and for ever."""

import hashlib
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from torch import Generator, Tensor

from glassnet.data.dataset import Dataset, Split
from glassnet.errors import InputError

_CHUNK_BYTES = 1 << 25
"""Of the images whose statistics are computed at once; as floats they take 8 times as much."""


def hash_order(keys: Sequence[str], *, seed: int) -> list[int]:
    """Order the indices of `keys` by SHA-256 of "SEED:KEY": mixed, and the same on every machine and version."""
    return sorted(range(len(keys)), key=lambda i: hashlib.sha256(f"{seed}:{keys[i]}".encode()).digest())


def stratified_split(
    keys: Sequence[str], labels: Sequence[Hashable], *, test_share: float, seed: int
) -> tuple[list[int], list[int]]:
    """Split so that `test_share` of each class is in the test part, at least one image of it in each part.

    The first round(share n_c) images of class c by `hash_order` are tested, so that an added image moves few others.

    Args:
        keys: A name per image that is unique and stays, as a file's path.
        labels: Class per image; each class has two images or more.
        test_share: Above 0 and below 1.
        seed: Another seed, another split.

    Returns:
        Indices of the training and of the test images, both with the classes mixed.
    """
    quota = {label: min(max(1, round(test_share * n)), n - 1) for label, n in Counter(labels).items()}
    train: list[int] = []
    test: list[int] = []
    for i in hash_order(keys, seed=seed):
        quota[labels[i]] -= 1
        (test if quota[labels[i]] >= 0 else train).append(i)
    return train, test


def labelled_split(
    keys: Sequence[str], has: UInt8[np.ndarray, "n labels"], *, test_share: float, seed: int
) -> tuple[list[int], list[int]]:
    """Split images that have several labels so that `test_share` of them is tested, and each label is in the training.

    Images are taken for the test by `hash_order`, but for those without which a label would have no image left.

    Args:
        keys: A name per image that is unique and stays, as a file's path.
        has: 1 where an image has a label.
        test_share: Above 0 and below 1.
        seed: Another seed, another split.

    Returns:
        Indices of the training and of the test images.
    """
    left, quota = has.sum(axis=0, dtype=np.int64), max(1, round(test_share * len(keys)))
    train: list[int] = []
    test: list[int] = []
    for i in hash_order(keys, seed=seed):
        tested = len(test) < quota and bool((left[has[i] == 1] > 1).all())
        left -= has[i] * tested
        (test if tested else train).append(i)
    return train, test


def hold_out(split: Split, share: float, *, seed: int) -> tuple[Split, Split]:
    """Divide a split into a training and a validation part, with each class's share kept where images have classes.

    Where classes are so small that rounding each share alone would miss that of the whole by a tenth, the largest
    remainders are rounded up, so many that the whole is right; a class keeps an image to learn from.

    Args:
        split: Images and targets.
        share: Share of each class that goes to the validation part, rounded.
        seed: Seed of the draw.

    Raises:
        InputError: One of the parts would be empty.
    """
    generator = Generator().manual_seed(seed)
    held = torch.zeros(len(split), dtype=torch.bool)
    strata = _strata(split)
    sizes = {int(target): int((strata == target).sum()) for target in strata.unique()}
    quotas = _quotas(sizes, share, seed)
    for target, quota in quotas.items():
        members = (strata == target).nonzero().flatten()
        chosen = torch.randperm(len(members), generator=generator)[:quota]
        held[members[chosen]] = True
    if len(held) and max(sizes.values()) == 1 and round(share * len(held)):
        raise InputError(
            f"each of the {len(held)} images has its own class and is needed for training, so none is left to choose "
            "the epoch by: add images, or give a part to validate on."
        )
    if not held.any() or round(share * len(held)) >= len(held):
        raise InputError(
            f"a validation share of {share} of {len(held)} images leaves an empty part; "
            "expected at least one image in each: change --validation or add images."
        )
    return split.subset((~held).nonzero().flatten()), split.subset(held.nonzero().flatten())


def why_not_held_out(targets: Int64[Tensor, " n"], share: float) -> str:
    """Say why no validation part can be held out of images of these classes; nothing where it can."""
    try:
        hold_out(Split(torch.zeros((len(targets), 1, 1, 1), dtype=torch.uint8), targets), share, seed=0)
    except InputError as error:
        return str(error)
    return ""


def training_parts(dataset: Dataset, share: float, *, seed: int) -> tuple[Split, Split]:
    """Return what to learn from and what to choose the epoch by: the data set's own part, else one that is held out.

    Raises:
        InputError: One of the parts would be empty.
    """
    if dataset.validation is not None:
        return dataset.train, dataset.validation
    return hold_out(dataset.train, share, seed=seed)


def _quotas(sizes: Mapping[int, int], share: float, seed: int) -> dict[int, int]:
    """Return how many images of each class are held out, by the number of its images."""
    largest = {target: max(size - 1, 0) for target, size in sizes.items()}
    quotas = {target: min(round(share * size), largest[target]) for target, size in sizes.items()}
    whole = min(round(share * sum(sizes.values())), sum(largest.values()))
    if abs(sum(quotas.values()) - whole) <= whole / 10:  # as most are, whose draws stay what they always were
        return quotas
    quotas = {target: min(int(share * size), largest[target]) for target, size in sizes.items()}
    classes = list(sizes)
    mixed = [classes[i] for i in hash_order(list(map(str, classes)), seed=seed)]
    for target in sorted(mixed, key=lambda target: quotas[target] - share * sizes[target]):
        if sum(quotas.values()) < whole and quotas[target] < largest[target]:
            quotas[target] += 1
    return quotas


def _strata(split: Split) -> Int64[Tensor, " n"]:
    """Return the class of each image; one for all where an image has several labels, or a mask."""
    if split.target_dimensions > 1:
        return torch.zeros(len(split), dtype=torch.int64)
    return split.targets


def channel_statistics(split: Split) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel over all images, in units of the [0, 1] range."""
    channels, height, width = split.image_shape
    total = len(split) * height * width
    first = torch.zeros(channels, dtype=torch.float64)
    second = torch.zeros_like(first)
    chunk = max(1, min(1024, _CHUNK_BYTES // (channels * height * width)))
    for start in range(0, len(split), chunk):  # so that 60,000 images are never all floats at once
        images, _ = split.take(slice(start, start + chunk))
        values: Float[Tensor, "batch channel pixels"] = images.flatten(2).double() / 255
        first += values.sum(dim=(0, 2))
        second += values.square().sum(dim=(0, 2))
    mean = first / total
    deviation = (second / total - mean.square()).clamp(min=0).sqrt()
    # A channel that never changes carries nothing; dividing by 1 leaves it at 0.
    return mean.tolist(), torch.where(deviation > 1e-6, deviation, 1.0).tolist()


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
