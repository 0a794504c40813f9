import pytest

from glassnet.errors import InputError
from glassnet.reproduction.claims import Verdict
from glassnet.reproduction.reported import FIGURE_1, FIGURE_3, OWN_FILTERS, compare, verdict_table


def test_the_reports_number_beside_ours():
    side = compare(0.98, [0.99, 0.992, 0.994])
    assert side.mean == pytest.approx(0.992)
    assert side.std == pytest.approx(0.002)
    assert side.difference == pytest.approx(0.012)
    assert side.cells == ("0.9800", "0.9920 ± 0.0020 (3)", "+0.0120")
    assert compare(0.0144, [0.01]).cells == ("0.0144", "0.0100 (1)", "-0.0044")
    assert compare(None, [0.5]).cells == ("–", "0.5000 (1)", "–")
    with pytest.raises(InputError, match="train at least one seed"):
        compare(0.98, [])


def test_verdicts_as_a_table():
    verdicts = [
        Verdict("A", "1", "supported", 0.01, (0.005, 0.015), "so"),
        Verdict("B", "3", "undecided", -0.01, None, "one seed"),
        Verdict("C", "3", "refuted", None, None, "parts"),
    ]
    effects = [row[3] for row in verdict_table(verdicts).rows]
    assert effects == ["+0.0100 [+0.0050, +0.0150]", "-0.0100", "–"]


def test_the_reports_numbers():
    assert {name: (row.loss, row.accuracy) for name, row in FIGURE_1.items()} == {
        "alexnet_small": (0.0921, 0.9797),
        "resnet_small": (0.0798, 0.9812),
        "vgg_small": (0.0144, 0.9955),
    }
    assert [row.accuracy for row in FIGURE_3.values()] == [0.9872, 0.9914, 0.9918, 0.9943, 0.9941]
    assert [row.loss for row in FIGURE_3.values()] == [0.0389, 0.0272, 0.0254, 0.0173, 0.0174]
    assert max(FIGURE_3, key=lambda filters: FIGURE_3[filters].accuracy) == OWN_FILTERS
