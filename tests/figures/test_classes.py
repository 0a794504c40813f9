import numpy as np
import pytest

from glassnet.errors import InputError
from glassnet.figures import class_bars, confusion_matrix

COUNTS = np.array([[1234, 6, 0], [0, 0, 0], [1, 0, 99]])


def test_cells_hold_the_counts(texts):
    figure = confusion_matrix(COUNTS, ["cat", "dog", "ox"])
    cells = {(t.get_position()[1] - 0.5, t.get_position()[0] - 0.5): t.get_text() for t in figure.axes[0].texts}
    assert cells == {(0, 0): "1,234", (0, 1): "6", (2, 0): "1", (2, 2): "99"}
    assert figure.axes[0].get_ylim() == (3, 0)  # the first class on top


def test_it_says_what_it_shows(texts):
    told = texts(confusion_matrix(COUNTS, ["cat", "dog", "ox"]))
    assert "Confusion matrix: 1,333 of 1,340 images right (99.48%)" in told
    assert {"true class", "predicted class", "99.5%", "no images", "99.0%", "right"} <= set(told)
    assert any("square-root scale" in text for text in told)


def test_errors_are_coloured_by_their_share_of_the_row_and_the_diagonal_is_not():
    errors, diagonal = confusion_matrix(COUNTS, ["cat", "dog", "ox"]).axes[0].collections[:2]
    shown = errors.get_array()
    assert shown.mask.tolist() == [[True, False, True], [True, True, True], [False, True, True]]
    np.testing.assert_allclose(shown.compressed(), [600 / 1240, 1])
    assert errors.norm(0.25) == pytest.approx(0.5)  # the root of a quarter of the greatest share
    assert (~diagonal.get_array().mask == np.eye(3, dtype=bool)).all()


def test_one_mistake_in_ten_thousand_is_seen():
    counts = np.diag([9999, 10000])
    counts[0, 1] = 1
    errors = confusion_matrix(counts, ["a", "b"]).axes[0].collections[0]
    assert errors.norm(errors.get_array().compressed()).tolist() == [pytest.approx(0.316, abs=0.001)]


def test_no_images_one_class_and_no_errors(svg, texts):
    assert "Confusion matrix: 0 of 0 images right (0.00%)" in texts(confusion_matrix(np.zeros((2, 2), int), ["a", "b"]))
    assert "Confusion matrix: 7 of 7 images right (100.00%)" in texts(confusion_matrix(np.array([[7]]), ["a"]))


@pytest.mark.parametrize(("size", "numbered"), [(20, True), (21, False), (120, False)])
def test_many_classes(size, numbered):
    counts = np.eye(size, dtype=int)
    axes = confusion_matrix(counts, [f"class number {i}" for i in range(size)]).axes[0]
    assert len(axes.texts) == (size if numbered else 0)
    assert len(axes.get_xticks()) == min(size, 40)
    assert axes.get_xticklabels()[1].get_rotation() == 90


@pytest.mark.usefixtures("unchecked")
def test_what_is_no_confusion_matrix_is_refused():
    with pytest.raises(InputError, match=r"shape \(3, 3\), expected \(2, 2\) for 2 classes"):
        confusion_matrix(COUNTS, ["a", "b"])
    with pytest.raises(InputError, match="negative numbers or fractions"):
        confusion_matrix(-COUNTS, ["a", "b", "c"])
    with pytest.raises(InputError, match="negative numbers or fractions"):
        confusion_matrix(COUNTS / 2, ["a", "b", "c"])
    with pytest.raises(InputError, match="confusion counts: 9 of 9 values are NaN"):
        confusion_matrix(np.full((3, 3), np.nan), ["a", "b", "c"])


def test_bars_are_sorted_and_classes_without_a_value_left_out():
    figure = class_bars([0.2, None, 0.6], [(0.1, 0.3), None, None], ["a", "b", "c"], baselines=[0.7, 0, 0])
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["c", "a"]
    assert [round(patch.get_width()) for patch in axes.patches] == [60, 20]
    marks = next(line for line in axes.lines if line.get_label() == "all background")
    assert list(marks.get_xdata()) == pytest.approx([0, 70])
    with pytest.raises(InputError, match="no class has a value"):
        class_bars([None], [None], ["a"])
    with pytest.raises(InputError, match="1 values, 1 intervals and 2 baselines for 1 classes, expected one of each"):
        class_bars([0.5], [None], ["a"], baselines=[0, 0])


def test_a_class_of_one_image_has_a_bar_without_an_interval(texts):
    figure = class_bars([0.2, 0.6, 0.4], [(0.1, 0.3), (None, None), None], ["a", "b", "c"])
    assert [line.get_xdata().tolist() for line in figure.axes[0].lines] == [pytest.approx([10, 30])]
    assert any("line: 95% interval" in text for text in texts(figure))
    assert not any("interval" in text for text in texts(class_bars([0.2], [None], ["a"])))
