import hashlib
import itertools

import numpy as np
import pytest
import torch

from glassnet.data import load_dataset
from glassnet.data.datasets import digit_scenes
from glassnet.errors import InputError


@pytest.fixture(scope="module")
def scenes():
    patch = pytest.MonkeyPatch()
    patch.setattr(digit_scenes, "SCENES", {"train": 60, "test": 20})
    yield load_dataset("digit-scenes", image_size=48)
    patch.undo()


def test_masks_hold_the_digits_and_the_background(scenes):
    assert scenes.classes == ("background", *"0123456789")
    labels = scenes.train.targets.unique().tolist()
    assert labels == list(range(11))
    background = (scenes.train.targets == 0).float().mean()
    assert 0.6 < background < 0.95


def test_a_digit_is_where_the_scene_differs_from_the_photograph(monkeypatch):
    random = np.random.default_rng(0)
    image, mask = np.zeros((40, 40, 3), np.uint8), np.zeros((40, 40), np.uint8)
    digit = np.zeros((28, 28), np.uint8)
    digit[6:22, 6:22] = 255
    monkeypatch.setattr(digit_scenes, "_colour", lambda under, random: np.array([255.0, 255, 255]))
    digit_scenes._paint(image, mask, digit, 3, (-2, 5, 28), random)
    assert set(np.unique(mask)) == {0, 3}
    np.testing.assert_array_equal(mask == 3, image[..., 0] >= 128)  # the edge of the ink is where it covers by half


def test_digits_lie_over_each_other_in_part_alone():
    assert digit_scenes._shared((0, 0, 10), (5, 6, 8)) == pytest.approx(5 * 4 / 64)
    assert digit_scenes._shared((0, 0, 10), (11, 0, 8)) == 0
    drawn = [digit_scenes._places(3, 96, np.random.default_rng(seed)) for seed in range(50)]
    pairs = [digit_scenes._shared(one, other) for places in drawn for one, other in itertools.combinations(places, 2)]
    assert 0 < max(pairs) <= digit_scenes.OVERLAP
    assert {len(places) for places in drawn} >= {2, 3}


def test_parts_share_no_photograph_and_scenes_stay_as_they_are(scenes, monkeypatch):
    assert not set(digit_scenes.PHOTOS["train"]) & set(digit_scenes.PHOTOS["test"])
    monkeypatch.setattr(digit_scenes, "SCENES", {"train": 60, "test": 20})
    again = load_dataset("digit-scenes", image_size=48)
    assert torch.equal(again.train.images, scenes.train.images)
    assert torch.equal(again.test.targets, scenes.test.targets)
    digests = [
        hashlib.sha256(part.images.numpy().tobytes() + part.targets.numpy().tobytes()).hexdigest()
        for part in (scenes.train, scenes.test)
    ]
    # Of the packages in constraints.txt; another Pillow or NumPy that paints otherwise makes other scenes.
    assert digests == [
        "d29e42199dc69f92d5a450e05bf0fe5e2b3aeafd61514c33105dc246c84ca194",
        "da0597151e558531eb28ebb9d84c01395e003c8b0751fca1f6b37571b0c20293",
    ]


def test_too_small_scenes_and_other_photographs_are_refused(monkeypatch):
    with pytest.raises(InputError, match="image_size is 8, expected at least 16 pixels"):
        load_dataset("digit-scenes", image_size=8)
    with pytest.raises(InputError, match=r"lacks the expected astronaut\.png; install a version that fits"):
        digit_scenes._photo("astronaut.png", "0" * 64)
