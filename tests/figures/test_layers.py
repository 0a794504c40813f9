import itertools

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from glassnet.errors import InputError
from glassnet.figures import cka_heatmap, layer_comparison
from glassnet.figures.layers import ALIKE

NAMES = ["conv1", "relu1", "fc1", "relu2", "fc2"]
PROBE = np.array([0.5, 0.9, 0.98, 0.99, 0.985])
INTERVAL = np.stack([PROBE - 0.02, PROBE + 0.005], axis=1)


def heights(axes, label):
    return next(line for line in axes.get_lines() if line.get_label() == label).get_ydata()


def test_every_measure_has_its_panel_and_its_numbers(texts):
    figure = layer_comparison(
        NAMES, probe=PROBE, knn=PROBE - 0.1, separability=np.array([0.25, 0.5, 1, 2, 4]),
        effective_rank=np.array([1, 2.5, 7, 8, 9.125]), dimensions=np.array([4, 4, 128, 128, 10]), chance=0.1,
        title="Layers of a net",
    )  # fmt: skip
    accuracies, apart, ranks = figure.axes
    np.testing.assert_allclose(heights(accuracies, "linear probe"), 1 - PROBE)
    np.testing.assert_allclose(heights(accuracies, "nearest neighbours"), 1.1 - PROBE)
    assert [bar.get_height() for bar in apart.patches] == [0.25, 0.5, 1, 2, 4]
    assert heights(ranks, "effective rank").tolist() == [1, 2.5, 7, 8, 9.125]
    told = texts(figure)
    assert {"Layers of a net", *NAMES, "99.0", "89.0", "0.25", "9.12", "chance, 10%", "features per image"} <= set(told)
    assert "the best linear probe is at relu2: 99.00% (dotted line)" in told


def test_what_is_not_measured_has_no_panel(texts):
    figure = layer_comparison(NAMES, probe=PROBE)
    assert len(figure.axes) == 1
    assert "nearest neighbours" not in texts(figure)


def test_better_is_higher_and_halving_the_error_is_as_far_everywhere():
    axes = layer_comparison(NAMES, probe=PROBE).axes[0]
    low, high = axes.get_ylim()
    assert low > 0.5
    assert high < 0.01
    halves = axes.transData.transform([(0, 0.4), (0, 0.2), (0, 0.1)])[:, 1]
    assert halves[2] - halves[1] == pytest.approx(halves[1] - halves[0])
    assert halves[1] > halves[0]


def test_the_first_layer_that_is_not_clearly_worse_than_the_best_is_told(texts):
    told = texts(layer_comparison(NAMES, probe=PROBE, probe_interval=INTERVAL))
    # The best one's interval starts at 0.97: 0.91 lies below it, 0.99 does not.
    assert "the best linear probe is at relu2: 99.00% (dotted line); from fc1 on, the intervals overlap its own" in told
    every = texts(layer_comparison(NAMES[:2], probe=PROBE[:2], probe_interval=np.array([[0, 1], [0, 1.0]])))
    assert (
        "the best linear probe is at relu1: 90.00% (dotted line); from conv1 on, the intervals overlap its own" in every
    )


def test_a_layer_without_an_interval_has_no_bar_and_no_claim_is_made(texts):
    gap = [tuple(row) for row in INTERVAL]
    gap[1] = None
    figure = layer_comparison(NAMES, probe=PROBE, probe_interval=gap)
    (bars,) = [part for part in figure.axes[0].collections if len(part.get_segments())]
    assert len([segment for segment in bars.get_segments() if len(segment)]) == len(NAMES) - 1
    assert any("bars: 95% interval" in text for text in texts(figure))
    assert not any("overlap" in text for text in texts(figure))
    none = layer_comparison(NAMES, probe=PROBE, probe_interval=[(None, None)] * len(NAMES))
    assert not [part for part in none.axes[0].collections if len(part.get_segments())]
    assert not any("bars:" in text for text in texts(none))


def test_interval_bars_reach_from_low_to_high(texts):
    figure = layer_comparison(NAMES, probe=PROBE, probe_interval=INTERVAL, interval_name="99% interval")
    bars = np.stack(figure.axes[0].collections[0].get_segments())
    np.testing.assert_allclose(np.sort(1 - bars[:, :, 1], axis=1), INTERVAL)
    assert any("bars: 99% interval" in text for text in texts(figure))


def test_all_right_stands_above_everything_and_all_wrong_can_be_drawn(svg):
    axes = layer_comparison(["a", "b"], probe=np.array([0.99, 1.0])).axes[0]
    assert heights(axes, "linear probe")[1] == pytest.approx(0.005)
    assert "100" in [label.get_text() for label in axes.get_yticklabels()]
    for accuracies in ([1.0], [0.0], [0.0, 1.0], [0.8, 0.8]):
        svg(layer_comparison(list("ab")[: len(accuracies)], probe=np.array(accuracies)))


def test_an_axis_of_a_narrow_range_still_has_ticks():
    axes = layer_comparison(["a", "b"], probe=np.array([0.45, 0.6])).axes[0]
    assert {"40", "50", "60"} <= {label.get_text() for label in axes.get_yticklabels()}


