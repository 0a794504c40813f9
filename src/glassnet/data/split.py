"""Split images into a training and a test part, the same way everywhere and for ever."""

import hashlib
from collections import Counter
from collections.abc import Hashable, Sequence


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
