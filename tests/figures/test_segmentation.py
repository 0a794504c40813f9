import numpy as np
import pytest

from glassnet import figures
from glassnet.errors import InputError
from glassnet.figures.images import MARGIN
from glassnet.figures.segmentation import (
    BACKGROUND,
    GAP,
    INVENTED,
    MISSED,
    MISTAKEN,
    OBJECT,
    RIGHT,
    SIDE,
    UNJUDGED,
    WRONG,
    mask_colour,
    mistake_colours,
    overlay,
    report_colours,
)

TRUTH = np.array([[0, 0, 1], [1, 1, 255]], np.uint8)
GUESS = np.array([[0, 2, 1], [2, 0, 1]], np.uint8)


def test_the_reports_colours_by_hand():
    black = (0.0, 0.0, 0.0)
    expected = [[black, WRONG, RIGHT], [WRONG, black, UNJUDGED]]
    np.testing.assert_array_equal(report_colours(TRUTH, GUESS), expected)


def test_each_kind_of_mistake_has_its_colour_by_hand():
    expected = [[BACKGROUND, INVENTED, OBJECT], [MISTAKEN, MISSED, UNJUDGED]]
    np.testing.assert_array_equal(mistake_colours(TRUTH, GUESS), expected)
    void_called_background = mistake_colours(np.full((1, 1), 255, np.uint8), np.zeros((1, 1), np.uint8))
    np.testing.assert_array_equal(void_called_background, [[UNJUDGED]])


def test_an_object_missed_whole_is_not_as_dark_as_the_background(unchecked, texts):
    def draw(**changes):
        return figures.segmentation_grid(
            np.zeros((1, 1, 2, 3)), TRUTH[None], np.zeros((1, 2, 3), np.uint8), ["ground", "a", "b"], ["one"],
            title="t", **changes,
        )  # fmt: skip

    own, reports = draw(), draw(colours="report")
    last = own.axes[0].get_images()[3].get_array()
    np.testing.assert_array_equal(last[1, 0], MISSED)
    np.testing.assert_array_equal(reports.axes[0].get_images()[3].get_array()[1, 0], [0, 0, 0])
    named = {
        "missed: object as background",
        "invented: background as object",
        "mistaken: object as another class",
    }
    assert named <= set(texts(own))
    assert "red: object predicted, but not there" in texts(reports)
    assert not named & set(texts(reports))
    with pytest.raises(InputError, match=r"no colours 'reprot'\. Did you mean report"):
        draw(colours="reprot")


def test_twenty_classes_have_twenty_colours():
    assert len({mask_colour(label) for label in range(1, 21)}) == 20


def test_an_overlay_has_the_classes_colours_over_a_grey_image():
    """A red and a blue pixel as bright as each other look alike, beneath a class and without one."""
    red, blue = np.array([0.38, 0.0, 0.0]), np.array([0.0, 0.0, 0.38 * 0.299 / 0.114])
    picture = np.where((np.arange(3) % 2 == 0)[None, :, None], red, blue).repeat(2, axis=0)
    before = picture.copy()
    shown = overlay(picture, TRUTH)
    bright = 0.38 * 0.299
    np.testing.assert_allclose(shown[TRUTH == 0], bright)
    np.testing.assert_allclose(shown[TRUTH == 1], 0.35 * bright + 0.65 * np.array([[*mask_colour(1)]] * 3))
    np.testing.assert_allclose(shown[TRUTH == 255], 0.35 * bright + 0.65 * UNJUDGED[0])
    np.testing.assert_array_equal(picture, before)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"truth": np.zeros((1, 2, 2), np.uint8)}, "true masks have shape"),
        ({"captions": []}, "there are 0 captions for 1 images"),
    ],
)
def test_what_does_not_fit_is_refused(unchecked, change, message):
    given = {"truth": TRUTH[None], "predicted": GUESS[None], "captions": ["one"]} | change
    with pytest.raises(InputError, match=message):
        figures.segmentation_grid(np.zeros((1, 3, 2, 3)), classes=["ground", "a", "b"], title="t", **given)


def test_a_class_is_named_where_it_is_widest(unchecked):
    """Twenty colours cannot be told apart; a class of a few pixels has no room for its name."""
    truth = np.zeros((20, 20), np.uint8)
    truth[4:11, 2:9] = 1  # 7 x 7, its middle (7, 5)
    truth[4, 9:19] = 1  # with a tail
    truth[15:18, 15:18] = 2  # 9 of 400 pixels
    truth[12:14] = 255
    figure = figures.segmentation_grid(
        np.zeros((1, 3, 20, 20)), truth[None], np.zeros((1, 20, 20), np.uint8),
        ["ground", "golden eagle", "b"], ["one"], title="t",
    )  # fmt: skip
    (name,) = [text for text in figure.axes[0].texts if text.get_fontsize() == 6]
    assert name.get_text() == "golden eag…"
    picture = MARGIN + SIDE + GAP
    assert name.get_position()[0] == pytest.approx(picture + SIDE * 5.5 / 20)
