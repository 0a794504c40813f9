"""Sheets of channels: crops with their frames, bars by class, numbers as they are."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle

from glassnet import figures
from glassnet.errors import InputError
from glassnet.figures.channels import BARS, BOXED, TILE, ChannelRow, crop_around
from glassnet.figures.style import ACCENT


def images(n, side):
    return np.random.default_rng(0).random((n, 1, side, side))


def row(number=0, side=28, **more):
    box = np.array([[2, 3, 9, 12]] * 3)
    return ChannelRow(f"channel {number}", ("active in 10.0% of images",), images(3, side), box, **more)


def rectangles(figure, colour):
    (axes,) = figure.axes
    of = [one for one in axes.patches if isinstance(one, Rectangle)]
    return [one for one in of if to_hex(one.get_edgecolor() if colour == BOXED else one.get_facecolor()) == colour]


def test_a_frame_is_where_the_channel_looks():
    figure = figures.channel_sheet([row()], title="Sheet")
    frames = rectangles(figure, BOXED)
    assert len(frames) == 3
    pixel = TILE / 28
    assert [(one.get_width() / pixel, one.get_height() / pixel) for one in frames] == [pytest.approx((7, 9))] * 3
    first = figure.axes[0].images[0].get_extent()  # left, right, bottom, top
    assert frames[0].get_x() - first[0] == pytest.approx(2 * pixel)
    assert frames[0].get_y() - first[3] == pytest.approx(3 * pixel)


@pytest.mark.parametrize(
    ("side", "box", "expected"),
    [
        (28, (2, 3, 9, 12), (0, 0, 28)),  # few pixels: all
        (224, (100, 100, 103, 103), (87, 87, 28)),  # a small field, with what is around it
        (224, (100, 60, 140, 100), (90, 50, 60)),  # one and a half times the field
        (224, (0, 200, 20, 224), (0, 188, 36)),  # within the picture
        (224, (0, 0, 200, 224), (0, 0, 224)),  # most of it: all
    ],
)
def test_large_images_are_cut_around_what_was_seen(side, box, expected):
    picture = np.arange(side * side * 3, dtype=float).reshape(side, side, 3)
    x, y, crop = crop_around(picture, np.array(box))
    assert (x, y, crop.shape) == (*expected[:2], (expected[2], expected[2], 3))
    assert (crop == picture[y : y + expected[2], x : x + expected[2]]).all()
    assert x <= box[0]
    assert x + expected[2] >= box[2]


def test_few_short_names_have_a_bar_each_as_long_as_their_mean():
    bars = np.array([0.5, 2.0, np.nan, 1.0])
    figure = figures.channel_sheet([row(bars=bars)], title="Sheet", classes=["0", "1", "2", "3"])
    drawn = rectangles(figure, ACCENT)
    heights = np.array([one.get_height() for one in drawn])
    assert heights / heights.max() == pytest.approx([0.25, 1, 0, 0.5])
    assert sum(one.get_width() for one in drawn) == pytest.approx(0.8 * BARS)


def test_of_many_classes_the_strongest_are_named(texts):
    names = [f"kind of dog {i}" for i in range(30)]
    bars = np.linspace(0, 1, 30)
    figure = figures.channel_sheet([row(bars=bars)], title="Sheet", classes=names)
    widths = np.array([one.get_width() for one in rectangles(figure, ACCENT)])
    assert widths / widths.max() == pytest.approx(bars[:-6:-1])
    shown = texts(figure)
    assert [name for name in names if name in shown] == names[-5:]


def test_its_own_picture_stands_beside_what_it_reaches(texts):
    made = np.zeros((1, 5, 5), np.float32)
    sheet = figures.channel_sheet([row(picture=made, reach="1.80×, rank 1"), row(1)], title="Sheet", note="as it is")
    assert len(sheet.axes[0].images) == 7
    assert {"1.80×, rank 1", "synthetic image", "channel 0", "channel 1", "as it is"} <= set(texts(sheet))
    assert "synthetic image" not in texts(figures.channel_sheet([row()], title="Sheet"))


@pytest.mark.parametrize(
    ("rows", "classes", "message"),
    [
        ([], (), "there are no channels to draw"),
        ([row(bars=np.ones(2))], ("a",), r"bars have shape \(2,\), expected \(1,\)"),
        ([ChannelRow("channel 0", (), images(2, 9) * 9)], (), "expected 0 to 1"),
    ],
)
def test_what_cannot_be_drawn_is_refused(rows, classes, message):
    with pytest.raises(InputError, match=message):
        figures.channel_sheet(rows, title="Sheet", classes=classes)


def test_frames_that_are_not_one_an_image_are_refused(unchecked):
    wrong = ChannelRow("channel 0", (), images(2, 9), np.ones((3, 4), int))
    with pytest.raises(InputError, match=r"boxes have shape \(3, 4\), expected \(2, 4\)"):
        figures.channel_sheet([wrong], title="Sheet")


def test_rows_stand_apart_where_there_are_many_facts():
    full = replace(row(), facts=tuple(f"fact {n}" for n in range(9)))
    sheet = figures.channel_sheet([full, row(1)], title="Sheet")
    place = {one.get_text(): one.get_position()[1] for one in sheet.axes[0].texts}
    names = sorted(one.get_position()[1] for one in sheet.axes[0].texts if one.get_text().startswith("channel"))
    assert names[0] < place["fact 8"] < names[1]
