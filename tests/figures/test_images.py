import numpy as np
import pytest
from sklearn.datasets import load_digits

from glassnet.errors import InputError
from glassnet.figures import image_grid, worst_mistakes
from glassnet.figures.images import to_pictures

CLASSES = ("cat", "dog", "diningtable", "pottedplant")


@pytest.fixture
def digits():
    return (load_digits().images[:10, None] * 15.9).astype(np.uint8)


@pytest.fixture
def mistakes():
    labels, predictions = np.array([0, 1, 2, 0, 1]), np.array([0, 0, 3, 2, 1])
    probabilities = np.array(
        [[0.9, 0.1, 0, 0], [0.6, 0.4, 0, 0], [0.0, 0.004, 0.0, 0.996], [0.1, 0.05, 0.8, 0.05], [0.5, 0.5, 0, 0]]
    )
    return np.linspace(0, 1, 5 * 4).reshape(5, 1, 2, 2).astype(np.float32), labels, predictions, probabilities


def captions(figure):
    """Texts by the picture that they stand below, in reading order."""
    axes = figure.axes[0]
    found = []
    for image in axes.get_images():
        left, right, bottom, _ = image.get_extent()
        below = [t for t in axes.texts if left < t.get_position()[0] < right and 0 < t.get_position()[1] - bottom < 0.6]
        found.append([t.get_text() for t in sorted(below, key=lambda t: t.get_position()[1])])
    return found


def test_pictures_are_colours_from_0_to_1(digits):
    pictures = to_pictures(digits)
    assert pictures.shape == (10, 8, 8, 3)
    np.testing.assert_allclose(pictures[3, :, :, 1], digits[3, 0] / 255)
    colour = np.random.default_rng(0).random((2, 3, 4, 5), dtype=np.float32)
    np.testing.assert_array_equal(to_pictures(colour), colour.transpose(0, 2, 3, 1))


def test_grid_shows_each_image_above_its_caption(digits):
    figure = image_grid(digits[:7], [f"digit {i}" for i in range(7)], title="Digits", columns=3)
    images = figure.axes[0].get_images()
    np.testing.assert_allclose(images[4].get_array()[..., 0], digits[4, 0] / 255)
    assert captions(figure) == [[f"digit {i}"] for i in range(7)]
    lefts = [image.get_extent()[0] for image in images]
    assert lefts[0] == lefts[3] == lefts[6] < lefts[1] < lefts[2]


def test_oblong_images_keep_their_shape():
    left, right, bottom, top = (
        image_grid(np.zeros((1, 1, 10, 20)), [""], title="t").axes[0].get_images()[0].get_extent()
    )
    assert right - left == pytest.approx(2 * (bottom - top))


def test_worst_mistakes_first_and_right_ones_not_at_all(mistakes, texts):
    figure = worst_mistakes(*mistakes, CLASSES)
    assert captions(figure) == [
        ["diningtable", "→ pottedplant", "p 1.00 (0.00)"],
        ["cat", "→ diningtable", "p 0.80 (0.10)"],
        ["dog → cat", "p 0.60 (0.40)"],
    ]
    np.testing.assert_allclose(figure.axes[0].get_images()[0].get_array()[..., 0], mistakes[0][2, 0], rtol=1e-6)
    assert "Worst mistakes: 3 of 5 images wrong" in texts(figure)
    assert any(text.startswith("Shown: all, the most confident first") for text in texts(figure))


def test_as_many_as_asked_for(mistakes, texts):
    figure = worst_mistakes(*mistakes, CLASSES, count=2)
    assert len(captions(figure)) == 2
    assert any(text.startswith("Shown: the 2 most confident") for text in texts(figure))


def test_mistakes_alone_with_the_predicted_classs_probability(mistakes, texts):
    images, labels, predictions, _ = (array[1:4] for array in mistakes)
    figure = worst_mistakes(images, labels, predictions, np.array([0.6, 0.996, 0.8]), CLASSES)
    assert [lines[-1] for lines in captions(figure)] == ["p 1.00", "p 0.80", "p 0.60"]
    assert "Worst mistakes" in texts(figure)


def test_no_mistakes_are_told(mistakes, texts):
    images, labels, _, probabilities = mistakes
    told = texts(worst_mistakes(images, labels, labels, probabilities, CLASSES))
    assert told[0] == "Worst mistakes: 0 of 5 images wrong"
    assert told[1].startswith("There are no mistakes to show")
    none = (array[:0] for array in mistakes)
    assert texts(worst_mistakes(*none, CLASSES))[0] == "Worst mistakes"


@pytest.mark.usefixtures("unchecked")
def test_what_cannot_be_drawn_is_refused(mistakes):
    images, labels, predictions, probabilities = mistakes
    with pytest.raises(InputError, match=r"images have shape \(5, 2, 2, 2\), expected \(n, channels, height, width\)"):
        to_pictures(np.repeat(images, 2, axis=1))
    with pytest.raises(InputError, match=r"images hold values from -1 to 1, expected 0 to 1 or uint8"):
        to_pictures(2 * images - 1)
    with pytest.raises(InputError, match="images: 20 of 20 values are NaN"):
        to_pictures(images * np.nan)
    with pytest.raises(InputError, match="got 1 captions for 5 images"):
        image_grid(images, ["one"], title="t")
    with pytest.raises(InputError, match=r"labels have shape \(4,\), expected \(5,\); pass one entry per image"):
        worst_mistakes(images, labels[:4], predictions, probabilities, CLASSES)
    with pytest.raises(InputError, match=r"probabilities have shape \(5, 3\), expected \(5, 4\) or \(5,\)"):
        worst_mistakes(images, labels, predictions, probabilities[:, :3], CLASSES)
    with pytest.raises(InputError, match="probabilities: 20 of 20 values are NaN"):
        worst_mistakes(images, labels, predictions, probabilities * np.nan, CLASSES)
