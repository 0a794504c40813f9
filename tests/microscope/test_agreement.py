"""Whether two numbers of channels order them alike: ranks by hand, and scipy's."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from glassnet.microscope.agreement import agreement


def pair(n, seed, noise=1.0):
    random = np.random.default_rng(seed)
    first = random.normal(size=n)
    return first, first + noise * random.normal(size=n)


def test_of_one_layer_it_is_spearmans():
    first, second = pair(40, 0)
    found = agreement([(first, second)])
    assert found.correlation == pytest.approx(spearmanr(first, second).statistic)
    assert found.interval[0] < found.correlation < found.interval[1]
    assert found.channels == 40
    ties = np.repeat([0.0, 1.0, 2.0], 5)
    assert agreement([(ties, ties**2)]).correlation == pytest.approx(1)


def test_layers_that_differ_as_a_whole_make_no_correlation():
    low, high = pair(60, 1, noise=1e9), pair(60, 2, noise=1e9)
    shifted = (high[0] + 100, high[1] + 1e12)
    apart = agreement([low, shifted])
    assert spearmanr(*(np.concatenate(both) for both in zip(low, shifted, strict=True))).statistic > 0.7
    assert abs(apart.correlation) < 0.2
    assert apart.correlation == pytest.approx(agreement([low, high]).correlation)


def test_the_interval_is_that_of_drawing_channels_anew():
    first, second = pair(30, 3)
    found = agreement([(first, second)], seed=5, draws=2000)
    random = np.random.default_rng(11)
    drawn = [spearmanr(first[rows], second[rows]).statistic for rows in random.integers(0, 30, (2000, 30))]
    assert found.interval == pytest.approx(np.percentile(drawn, (2.5, 97.5)), abs=0.03)
    assert agreement([(first, second)], seed=5) == found


def test_channels_without_a_figure_are_left_out_and_too_few_have_none():
    first, second = pair(10, 4)
    holed = first.copy()
    holed[3] = np.nan
    keep = np.arange(10) != 3
    assert agreement([(holed, second)]).correlation == pytest.approx(spearmanr(first[keep], second[keep]).statistic)
    assert agreement([(holed, second)]).channels == 9
    assert agreement([(first[:3], second[:3])]) is None
    assert agreement([(np.ones(9), second[:9])]) is None
    assert agreement([]) is None
    assert "9 channels" in agreement([(holed, second)]).words
