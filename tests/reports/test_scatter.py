import base64
import re

import numpy as np
import pytest

from glassnet.blocks import Points, Scatter, Thumbnails
from glassnet.errors import InputError
from glassnet.reports.scatter import HEIGHT, MARGIN, WIDTH, points_data, project, scatter_view

COLOURS = ("#111111", "#222222")


def points(labels, **more) -> Points:
    names = tuple(f"image {k}" for k in range(len(labels)))
    return Points(names, np.array(labels), ("a", "b", "c"), COLOURS, **more)


def view(positions, labels, **more):
    return scatter_view(Scatter("t-SNE", "Points.", np.array(positions, dtype=float), points(labels, **more)))


def test_two_dimensions_fill_the_drawing_at_one_scale():
    result = view([[0, 0], [4, 0], [2, 1]], [0, 0, 1])
    assert re.findall(r"M(\d+) (\d+)h0", result.dots[0].path) == [
        (str(MARGIN), "331"), (str(WIDTH - MARGIN), "331"),
    ]  # fmt: skip
    assert result.dots[1].path == "M300 189h0"  # 4 units are 568 wide, so 1 unit is 142 high
    assert not result.three


def test_the_script_gets_the_positions_that_are_drawn():
    result = view([[0, 0, 0], [2, 0, 0], [1, 3, 1]], [0, 1, 2])
    packed = np.frombuffer(base64.b64decode(result.data["positions"]), "<i2").reshape(3, 3) / 10_000
    x, y, _ = project(packed)
    drawn = re.findall(r"M(\d+) (\d+)h0", "".join(dots.path for dots in result.dots))
    assert sorted(drawn) == sorted((f"{a:.0f}", f"{b:.0f}") for a, b in zip(x, y, strict=True))
    assert np.linalg.norm(packed, axis=1).max() == pytest.approx(1, abs=1e-4)


def test_three_dimensions_stay_in_the_drawing_however_they_turn():
    random = np.random.default_rng(0)
    sphere = random.normal(size=(200, 3))
    sphere /= np.linalg.norm(sphere, axis=1, keepdims=True)
    x, y, depth = project(sphere)
    assert x.min() >= (WIDTH - HEIGHT) / 2 + MARGIN
    assert y.min() >= MARGIN
    assert y.max() <= HEIGHT - MARGIN
    centred = np.stack([x - WIDTH / 2, HEIGHT / 2 - y], axis=1) / (HEIGHT / 2 - MARGIN)
    assert np.allclose((centred**2).sum(axis=1) + depth**2, 1)  # a turn keeps lengths


def test_near_points_are_drawn_last_and_larger():
    dots = view(np.random.default_rng(0).normal(size=(60, 3)), [0] * 60).dots
    assert [d.size for d in dots] == sorted(d.size for d in dots)
    assert dots[0].opacity < dots[-1].opacity


def test_more_classes_than_colours_are_squares():
    assert [(name, colour, cap) for name, colour, cap, _ in view(np.eye(3)[:, :2], [0, 1, 2]).legend] == [
        ("a", "#111111", "round"), ("b", "#222222", "round"), ("c", "#111111", "square"),
    ]  # fmt: skip


def test_wrong_points_have_a_ring_and_small_classes_no_name():
    result = view(np.random.default_rng(0).normal(size=(6, 2)), [0] * 5 + [1], predicted=np.array([0, 0, 0, 0, 2, 1]))
    assert result.wrong.count("M") == 1
    assert [name for name, _, _ in result.names] == ["a"]


def test_one_point_and_equal_points_are_drawn_in_the_middle():
    assert view([[5, 5]], [0]).dots[0].path == "M300 260h0"
    assert view([[1, 1, 1]] * 2, [0, 0]).dots[0].path == "M300 260h0" * 2


def test_what_is_known_of_the_images_is_packed():
    tiles = Thumbnails(b"png", 8, 8, 2)
    data = points_data(points([0, 1], predicted=np.array([0, 0]), examples=np.array([-1, 4]), thumbnails=tiles))
    assert data["predicted"] == [0, 0]
    assert data["examples"] == [-1, 4]
    assert data["tiles"] == {"png": "data:image/png;base64,cG5n", "width": 8, "height": 8, "columns": 2}


def test_positions_of_another_number_are_refused():
    with pytest.raises(InputError, match=r"t-SNE: points have shape \(2, 4\), expected \(1, 2\) or \(1, 3\)"):
        view(np.zeros((2, 4)), [0])
