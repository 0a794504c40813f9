import numpy as np
import pytest

from glassnet.errors import InputError
from glassnet.figures import tuning_figure
from glassnet.figures.tuning import ACCENT, REPORT, SEED, better_of, written

VALUES = [[0.990, 0.992, 0.994], [0.991], [0.995, float("nan"), 0.997]]
LABELS = ["16,16", "32,32", "64,64"]


def drawn(axes, colour):
    return [line.get_xdata().tolist() for line in axes.get_lines() if line.get_color() == colour]


def bars(axes):
    return [segment for part in axes.collections for segment in part.get_segments()]


def test_every_seed_is_a_dot_and_mean_and_spread_are_a_cross():
    axes = tuning_figure(LABELS, VALUES, metric="test accuracy", title="t").axes[0]
    assert drawn(axes, SEED) == [[0.990, 0.992, 0.994], [0.991], [0.995, 0.997]]
    level = [s[:, 0] for s in bars(axes) if s[0, 1] == s[1, 1]]
    np.testing.assert_allclose(level[0], [0.990, 0.994])  # mean 0.992, sample standard deviation 0.002
    np.testing.assert_allclose(level[1], 0.996 + np.array([-1, 1]) * 0.002 / np.sqrt(2))
    assert len(level) == 2  # a single seed has no spread
    upright = [s[0, 0] for s in bars(axes) if s[0, 0] == s[1, 0]]
    np.testing.assert_allclose(upright, [0.992, 0.991, 0.996])
    assert axes.get_ylim() == (2.5, -0.5)  # the first cell is on top
    assert [label.get_text() for label in axes.get_yticklabels()] == LABELS


def test_numbers_reports_columns_and_claims_are_written(texts):
    figure = tuning_figure(
        LABELS, VALUES, metric="test accuracy", title="Filters", report=[0.9872, None, 0.9941],
        columns={"parameters": ["1 k", "4 k", "9 k"]}, claims=["More filters help.", "word " * 60],
    )  # fmt: skip
    told = texts(figure)
    assert {"Filters", "test accuracy", "0.9920 ± 0.0020 (3)", "0.9910 (1)", "0.9960 ± 0.0014 (2, 1 failed)"} <= set(
        told
    )
    assert {"report", "0.9872", "–", "0.9941", "parameters", "9 k", "one seed", "mean ± std"} <= set(told)
    assert "More filters help." in told
    assert sum(text.startswith("word word") for text in told) > 1  # wrapped
    assert "higher is better; best mean: 64,64, 0.9960 ± 0.0014 (2, 1 failed)" in told
    assert drawn(figure.axes[0], REPORT) == [[0.9872], [0.9941]]
    without = tuning_figure(LABELS, VALUES, metric="test accuracy", title="Filters")
    assert "report" not in texts(without)
    assert ACCENT not in (SEED, REPORT)


def test_the_best_cell_is_bold_and_a_loss_is_best_low():
    def bold(metric, better=None):
        axes = tuning_figure(LABELS, VALUES, metric=metric, title="t", better=better).axes[0]
        return [label.get_text() for label in axes.get_yticklabels() if label.get_fontweight() == "bold"]

    assert bold("test accuracy") == ["64,64"]
    assert bold("validation loss") == ["32,32"]
    assert bold("test accuracy", "lower") == ["32,32"]
    axes = tuning_figure(["one"], [[0.5, 0.6]], metric="accuracy", title="t").axes[0]
    assert axes.get_yticklabels()[0].get_fontweight() != "bold"


def test_metrics_know_their_better_end():
    assert [better_of(m, None) for m in ("test loss", "error", "wall seconds", "loss ratio", "")] == [
        "lower", "lower", "lower", "higher", "higher",
    ]  # fmt: skip
    assert [written(v) for v in (0.99551, -0.5, 12.34, 1234.56)] == ["0.9955", "-0.5000", "12.3", "1,234.6"]


def test_a_cell_whose_seeds_all_failed_is_said(texts):
    figure = tuning_figure(["a", "b"], [[float("nan")] * 2, [0.5]], metric="accuracy", title="t")
    assert "all 2 failed" in texts(figure)


def test_rows_that_do_not_fit_are_refused():
    def refused(match, labels=LABELS, values=VALUES, **changes):
        with pytest.raises(InputError, match=match):
            tuning_figure(labels, values, metric="accuracy", title="t", **changes)

    refused("got 0 labels and values for 0 cells", [], [])
    refused("got 3 labels and values for 2 cells, expected one of each per cell", values=VALUES[1:])
    refused(r"32,32 has the values \[\], expected one number per seed", values=[[1.0], [], [1.0]])
    refused(r"16,16 has the values \[inf\]", values=[[float("inf")], [1.0], [1.0]])
    refused("all seeds of all cells failed", values=[[float("nan")]] * 3)
    refused("report has 1 numbers, expected 3", report=[0.5])
    refused("column 'parameters' has 1 entries, expected 3", columns={"parameters": ["1"]})
