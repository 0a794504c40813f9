import itertools

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from glassnet.errors import InputError
from glassnet.figures import cka_heatmap
from glassnet.figures.similarity import ALIKE


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
    refused("the alignments go from 0 to 2, expected numbers up to 1", 2 * np.eye(2), "ab")
    refused("the alignments are none", np.zeros((0, 0)), [])
