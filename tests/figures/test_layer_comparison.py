import itertools

import numpy as np
import pytest

from glassnet.errors import InputError
from glassnet.figures import layer_comparison

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
    assert {"Layers of a net", *NAMES, "99.0", "89.0", "0.25", "9.12", "chance, 10%", "features an image has"} <= set(
        told
    )
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
