import itertools
import math

import numpy as np
import pytest
from scipy import stats

from glassnet.errors import InputError
from glassnet.tuning.statistics import compare_all, holm, paired_difference, spread


def test_spread_by_hand():
    assert spread([1.0, 2.0, 3.0]) == (2.0, 1.0)
    assert spread([0.5]) == (0.5, None)


def test_a_paired_difference_by_hand():
    """d = 1, 2, 3: mean 2, s = 1, t = 2 sqrt(3) at 2 degrees of freedom, where t_0.975 = 4.3027."""
    found = paired_difference([2.0, 4.0, 6.0], [1.0, 2.0, 3.0])
    assert found.mean == 2.0
    assert found.high - found.mean == pytest.approx(4.302653 / math.sqrt(3), rel=1e-6)
    assert found.mean - found.low == pytest.approx(found.high - found.mean)
    # With 2 degrees of freedom the t distribution has a closed form: P(T > t) = 1/2 - t / (2 sqrt(2 + t^2)).
    t = 2 * math.sqrt(3)
    assert found.p == pytest.approx(1 - t / math.sqrt(2 + t * t))
    assert not found.real


@pytest.mark.parametrize("seed", range(5))
def test_the_paired_test_agrees_with_scipy(seed):
    first, second = np.random.default_rng(seed).normal(size=(2, 6))
    found, oracle = paired_difference(first, second), stats.ttest_rel(first, second)
    interval = oracle.confidence_interval(0.95)
    assert (found.p, found.low, found.high) == pytest.approx((oracle.pvalue, interval.low, interval.high))


def test_the_interval_holds_the_truth_19_times_in_20():
    random = np.random.default_rng(1)
    found = [paired_difference(random.normal(0.3, 1, 4), np.zeros(4)) for _ in range(1000)]
    assert np.mean([d.low <= 0.3 <= d.high for d in found]) == pytest.approx(0.95, abs=0.02)


def test_differences_without_spread_show_nothing():
    found = paired_difference([0.9, 0.8], [0.8, 0.7])  # equal but for rounding
    assert (found.p, found.real) == (1.0, False)
    assert found.mean == pytest.approx(0.1)


@pytest.mark.parametrize(("first", "second"), [([1.0], [2.0]), ([], []), ([1.0, 2.0], [1.0])])
def test_too_few_pairs(first, second):
    with pytest.raises(InputError, match="expected as many of each and at least 2: train with more seeds"):
        paired_difference(first, second)


def test_a_figure_that_is_no_number():
    with pytest.raises(InputError, match="a figure that is not finite"):
        paired_difference([1.0, math.nan], [1.0, 2.0])


def test_holm_by_hand():
    """Sorted 0.01, 0.02, 0.03, 0.04 times 4, 3, 2, 1 is 0.04, 0.06, 0.06, 0.04, and no smaller than the one before."""
    assert holm([0.03, 0.01, 0.04, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


@pytest.mark.parametrize("seed", range(3))
def test_holm_rejects_what_the_step_down_procedure_rejects(seed):
    """Holm's own words: go through the p-values from the smallest, stop above level / (how many are left)."""
    p_values = np.random.default_rng(seed).uniform(0, 0.06, 8).tolist()
    for level in (0.01, 0.05, 0.2):
        rejected = set()
        for rank, index in enumerate(np.argsort(p_values)):
            if p_values[index] > level / (len(p_values) - rank):
                break
            rejected.add(int(index))
        assert {i for i, p in enumerate(holm(p_values)) if p <= level} == rejected


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
