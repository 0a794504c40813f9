import numpy as np
import pytest
from scipy import stats

from glassnet.reproduction.claims import (
    Verdict,
    agreed,
    both,
    higher_over_seeds,
    separates_better,
    separates_where_not,
    whole_claims,
)


def over_seeds(first, second):
    return higher_over_seeds("A beats B", "1", first, second, measure="test accuracy")


def hits(right, wrong):
    return np.arange(right + wrong) < right


def test_a_paired_difference_worked_out_by_hand():
    # d = 0.01, 0.02, 0.03: mean 0.02, s = 0.01, t_0.975 with 2 degrees of freedom 4.3027.
    verdict = over_seeds({0: 0.91, 1: 0.93, 2: 0.95}, {0: 0.90, 1: 0.91, 2: 0.92})
    half = 4.302653 * 0.01 / np.sqrt(3)
    assert verdict.effect == pytest.approx(0.02)
    assert verdict.interval == pytest.approx((0.02 - half, 0.02 + half))
    assert verdict.supported == "undecided"
    assert verdict.decided == "difference of test accuracy over 3 paired seeds, t interval, p = 0.074"


@pytest.mark.parametrize("sign", [1, -1])
def test_the_interval_decides_and_equals_scipys(sign):
    random = np.random.default_rng(0)
    second = random.normal(0.98, 0.001, 5)
    first = second + sign * random.normal(0.01, 0.001, 5)
    verdict = over_seeds(dict(enumerate(first)), dict(enumerate(second)))
    expected = stats.ttest_rel(first, second).confidence_interval(0.95)
    assert verdict.interval == pytest.approx(tuple(expected))
    assert verdict.supported == ("supported" if sign > 0 else "refuted")


def test_only_seeds_of_both_are_paired():
    verdict = over_seeds({0: 0.5, 1: 0.9, 2: 0.91, 7: 0.1}, {2: 0.905, 1: 0.902, 9: 0.99})
    assert verdict.effect == pytest.approx((0.9 - 0.902 + 0.91 - 0.905) / 2)
    assert "over 2 paired seeds" in verdict.decided


def test_too_few_seeds_leave_it_undecided_and_say_so():
    one = over_seeds({3: 0.99}, {3: 0.98})
    assert (one.supported, one.interval) == ("undecided", None)
    assert one.effect == pytest.approx(0.01)
    assert one.decided == "1 common seed of the two networks: an interval needs two or more"
    none = over_seeds({}, {0: 0.98})
    assert (none.supported, none.effect) == ("undecided", None)
    assert none.decided.startswith("no common seeds")


def test_equal_differences_have_no_spread_to_judge_by():
    verdict = over_seeds({0: 0.75, 1: 0.5}, {0: 0.5, 1: 0.25})
    assert (verdict.supported, verdict.effect, verdict.interval) == ("undecided", 0.25, None)
    assert "no spread" in verdict.decided


def test_one_picture_separates_better_where_more_images_are_right_beyond_chance():
    verdict = separates_better("A", "14", hits(950, 50), hits(900, 100), measure="kNN accuracy", seed=0)
    assert verdict.supported == "supported"
    assert verdict.effect == pytest.approx(0.05)
    low, high = verdict.interval
    assert 0.03 < low < 0.05 < high < 0.07
    assert verdict.decided == "difference of kNN accuracy over 1,000 images, bootstrap"
    turned = separates_better("A", "14", hits(900, 100), hits(950, 50), measure="kNN accuracy", seed=0)
    assert turned.supported == "refuted"
    same = separates_better("A", "14", hits(900, 100), hits(900, 100)[::-1], measure="kNN accuracy", seed=0)
    assert (same.supported, same.effect) == ("undecided", 0)


@pytest.mark.parametrize(
    ("first", "second", "decision"),
    [(980, 800, "supported"), (900, 800, "refuted"), (990, 980, "refuted"), (955, 800, "undecided")],
)
def test_one_separates_clearly_where_the_other_does_not(first, second, decision):
    verdict = separates_where_not(
        "A", "13", hits(first, 1000 - first), hits(second, 1000 - second), measure="matched accuracy", seed=0
    )
    assert verdict.supported == decision
    # The nearer to failing of the two margins to the line decides.
    assert verdict.effect == pytest.approx(min(first / 1000 - 0.95, 0.95 - second / 1000))
    assert verdict.interval[0] < verdict.effect < verdict.interval[1]
    assert "the line drawn at 0.95" in verdict.decided


def test_verdicts_are_joined():
    yes = over_seeds({0: 0.9, 1: 0.91}, {0: 0.8, 1: 0.8101})
    no = over_seeds({0: 0.8, 1: 0.8101}, {0: 0.9, 1: 0.91})
    open_ = over_seeds({0: 0.9}, {0: 0.8})
    assert [v.supported for v in (yes, no, open_)] == ["supported", "refuted", "undecided"]
    assert both("C", "3", [yes, yes]).supported == "supported"
    assert both("C", "3", [yes, open_]).supported == "undecided"
    assert both("C", "3", [open_, no]).supported == "refuted"
    assert agreed("C", "3", [yes, yes]).decided == "all 2 parts are supported"
    assert agreed("C", "3", [no, no]).supported == "refuted"
    assert agreed("C", "3", [yes, no]).supported == "undecided"
    assert agreed("C", "3", [yes, no]).decided == "“A beats B” supported; “A beats B” refuted"


def test_a_claim_is_counted_once_whatever_decides_it():
    one, two = (Verdict(claim, "1", "supported", 1.0, (0.5, 1.5), "") for claim in ("one", "two"))
    joined = both("both", "1", [one, two])
    whole = agreed("twice", "1", [joined, two])
    other = Verdict("other", "2", "refuted", -1.0, (-2.0, -0.5), "")
    assert (joined.joins, whole.joins) == (("one", "two"), ("both", "two"))
    assert whole_claims([one, two, joined, whole, other]) == [whole, other]
    assert whole_claims([one, other]) == [one, other]