@pytest.mark.parametrize("number", [1, 5, 40])
def test_few_and_many_layers_are_named_inside_the_figure(number):
    names, probe = [f"features.{i}.conv" for i in range(number)], np.linspace(0.3, 0.99, number)
    figure = layer_comparison(names, probe=probe, separability=probe, effective_rank=probe + 1)
    figure.canvas.draw()
    shown = figure.axes[-1].get_xticklabels()
    assert [label.get_text() for label in shown] == names
    boxes = [label.get_window_extent() for label in shown]
    assert all(left.x1 <= right.x0 + 1 for left, right in itertools.pairwise(boxes))
    assert figure.get_tightbbox().x1 <= figure.get_size_inches()[0] + 0.02


def test_a_separability_that_is_not_defined_has_no_bar():
    figure = layer_comparison(NAMES[:3], probe=PROBE[:3], separability=np.array([1, np.nan, 2]))
    assert [bar.get_height() for bar in figure.axes[1].patches] == [1, 2]


@pytest.mark.usefixtures("unchecked")
def test_measures_that_do_not_fit_are_refused():
    def refused(match, **changes):
        with pytest.raises(InputError, match=match):
            layer_comparison(**{"names": NAMES, "probe": PROBE, **changes})

    refused("there is no layer, expected the name of at least one", names=[])
    refused(r"the probe's accuracies have shape \(4,\), expected \(5,\), one for each layer", probe=PROBE[1:])
    refused("the probe's accuracies go from 50 to 99, expected shares from 0 to 1", probe=100 * PROBE)
    refused("the kNN accuracies: 5 of 5 values are NaN", knn=PROBE * np.nan)
    refused("the probe intervals have a low above their high", probe_interval=INTERVAL[:, ::-1])
    refused(r"the kNN intervals have shape \(5,\), expected \(5, 2\)", knn=PROBE, knn_interval=PROBE)
    refused("the separabilities: 1 of 5 values are NaN or infinite", separability=np.array([1, np.inf, 1, 1, 1]))
    refused("the effective ranks go down to 0, expected numbers above 0", effective_rank=PROBE * 0)


def test_rows_are_the_first_run_and_columns_the_second(texts):
    figure = cka_heatmap(
        np.array([[1, 0.25, -0.04]]), ["conv1"], ["a", "b", "c"], axes=("run one", "run two"), title="T"
    )
    axes = figure.axes[0]
    at = {text.get_text(): text.get_position() for text in axes.texts}
    assert at == {"1.00": (0.5, 0.5), ".25": (1.5, 0.5), "−.04": (2.5, 0.5)}
    assert axes.get_ylabel() == "run one"
    assert axes.get_xlabel() == "run two"
    assert [label.get_text() for label in axes.get_yticklabels()] == ["conv1"]
    assert {"T", "a", "b", "c", "0.0", "1.0"} <= set(texts(figure))
    assert axes.collections[0].get_clim() == (0, 1)
    assert axes.collections[0].get_array().min() == 0  # below 0 looks like 0


def test_one_run_has_its_names_on_both_sides():
    axes = cka_heatmap(np.eye(2), ["conv1", "fc1"]).axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["conv1", "fc1"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["conv1", "fc1"]


def test_forty_layers_keep_names_and_numbers_apart():
    names = [f"features.{i}.conv" for i in range(40)]
    figure = cka_heatmap(np.full((40, 40), 0.5), names)
    figure.canvas.draw()
    axes = figure.axes[0]
    assert len(axes.texts) == 1600
    first, second = (text.get_window_extent() for text in axes.texts[:2])
    assert first.x1 < second.x0
    labels = [label.get_window_extent() for label in axes.get_yticklabels()]
    assert all(above.y0 >= below.y1 - 1 for below, above in itertools.pairwise(labels))


def test_more_layers_have_no_numbers_and_fewer_names():
    axes = cka_heatmap(np.full((90, 2), 0.5), [f"layer{i}" for i in range(90)], "ab").axes[0]
    assert not axes.texts
    assert [label.get_text() for label in axes.get_yticklabels()][:2] == ["layer0", "layer3"]


def test_numbers_can_be_read_on_the_darkest_cell_in_both_themes():
    def light(rgb):
        values = np.array(rgb)
        return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722]

    for page, ink in (("#ffffff", "#1b1f27"), ("#14171d", "#e8eaf0")):
        *rgb, alpha = ALIKE(1.0)
        cell = light(alpha * np.array(rgb) + (1 - alpha) * np.array(to_rgb(page)))
        high, low = sorted((float(light(to_rgb(ink))), float(cell)), reverse=True)
        assert (high + 0.05) / (low + 0.05) > 4.5


@pytest.mark.usefixtures("unchecked")
def test_what_is_no_alignment_is_refused():
    def refused(match, *given):
        with pytest.raises(InputError, match=match):
            cka_heatmap(*given)

    refused("the alignments: 1 of 1 values are NaN", np.full((1, 1), np.nan), ["a"])
    refused(r"the alignments have shape \(2, 2\), expected \(2, 3\)", np.eye(2), "ab", "abc")
    refused("the alignments go from 0 to 2, expected numbers of at most 1", 2 * np.eye(2), "ab")
    refused("the alignments are empty", np.zeros((0, 0)), [])
