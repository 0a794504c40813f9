from dataclasses import replace

import numpy as np
import pytest

from glassnet import figures
from glassnet.errors import InputError
from glassnet.figures.faithfulness import LayerShares

AT = np.array([0.0, 0.5, 1.0])
FALL = np.array([[1.0, 0.9, 1.0], [0.5, 0.4, 0.6], [0.0, 0.0, 0.1]])
SHARES = np.array([0.25, 0.5])
NETWORK = LayerShares(["conv1", "conv2"], SHARES, np.stack([SHARES - 0.1, SHARES + 0.1], 1), np.array([28, 14]), 0.125)


def test_numbers_stand_below_the_maps_and_zeros_are_explained(texts):
    images = np.random.default_rng(0).random((2, 1, 4, 4))
    maps = {("gradcam", "conv1"): images[:, 0], ("gradcam", "conv2"): images[:, 0] * np.array([1, 0])[:, None, None]}
    shares = {key: np.array([0.25, np.nan]) for key in maps}
    drawn = figures.attribution_grid(
        images, maps, ["conv1", "conv2"], ["gradcam"], ["a", "b"], numbers=shares, number_name="share inside"
    )
    told = texts(drawn)
    assert told.count("25%") == 2  # NaN is left out
    assert "Below each layer's map: share inside." in told
    assert any(
        text.startswith("all zero: nothing here raises the score, or no gradient reaches the layer") for text in told
    )
    of_input = {**maps, ("smoothgrad", "input"): images[:, 0]}
    numbers = {**shares, ("smoothgrad", "input"): np.array([0.5, 0.5])}
    methods = ["gradcam", "smoothgrad"]
    told = texts(
        figures.attribution_grid(
            images, of_input, ["conv1", "conv2"], methods, ["a", "b"], numbers=numbers, number_name="s"
        )
    )
    assert "50%" not in told  # as the foot says, maps of the input have none
    assert "Below each layer's map: s." in told
    plain = texts(figures.attribution_grid(images, {("gradcam", "c"): images[:, 0]}, ["c"], ["gradcam"], ["a", "b"]))
    assert not any("all zero" in text or "Below each" in text for text in plain)


@pytest.mark.usefixtures("unchecked")
def test_networks_stand_side_by_side_on_their_own_images(texts):
    images = {"own": np.zeros((1, 1, 4, 4)), "vgg": np.zeros((1, 1, 6, 6))}
    maps = {"own": np.ones((1, 4, 4)), "vgg": np.ones((1, 6, 6))}
    told = {"own": ["p(7) = 0.99\nin the stroke 31%"], "vgg": ["p(7) = 0.5"]}
    figure = figures.attribution_strip(images, maps, ["seven"], below=told, notes={"vgg": "features.28, 2 px"})
    found = texts(figure)
    assert {"own", "vgg", "image", "seven", "p(7) = 0.99", "in the stroke 31%", "features.28, 2 px"} <= set(found)
    assert [image.get_array().shape[:2] for image in figure.axes[0].get_images()[:3]] == [(4, 4), (4, 4), (6, 6)]
    with pytest.raises(InputError, match="got images of own and maps of own, vgg, expected images, maps and lines of"):
        figures.attribution_strip({"own": images["own"]}, maps, ["seven"], below=told)
    with pytest.raises(InputError, match="got 2 captions, 1 images and 1 lines of own"):
        figures.attribution_strip(images, maps, ["a", "b"], below=told)
    with pytest.raises(InputError, match=r"the maps of vgg have shape \(1, 4, 4\), expected \(1, 6, 6\)"):
        figures.attribution_strip(images, {**maps, "vgg": maps["own"]}, ["a"], below=told)


@pytest.mark.usefixtures("unchecked")
def test_curves_have_their_area_in_the_legend(texts):
    curves = {("gradcam", "conv1"): FALL, ("saliency", "input"): FALL[::-1]}
    told = texts(figures.faithfulness_curves(AT, curves, curves, random=(FALL, FALL)))
    assert told.count("conv1 0.500") == 2
    assert told.count("random order 0.500") == 4
    assert "Grad-CAM: deletion, lower is better" in told
    with pytest.raises(InputError, match="got 0 deletion and 2 insertion curves"):
        figures.faithfulness_curves(AT, {}, curves)
    with pytest.raises(InputError, match=r"curves have shape \(3, 3\), expected \(2, 3\)"):
        figures.faithfulness_curves(AT[:2], curves, curves)
    with pytest.raises(InputError, match="goes from 0 to 2, expected probabilities"):
        figures.faithfulness_curves(AT, {("a", "b"): 2 * FALL}, {("a", "b"): FALL})


@pytest.mark.usefixtures("unchecked")
def test_curves_of_a_score_have_its_own_axis(texts):
    curves = {("gradcam", "conv1"): 4 * FALL - 8}
    drawn = figures.faithfulness_curves(AT, curves, curves, unit="score")
    told = texts(drawn)
    assert "score of the target" in told
    assert "conv1 −6.000" in told or "conv1 -6.000" in told
    assert drawn.axes[0].get_ylim()[0] < -8


