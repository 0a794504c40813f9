import pytest
import torch
from jaxtyping import config

from glassnet.data import Dataset, Split
from glassnet.errors import InputError


@pytest.fixture(autouse=True)
def as_users_run_it():
    """Without the shape checks of the tests, which would refuse the tensors first."""
    config.update("jaxtyping_disable", True)
    yield
    config.update("jaxtyping_disable", False)


def split(*, n=3, size=4, target=0):
    return Split(torch.zeros(n, 1, size, size, dtype=torch.uint8), torch.full((n,), target))


def dataset(**parts):
    return Dataset("set", "classification", ("a", "b"), **parts, augmentation="none", note="")


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(3, 1, 4, 4), r"images are torch.float32 of shape \(3, 1, 4, 4\), expected torch.uint8"),
        (torch.zeros(3, 4, 4, dtype=torch.uint8), r"of shape \(3, 4, 4\), expected .*\(n, channels, size, size\)"),
        (torch.zeros(3, 1, 4, 5, dtype=torch.uint8), r"of shape \(3, 1, 4, 5\), expected"),
    ],
)
def test_split_refuses_images(images, message):
    with pytest.raises(InputError, match=message):
        Split(images, torch.zeros(3, dtype=torch.int64))


@pytest.mark.parametrize("targets", [torch.zeros(3), torch.zeros(2, dtype=torch.int64)])
def test_split_refuses_targets(targets):
    with pytest.raises(InputError, match=r"targets are .*, expected torch.int64 of shape \(3,\), one per image"):
        Split(torch.zeros(3, 1, 4, 4, dtype=torch.uint8), targets)


def test_dataset_refuses_parts_that_differ():
    with pytest.raises(InputError, match=r"training images are \(1, 4, 4\), test images \(1, 5, 5\)"):
        dataset(train=split(), test=split(size=5))


@pytest.mark.parametrize("target", [-1, 2])
def test_dataset_refuses_targets_outside_its_classes(target):
    with pytest.raises(InputError, match=rf"targets run from {target} to {target}, expected 0 to 1"):
        dataset(train=split(), test=split(target=target))


def test_sizes():
    found = dataset(train=split(), test=split(n=2))
    assert (found.channels, found.image_size, len(found.train), len(found.test)) == (1, 4, 3, 2)


@pytest.mark.parametrize("rows", [None, torch.tensor([0, 2, 3, 6, 1])])
def test_targets_are_read_in_parts(rows):
    found = Split(torch.zeros(7, 1, 2, 2, dtype=torch.uint8), torch.arange(7), rows)
    parts = list(found.target_parts(2))
    assert [len(part) for part in parts] == ([2, 2, 2, 1] if rows is None else [2, 2, 1])
    assert torch.equal(torch.cat(parts), found.own_targets)


def test_masks_are_uint8_of_the_images_size_and_hold_classes_or_void():
    images = torch.zeros(2, 3, 4, 4, dtype=torch.uint8)
    with pytest.raises(InputError, match=r"masks are torch.uint8 of shape \(2, 4, 5\), expected torch.uint8 of shape"):
        Split(images, torch.zeros(2, 4, 5, dtype=torch.uint8))
    masks = torch.full((2, 4, 4), 255, dtype=torch.uint8)
    masks[0, 0, 0] = 2
    part = Split(images, masks)
    about = {"name": "m", "task": "segmentation", "augmentation": "none", "note": ""}
    Dataset(classes=("a", "b", "c"), train=part, test=part, **about)
    with pytest.raises(InputError, match="m: targets run from 2 to 2, expected 0 to 1"):
        Dataset(classes=("a", "b"), train=part, test=part, **about)
