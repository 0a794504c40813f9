"""Numbers as a reader sees them; what is no number is a dash."""

import math

import pytest

from glassnet import formats
from glassnet.formats import DASH

NO_NUMBERS = [None, math.nan, math.inf, -math.inf, True, False, "3", [1], {}]


@pytest.mark.parametrize("value", NO_NUMBERS)
@pytest.mark.parametrize("write", [formats.count, formats.decimal, formats.percent, formats.decibels, formats.duration])
def test_what_is_no_number_is_a_dash(write, value):
    assert write(value) == DASH
    assert not formats.is_number(value)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (formats.count(467818), "467,818"),
        (formats.count(0), "0"),
        (formats.decimal(0.12345), "0.123"),
        (formats.decimal(1234.5, 1), "1,234.5"),
        (formats.decimal(-0.5, 2), "−0.50"),
        (formats.decimal(0), "0.000"),
        (formats.decimal(0.0001), "1.0e−04"),  # would vanish
        (formats.decimal(0.0005), "0.001"),
        (formats.percent(0.984), "98.40%"),
        (formats.percent(1, 0), "100%"),
        (formats.decibels(24.123), "24.12 dB"),
        (formats.duration(0), "0.0 s"),
        (formats.duration(9.94), "9.9 s"),
        (formats.duration(9.95), "10 s"),
        (formats.duration(119.4), "119 s"),
        (formats.duration(119.6), "2 min 00 s"),
        (formats.duration(7199.4), "119 min 59 s"),
        (formats.duration(7199.6), "2 h 00 min"),
        (formats.shape((32, 28, 28)), "32 × 28 × 28"),
        (formats.shape([7]), "7"),
        (formats.shape("32"), DASH),
        (formats.shape(None), DASH),
    ],
)
def test_numbers_as_they_are_read(written, expected):
    assert written == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (True, "yes"),
        (False, "no"),
        (None, DASH),
        ("", DASH),
        (math.nan, DASH),
        ([], DASH),
        ({}, DASH),
        (0, "0"),
        (0.01, "0.01"),
        (("a", 2), "a, 2"),
        ({"filters": [4, 8], "bias": True}, "filters=4, 8, bias=yes"),
    ],
)
def test_any_value_of_a_settings_file(value, expected):
    assert formats.plain(value) == expected
