import itertools

import numpy as np
import pytest
from scipy import stats

from glassnet.stats import holm
from glassnet.tuning.result import compare_all, spread


def test_spread_by_hand():
    assert spread([1.0, 2.0, 3.0]) == (2.0, 1.0)
    assert spread([0.5]) == (0.5, None)


def test_all_pairs_are_compared_over_the_seeds_that_both_have():
    figures = {"a": {0: 0.9, 1: 0.8, 2: 0.7}, "b": {1: 0.5, 2: 0.6}, "c": {2: 0.1}}
    found = compare_all(figures)
    assert set(found) == {("a", "b"), ("b", "a")}  # c shares one seed with each
    assert found["a", "b"].mean == pytest.approx(0.2)
    assert found["a", "b"].pairs == 2
    assert found["b", "a"].low == -found["a", "b"].high


def test_every_pair_counts_in_the_correction():
    random = np.random.default_rng(2)
    figures = {name: dict(enumerate(random.normal(size=4))) for name in "abcd"}
    found = compare_all(figures)
    pairs = list(itertools.combinations("abcd", 2))
    adjusted = holm([stats.ttest_rel(*([*figures[n].values()] for n in pair)).pvalue for pair in pairs])
    assert [found[pair].adjusted_p for pair in pairs] == pytest.approx(adjusted)


def test_equal_cells_are_seldom_told_apart():
    """Of grids whose cells are all alike, at most some 5% claim any real difference, whichever is the best."""
    random, wrong = np.random.default_rng(3), 0
    for _ in range(300):
        found = compare_all({name: dict(enumerate(random.normal(size=3))) for name in range(4)})
        wrong += any(difference.real for difference in found.values())
    assert wrong / 300 < 0.09
