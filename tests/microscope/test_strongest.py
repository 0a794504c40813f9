"""The strongest images and the ranks of all: exact with ties, negatives and any cut into batches."""

import numpy as np
import pytest
import torch
from scipy.stats import rankdata
from sklearn.metrics import roc_auc_score

from glassnet.microscope import detectors
from glassnet.microscope.detectors import Maxima, auroc, ordered, rank_sums
from glassnet.microscope.strongest import Strongest

TINY = np.finfo(np.float32).smallest_subnormal
LARGE = np.finfo(np.float32).max


def draw(images, channels, values=7, seed=0):
    """Return small whole numbers, negative ones among them, of which many are equal."""
    return np.random.default_rng(seed).integers(-values, values + 1, (images, channels)).astype(np.float32)


def test_whole_numbers_are_ordered_as_the_scores_are():
    scores = np.array([-LARGE, -2.5, -1, -TINY, -0.0, 0.0, TINY, 1e-30, 1, 1.0000001, 2.5, LARGE], np.float32)
    found = ordered(scores)
    assert np.array_equal(found[:, None] < found, scores[:, None] < scores)
    assert np.array_equal(found[:, None] == found, scores[:, None] == scores)
    assert found.min() >= -(2**31)
    assert found.max() < 2**31


@pytest.mark.parametrize("batch", [1, 3, 10, 40, 100])
@pytest.mark.parametrize("top", [1, 5, 60])
def test_the_strongest_are_those_of_a_plain_sort(batch, top):
    scores = draw(53, 4)
    scores[:, 3] = -2.5  # all alike
    found = Strongest(4, top)
    places = torch.arange(scores.size, dtype=torch.int32).view(scores.shape)
    for part, own in zip(torch.from_numpy(scores).split(batch), places.split(batch), strict=True):
        asked = torch.cat([found.candidates(part[:, one], one) for one in (slice(0, 1), slice(1, 4))], dim=1)
        found.add(part, torch.where(asked, own, -1))
    for channel, own in enumerate(scores.T):
        best = sorted(range(len(own)), key=lambda image: (-own[image], image))[:top]
        assert found.numbers(slice(0, 4))[channel].tolist() == best
        assert found.activations(slice(0, 4))[channel].tolist() == own[best].tolist()
        assert found.places(slice(0, 4))[channel].tolist() == places[best, channel].tolist()


def test_places_are_asked_for_those_alone_that_are_kept():
    found, asked = Strongest(6, 3), 0
    for part in torch.from_numpy(draw(400, 6, values=1000)).split(10):
        asked += int(found.candidates(part, slice(0, 6)).sum())
        found.add(part, torch.zeros(part.shape, dtype=torch.int32))
    assert asked < 6 * 3 * 10  # about 3 (1 + ln(40)) a channel, not 3 of each of 40 batches


def test_ranks_share_their_mean_among_equals():
    scores, groups = draw(60, 5).T.copy(), np.arange(60) % 4
    ranks = np.array([rankdata(one) for one in scores])
    expected = np.array([[one[groups == group].sum() for group in range(5)] for one in ranks])
    assert rank_sums(scores, groups, 5).tolist() == expected.tolist()
    assert rank_sums(np.array([[3, 1, 3, -2, 3]], np.float32), np.arange(5), 5).tolist() == [[4, 2, 4, 1, 4]]


@pytest.mark.parametrize("held", [0, 1, 7, 60, 1000])
@pytest.mark.parametrize("at_once", [1, 130, 2**18])
def test_auroc_is_scikit_learns_wherever_the_maxima_lie(monkeypatch, held, at_once):
    monkeypatch.setattr(detectors, "AT_ONCE", at_once)
    scores, classes = draw(60, 5), np.arange(60) * 7 % 3
    maxima = Maxima(5, 60, held)
    for part in torch.from_numpy(scores).split(13):
        maxima.put(part)
    found = auroc(maxima, torch.arange(60), torch.from_numpy(classes), 4)
    expected = [[roc_auc_score(classes == one, own) for one in range(3)] for own in scores.T]
    assert found[:, :3] == pytest.approx(np.array(expected), abs=1e-12)
    assert np.isnan(found[:, 3]).all()
    several = (scores[:, ::-1] + draw(60, 5, seed=1)) > 0  # some images of no class, some of several
    images, named = torch.from_numpy(several).nonzero().T
    found = auroc(maxima, images, named, 5)
    expected = [[roc_auc_score(one, own) for one in several.T] for own in scores.T]
    assert found == pytest.approx(np.array(expected), abs=1e-12)
    maxima.close()
