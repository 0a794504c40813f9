import re

import numpy as np
import pytest
from matplotlib.patches import PathPatch

from glassnet.errors import InputError
from glassnet.figures import attribution_grid
from glassnet.figures.attribution import GAP, LEAST, SIDE
from glassnet.figures.overlay import COVER, HEAT, SIGNED

IMAGES = np.array([0.0, 1.0, 0.5, 0.2]).reshape(1, 1, 2, 2).repeat(2, axis=0)
CAM = np.array([[[0, 4], [2, 0]], [[0, 0], [0, 0]]], dtype=np.float32)
GUIDED = np.array([[[[-1, 0.5], [0, 0]]], [[[0, 0], [0, 0]]]], dtype=np.float32)
METHODS = ["gradcam", "guided_gradcam"]
CAPTIONS = ["#7: true 3, predicted 3\np(3) = 0.981", "#9: true 1, predicted 7\np(7) = 0.610"]


def maps(*layers):
    return {(m, layer): array for layer in layers for m, array in zip(METHODS, (CAM, GUIDED), strict=True)}


def corners(figure):
    """Top left corner of each image, by its pixels."""
    return [(round(i.get_extent()[0], 3), round(i.get_extent()[3], 3)) for i in figure.axes[0].get_images()]


def test_tiles_are_columns_of_layers_and_rows_of_methods(texts):
    figure = attribution_grid(IMAGES, maps("conv1", "conv2"), ["conv1", "conv2"], METHODS, CAPTIONS, title="Here")
    told = texts(figure)
    assert told.count("conv1") == told.count("conv2") == told.count("image") == 2
    assert told.count("Grad-CAM") >= 2
    assert {"Here", "#7: true 3, predicted 3", "p(7) = 0.610"} <= set(told)
    assert any("scaled by its own maximum" in text for text in told)
    # The first block: the image and two rows of two; the second one's maps are zero; two colour bars.
    found = corners(figure)
    assert len(found) == 1 + 4 + 1 + 2
    image, *tiles = found[:5]
    by_row = {y: sorted(x for x, other in tiles if other == y) for _, y in tiles}
    assert len(by_row) == 2
    assert len({tuple(xs) for xs in by_row.values()}) == 1
    assert image[1] == min(by_row)


def test_heat_is_as_opaque_as_the_map_is_high():
    figure = attribution_grid(IMAGES, maps("conv1"), ["conv1"], ["gradcam"], CAPTIONS)
    drawn = figure.axes[0].get_images()[1].get_array()
    np.testing.assert_allclose(drawn[0, 0], [0, 0, 0])  # no heat: the image itself
    np.testing.assert_allclose(drawn[1, 1], [0.2, 0.2, 0.2])
    np.testing.assert_allclose(drawn[0, 1], 1 - COVER + COVER * np.array(HEAT(1.0)[:3]))
    np.testing.assert_allclose(drawn[1, 0], 0.5 * (1 - COVER / 2) + COVER / 2 * np.array(HEAT(0.5)[:3]))


def outlined(figure):
    """The straight lines of each outline, as pairs of points, in inches."""
    found = [patch.get_path().vertices for patch in figure.axes[0].patches if isinstance(patch, PathPatch)]
    return [{tuple(map(tuple, line)) for line in np.round(points, 3).reshape(-1, 2, 2)} for points in found]


def test_what_is_explained_is_outlined_on_the_image_and_on_maps_that_are_not_zero(texts):
    regions = np.array([[[True, False], [True, True]]] * 2)
    figure = attribution_grid(IMAGES, maps("conv1"), ["conv1"], ["gradcam"], CAPTIONS, regions=regions)
    lines = outlined(figure)
    assert len(lines) == 2 * 3  # dark and white: two images, and the map of the first
    left, right, down, top = figure.axes[0].get_images()[0].get_extent()
    (x0, x1, x2), (y0, y1, y2) = np.linspace(left, right, 3).round(3), np.linspace(top, down, 3).round(3)
    assert lines[0] == lines[1] == {
        ((x0, y0), (x0, y2)), ((x0, y2), (x2, y2)), ((x2, y1), (x2, y2)),
        ((x1, y1), (x2, y1)), ((x1, y0), (x1, y1)), ((x0, y0), (x1, y0)),
    }  # fmt: skip
    assert "White line: outline of the explained region." in texts(figure)
    empty = attribution_grid(IMAGES, maps("conv1"), ["conv1"], ["gradcam"], CAPTIONS, regions=np.zeros_like(regions))
    assert not any(outlined(empty))
    assert not any("White line" in text for text in texts(empty))
    with pytest.raises(InputError, match=r"regions"):
        attribution_grid(IMAGES, maps("conv1"), ["conv1"], ["gradcam"], CAPTIONS, regions=regions[:1])


