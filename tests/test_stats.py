import math
import subprocess
import sys
from math import sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.stats import binomtest

from glassnet.errors import InputError
from glassnet.stats import bootstrap_ci, holm, paired_t, percentile_interval, resampled_sums, share_ci, wilson_interval


def test_wilson_interval_by_hand():
    # With z = 2 (confidence 0.9544997…) and 6 of 12: (1/2 + 1/6 ± 2 sqrt(1/48 + 1/144)) / (4/3) = 1/2 ± 1/4.
    low, high = wilson_interval(6, 12, confidence=0.9544997361036416)
    assert (low, high) == pytest.approx((0.25, 0.75))


@given(st.integers(1, 3000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.floats(0.5, 0.999))
def test_wilson_interval_equals_scipy_and_contains_the_share(counts, confidence):
    correct, total = counts
    low, high = wilson_interval(correct, total, confidence=confidence)
    oracle = binomtest(correct, total).proportion_ci(confidence, method="wilson")
    assert (low, high) == pytest.approx((oracle.low, oracle.high), abs=1e-12)
    assert 0 <= low <= correct / total <= high <= 1


def test_wilson_interval_bounds_solve_wilsons_equation():
    z = 1.959963984540054
    for bound in wilson_interval(983, 1000):
        assert abs(0.983 - bound) == pytest.approx(z * sqrt(bound * (1 - bound) / 1000))


def test_wilson_interval_at_none_and_all_correct():
    assert wilson_interval(0, 10)[0] == 0
    assert wilson_interval(10, 10)[1] == 1


def test_wilson_interval_refuses_bad_input():
    for correct, total in ((0, 0), (-1, 5), (6, 5)):
        with pytest.raises(InputError, match=rf"got {correct} correct of {total}, expected"):
            wilson_interval(correct, total)
    with pytest.raises(InputError, match=r"confidence is 95, expected a share"):
        wilson_interval(1, 2, confidence=95)


def test_the_bootstrap_agrees_with_a_plain_one_and_with_the_normal_interval():
    values = np.random.default_rng(1).choice([-1.0, 0.0, 1.0], 400, p=[0.1, 0.6, 0.3])
    low, high = bootstrap_ci(values, seed=0)
    random = np.random.default_rng(5)
    means = [random.choice(values, len(values)).mean() for _ in range(2000)]
    assert (low, high) == pytest.approx(tuple(np.percentile(means, (2.5, 97.5))), abs=0.006)
    half = 1.96 * values.std() / 20
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.006)
    assert bootstrap_ci(values, seed=0) == (low, high)


@pytest.mark.parametrize("values", [np.zeros(0), np.array([1.0, np.nan])])
def test_the_bootstrap_needs_finite_values(values):
    with pytest.raises(InputError, match=r"expected at least one, and only finite ones"):
        bootstrap_ci(values, seed=0)


@pytest.mark.parametrize("values", [[0.3], [0.25] * 9, [0.1 + 0.2, 0.3]])
def test_values_without_spread_have_no_interval(values):
    assert bootstrap_ci(np.array(values), seed=0) is None


def test_the_bootstrap_agrees_with_scipy():
    values = np.random.default_rng(2).gamma(2.0, size=60)
    oracle = stats.bootstrap((values,), np.mean, n_resamples=4000, method="percentile", rng=np.random.default_rng(3))
    assert bootstrap_ci(values, seed=0, draws=4000) == pytest.approx(tuple(oracle.confidence_interval), abs=0.03)


def test_sums_are_of_rows_drawn_with_replacement():
    """One-hot rows show what was drawn: n rows a draw, each equally likely, the same ones for any array of n."""
    drawn = resampled_sums(np.eye(5, dtype=np.int64), seed=4, draws=3000)
    assert (drawn.sum(axis=1) == 5).all()
    np.testing.assert_allclose(drawn.mean(axis=0), 1, atol=0.06)
    np.testing.assert_allclose(drawn.var(axis=0), 0.8, atol=0.08)  # n p (1 - p)
    rows = np.arange(30).reshape(5, 3, 2)
    sums = resampled_sums(rows, seed=4, draws=3000)
    assert sums.shape == (3000, 3, 2)
    np.testing.assert_array_equal(sums, np.einsum("dn,nab->dab", drawn, rows))


def test_a_generator_goes_on_drawing():
    generator, rows = np.random.default_rng(1), np.eye(4)
    first, second = (resampled_sums(rows, seed=generator, draws=50) for _ in range(2))
    np.testing.assert_array_equal(first, resampled_sums(rows, seed=1, draws=50))
    assert (first != second).any()


def test_percentiles_by_hand():
    """Of 0 … 1000, 2.5% and 97.5% lie at 25 and 975; what has no value in a draw is left out."""
    assert percentile_interval(np.arange(1001.0)) == pytest.approx((25, 975))
    assert percentile_interval(np.append(np.arange(1001.0), [np.nan] * 7)) == pytest.approx((25, 975))
    assert percentile_interval(np.full(9, np.nan)) is None
    assert percentile_interval(np.full(9, 1.0)) is None


def test_a_paired_difference_by_hand():
    """d = 1, 2, 3: mean 2, s = 1, t = 2 sqrt(3) at 2 degrees of freedom, where t_0.975 = 4.3027."""
    found = paired_t([2.0, 4.0, 6.0], [1.0, 2.0, 3.0])
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
    found, oracle = paired_t(first, second), stats.ttest_rel(first, second)
    interval = oracle.confidence_interval(0.95)
    assert (found.p, found.low, found.high) == pytest.approx((oracle.pvalue, interval.low, interval.high))


def test_the_interval_holds_the_truth_19_times_in_20():
    random = np.random.default_rng(1)
    found = [paired_t(random.normal(0.3, 1, 4), np.zeros(4)) for _ in range(1000)]
    assert np.mean([d.low <= 0.3 <= d.high for d in found]) == pytest.approx(0.95, abs=0.02)


def test_differences_without_spread_show_nothing():
    found = paired_t([0.9, 0.8], [0.8, 0.7])  # equal but for rounding
    assert (found.p, found.real) == (1.0, False)
    assert found.mean == pytest.approx(0.1)


@pytest.mark.parametrize(("first", "second"), [([1.0], [2.0]), ([], []), ([1.0, 2.0], [1.0])])
def test_too_few_pairs(first, second):
    with pytest.raises(InputError, match="expected the same number of each, at least 2; train with more seeds"):
        paired_t(first, second)


def test_a_figure_that_is_no_number():
    with pytest.raises(InputError, match="a value that is not finite"):
        paired_t([1.0, math.nan], [1.0, 2.0])


def test_four_of_four_is_a_share_of_at_least_a_half():
    """With n = 4 and z = 1.96 Wilson's lower bound of 4 is 1 / (1 + z² / 4) = 0.51."""
    share = share_ci(np.array([1.0, np.nan, 1.0, 1.0, 1.0]))
    assert (share.mean, share.high, share.count) == (1.0, 1.0, 4)
    assert share.low == pytest.approx(1 / (1 + 1.959964**2 / 4), abs=1e-6)
    tie = share_ci(np.array([1.0, 0.5, 0.0]))
    assert (tie.mean, tie.low, tie.high) == (0.5, wilson_interval(1, 3)[0], wilson_interval(2, 3)[1])
    assert share_ci(np.array([np.nan])).mean is None
    one = share_ci(np.array([1.0]))
    assert (one.mean, one.low, one.high, one.count) == (1.0, None, None, 1)


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


def test_importing_it_does_not_load_scipy():
    code = "import sys, glassnet.stats; sys.exit('scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
