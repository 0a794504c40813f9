import math

import pytest

from glassnet.report import numbers

NOTHING = [None, math.nan, math.inf, "0.5", True, [1], {}]


@pytest.mark.parametrize("value", NOTHING)
@pytest.mark.parametrize("write", [numbers.count, numbers.decimal, numbers.percent, numbers.duration])
def test_what_is_no_number_is_a_dash(write, value):
    assert write(value) == "–"


@pytest.mark.parametrize(
    ("got", "expected"),
    [
        (numbers.count(467818), "467,818"),
        (numbers.decimal(0.05331, 4), "0.0533"),
        (numbers.decimal(-0.25, 2), "−0.25"),
        (numbers.decimal(0, 3), "0.000"),
        (numbers.decimal(0.00001234, 3), "1.2e−05"),
        (numbers.percent(0.984), "98.40%"),
        (numbers.percent(1, 0), "100%"),
        (numbers.interval([0.9742, 0.9901]), "97.42 to 99.01%"),
        (numbers.duration(3.14159), "3.1 s"),
        (numbers.duration(119.6), "2 min 00 s"),
        (numbers.duration(3599.9), "60 min 00 s"),
        (numbers.duration(7325), "2 h 02 min"),
        (numbers.shape([32, 28, 28]), "32 × 28 × 28"),
        (numbers.shape([3136]), "3,136"),
        (numbers.plain(True), "yes"),
        (numbers.plain(["a", 1, None]), "a, 1, –"),
        (numbers.plain({"filters": [32, 64]}), "filters=32, 64"),
        (numbers.plain(math.nan), "–"),
        (numbers.plain([]), "–"),
    ],
)
def test_numbers_read_as_people_write_them(got, expected):
    assert got == expected


@pytest.mark.parametrize("value", [None, [0.9], [0.9, None], [0.9, math.nan], "ab", [1, 2, 3]])
def test_an_interval_needs_two_numbers(value):
    assert numbers.interval(value) == "–"


@pytest.mark.parametrize("value", [None, 28, "28"])
def test_a_shape_needs_a_list(value):
    assert numbers.shape(value) == "–"