def test_shares_stand_beside_a_uniform_maps(texts):
    told = texts(figures.mask_share({"own": NETWORK}))
    assert {"25", "50", "own", "a uniform map", "95% interval over images"} <= set(told)
    assert {"conv1", "28 px", "14 px"} <= set(told)
    with pytest.raises(InputError, match="there is no network"):
        figures.mask_share({})
    with pytest.raises(InputError, match=r"the shares of own go from 0\.125 to 2\.1, expected 0 to 1"):
        figures.mask_share({"own": LayerShares(["a"], SHARES[:1], np.array([[0.2, 2.1]]), np.array([2]), 0.125)})


def test_one_small_network_leaves_room_for_title_legend_and_foot():
    drawn = figures.mask_share(
        {"own": replace(NETWORK, left_out=np.array([3, 0]))}, title="Grad-CAM inside, at each one"
    )
    drawn.canvas.draw()
    title, foot, legend = (part.get_window_extent() for part in (drawn._suptitle, drawn._supxlabel, drawn.legends[0]))
    assert title.x1 < legend.x0
    assert foot.x0 > 0
    assert foot.x1 < drawn.bbox.x1


def test_a_layer_without_a_share_is_a_gap_and_what_is_left_out_is_told(texts):
    gap = np.array([0.25, np.nan])
    network = LayerShares(["a", "b"], gap, np.stack([gap, gap], 1), np.array([4, 2]), 0.5, np.array([0, 1200]))
    drawn = figures.mask_share({"own": network})
    told = texts(drawn)
    assert {"25", "4 px", "2 px", "−1,200"} <= set(told)
    assert any("−n: this many maps are all zero" in text for text in told)
    line = next(line for line in drawn.axes[0].lines if len(line.get_xdata()) == 2 and line.get_marker() == "o")
    assert np.isnan(line.get_ydata()[1])
    none = replace(network, shares=gap * np.nan, intervals=np.full((2, 2), np.nan), left_out=np.array([9, 9]))
    assert "−9" in texts(figures.mask_share({"own": none}))
    assert not any("−" in text for text in texts(figures.mask_share({"own": NETWORK})))
    with pytest.raises(InputError, match="the intervals of own: 1 of 4 values are NaN"):
        figures.mask_share({"own": replace(NETWORK, intervals=np.array([[0.1, 0.3], [np.nan, 0.6]]))})


def test_a_share_of_one_image_has_a_number_and_no_interval(texts):
    """None, as a mean of one value has it, and NaN are the same."""
    for nothing in (None, (None, None), (np.nan, np.nan)):
        drawn = figures.mask_share({"own": replace(NETWORK, intervals=[(0.1, 0.3), nothing])})
        (bars,) = [part for part in drawn.axes[0].collections if len(part.get_segments())]
        assert [segment.tolist() for segment in bars.get_segments() if len(segment)] == [[[0, 0.1], [0, 0.3]]]
        assert {"25", "50"} <= set(texts(drawn))
    none = figures.mask_share({"own": replace(NETWORK, intervals=[None, None])})
    assert not none.axes[0].collections
    assert "95% interval over images" not in texts(none)


def test_curves_of_one_image_have_no_bands(texts):
    at = np.linspace(0, 1, 3)
    alone = np.stack([1 - at, at * np.nan, at * np.nan], axis=1)
    key = ("gradcam", "conv1")
    drawn = figures.faithfulness_curves(at, {key: alone}, {key: alone})
    bands = [path for part in drawn.axes[0].collections for path in part.get_paths()]
    assert not [path for path in bands if len(path.vertices)]
    assert not any("bands" in text for text in texts(drawn))
    steps = figures.sanity_curves(["trained", "fc", "conv"], {"gradcam": alone}).axes[0]
    assert not [s for part in steps.collections for s in part.get_segments() if len(s)]
    with pytest.raises(InputError, match="the intervals of the curve of gradcam at conv1: 3 of 6 values are NaN"):
        figures.faithfulness_curves(at, {key: np.stack([at, at, at * np.nan], axis=1)}, {key: alone})


@pytest.mark.usefixtures("unchecked")
def test_the_randomisation_names_its_steps(texts):
    told = texts(figures.sanity_curves(["trained", "fc2", "conv1"], {"guided_backpropagation": FALL}))
    assert {"fc2", "conv1", "Guided backpropagation", "0.5: above it, the randomisation goes unnoticed"} <= set(told)
    with pytest.raises(InputError, match="got 0 methods and 3 steps"):
        figures.sanity_curves(["trained", "a", "b"], {})
    with pytest.raises(InputError, match=r"the correlations of a have shape \(3, 3\), expected \(2, 3\)"):
        figures.sanity_curves(["trained", "b"], {"a": FALL})
    with pytest.raises(InputError, match="the correlations of a are not all between -1 and 1"):
        figures.sanity_curves(["trained", "b", "c"], {"a": 2 * FALL})
