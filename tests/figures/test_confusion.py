import numpy as np
import pytest

from glassnet.errors import InputError
from glassnet.figures import confusion_matrix

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