def test_colour_images_are_grey_below_the_heat():
    colour = np.array([1, 0, 0]).reshape(1, 3, 1, 1) * np.ones((1, 1, 2, 2))
    drawn = attribution_grid(colour, {("gradcam", "a"): CAM[:1]}, ["a"], ["gradcam"], ["c"]).axes[0].get_images()
    np.testing.assert_allclose(drawn[0].get_array()[0, 0], [1, 0, 0])
    np.testing.assert_allclose(drawn[1].get_array()[0, 0], [0.299] * 3)


def test_signed_maps_keep_their_sign_and_their_strongest_channel():
    values = np.zeros((1, 3, 2, 2))
    values[0, :, 0, 0] = [0.5, -2, 1]
    values[0, :, 1, 1] = [1, 0, 0]
    images = np.zeros((1, 3, 2, 2))
    drawn = attribution_grid(images, {("guided_gradcam", "a"): values}, ["a"], ["guided_gradcam"], ["c"]).axes[0]
    pixels = drawn.get_images()[1].get_array()
    np.testing.assert_allclose(pixels[0, 0], SIGNED(0.0)[:3])
    np.testing.assert_allclose(pixels[1, 1], SIGNED(0.75)[:3])
    np.testing.assert_allclose(pixels[0, 1], SIGNED(0.5)[:3])


def test_maps_of_zeros_say_so_and_are_not_stretched(texts):
    figure = attribution_grid(IMAGES, maps("conv1"), ["conv1"], METHODS, CAPTIONS)
    assert texts(figure).count("all zero") == 2
    tiny = {key: array * np.float32(1e-30) for key, array in maps("conv1").items()}
    assert texts(attribution_grid(IMAGES, tiny, ["conv1"], METHODS, CAPTIONS)).count("all zero") == 2


def test_scales_stand_at_the_foot_for_what_is_shown(texts):
    both = texts(attribution_grid(IMAGES, maps("a"), ["a"], METHODS, CAPTIONS))
    assert {"0", "maximum", "−max", "max"} <= set(both)
    heat = texts(attribution_grid(IMAGES, maps("a"), ["a"], ["gradcam"], CAPTIONS))
    assert "maximum" in heat
    assert "−max" not in heat


def test_sixteen_layers_go_on_below():
    layers = [f"features.{i}" for i in range(16)]
    few = attribution_grid(IMAGES[:1], {k: v[:1] for k, v in maps(*layers).items()}, layers[:8], METHODS, ["c"])
    many = attribution_grid(IMAGES[:1], {k: v[:1] for k, v in maps(*layers).items()}, layers, METHODS, ["c"])
    assert many.get_size_inches()[0] == few.get_size_inches()[0] < 10
    assert many.get_size_inches()[1] > few.get_size_inches()[1] + 1.5
    assert len(set(corners(many))) == 1 + 32 + 2


def test_maps_of_the_input_alone_stand_below_the_image(texts):
    given = {**maps("conv1"), ("guided_backpropagation", "input"): GUIDED}
    figure = attribution_grid(IMAGES, given, ["conv1"], [*METHODS, "guided_backpropagation"], CAPTIONS)
    image, *rest = corners(figure)
    # Below each other: the first image, its map, the first colour bar; the second image's block is beside.
    assert len({y for x, y in (image, *rest) if x == image[0]}) == 3
    assert texts(figure).count("Guided backpropagation") == 2


def test_maps_of_the_input_stand_beside_the_image_where_there_are_no_layers(texts):
    methods = ["guided_backpropagation", "smoothgrad"]
    given = dict.fromkeys(((method, "input") for method in methods), GUIDED[:1])
    figure = attribution_grid(IMAGES[:1], given, [], methods, ["c"])
    (image, top), *tiles = corners(figure)[:3]
    assert [y for _, y in tiles] == [top, top]
    assert [x - image for x, _ in tiles] == pytest.approx([SIDE + GAP, 2 * (SIDE + GAP)], abs=2e-3)
    assert figure.get_size_inches()[0] == LEAST  # the maps fill it
    assert "column per layer" not in " ".join(texts(figure))
    with_layers_named = attribution_grid(IMAGES[:1], given, ["conv1"], methods, ["c"])
    assert corners(with_layers_named) == corners(figure)


def test_six_maps_of_the_input_fill_two_lines():
    methods = [f"m{i}" for i in range(6)]
    figure = attribution_grid(IMAGES[:1], {(m, "input"): GUIDED[:1] for m in methods}, [], methods, ["c"])
    tiles = corners(figure)[:7]
    assert [len({x for x, y in tiles if y == line}) for line in sorted({y for _, y in tiles})] == [4, 3]


def test_small_blocks_stand_side_by_side():
    def blocks(number, layers):
        images, given = IMAGES[:1].repeat(number, axis=0), maps(*layers)
        cam = {("gradcam", layer): given["gradcam", layer][:1].repeat(number, axis=0) for layer in layers}
        figure = attribution_grid(images, cam, layers, ["gradcam"], ["c"] * number)
        return [corner for number, corner in enumerate(corners(figure)[:-1]) if number % (1 + len(layers)) == 0]

    first, second, third = blocks(3, ["a"])
    assert first[1] == second[1] < third[1]
    assert first[0] == third[0] < second[0]
    first, second = blocks(2, ["a", "b"])
    assert first[0] == second[0]


@pytest.mark.parametrize("count", [1, 4, 8])
def test_each_map_is_at_least_160_pixels_wide(count, svg):
    """In a PNG of 150 pixels to the inch, and in a browser, which draws 96 to the inch."""
    layers = [f"conv{i}" for i in range(count)]
    given = {("gradcam", layer): CAM[:1] for layer in layers}
    figure = attribution_grid(IMAGES[:1], given, layers, ["gradcam"], ["c"])
    widths = [left - right for right, left, _, _ in (image.get_extent() for image in figure.axes[0].get_images()[:-1])]
    assert len(widths) == 1 + count
    assert min(widths) >= 160 / 96
    written = re.search(rb'<svg[^>]* width="([\d.]+)pt"', svg(figure))
    assert float(written[1]) == pytest.approx(72 * figure.get_size_inches()[0])


def test_long_captions_are_broken_at_the_blocks_width(texts):
    long = "true soft-coated wheaten terrier, predicted black-and-tan coonhound of the second kind"
    told = texts(attribution_grid(IMAGES[:1], {("gradcam", "a"): CAM[:1]}, ["a"], ["gradcam"], [long + "\np = 1"]))
    assert long not in told
    lines = [line for line in told if line in long and len(line) > 1]
    assert " ".join(lines) == long
    assert max(map(len, lines)) <= 42
    assert "p = 1" in told


def test_a_method_without_a_map_at_one_layer_leaves_a_gap():
    given = {k: v for k, v in maps("a", "b").items() if k != ("gradcam", "b")}
    figure = attribution_grid(IMAGES[:1], {k: v[:1] for k, v in given.items()}, ["a", "b"], METHODS, ["c"])
    assert len(corners(figure)) == 1 + 3 + 2


@pytest.mark.usefixtures("unchecked")
def test_what_does_not_fit_is_refused():
    def refused(match, given=None, layers=("a",), methods=METHODS, captions=CAPTIONS):
        with pytest.raises(InputError, match=match):
            attribution_grid(IMAGES, maps("a") if given is None else given, layers, methods, captions)

    refused("got 2 images and 1 captions, expected one caption per image", captions=["one"])
    refused("there is no map of lrp, expected one at any of a", methods=["gradcam", "lrp"])
    refused("there is no map at b, expected one of any of gradcam, guided_gradcam", layers=["a", "b"])
    refused("there are no maps to draw", methods=[])
    refused(
        r"the maps of gradcam at a have shape \(2, 2, 1\), expected \(2, 2, 2\)",
        {**maps("a"), ("gradcam", "a"): CAM[..., :1]},
    )
    refused("the maps of gradcam at a: 8 of 8 values are NaN", {**maps("a"), ("gradcam", "a"): CAM * np.nan})
