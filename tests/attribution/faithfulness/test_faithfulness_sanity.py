import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

import glassnet as gn
from glassnet.attribution.faithfulness import (
    SanityCheck,
    agreement,
    rank_correlation,
    sanity_check,
    structural_similarity,
)
from glassnet.errors import InputError


def test_rank_correlation_by_hand_and_as_scipy_has_it():
    a = np.array([[[1.0, 2.0], [3.0, 4.0]]])
    assert rank_correlation(a, 10 * a**3).tolist() == [1]
    assert rank_correlation(a, -a[:, ::-1, ::-1]).tolist() == [-1]  # magnitudes 4, 3, 2, 1
    # Ranks 1 2 3 4 against 2 1 4 3: 1 - 6 * 4 / (4 * 15).
    assert rank_correlation(a, a[:, :, ::-1]) == pytest.approx([0.6])
    random = np.random.default_rng(0)
    first, second = random.integers(0, 5, (2, 6, 7, 5)).astype(float)
    expected = [stats.spearmanr(x.ravel(), y.ravel()).statistic for x, y in zip(first, second, strict=True)]
    np.testing.assert_allclose(rank_correlation(first, second), expected, atol=1e-12)


def test_a_constant_map_ranks_nothing():
    flat, other = np.zeros((1, 3, 3)), np.arange(9.0).reshape(1, 3, 3)
    assert [rank_correlation(x, y)[0] for x, y in ((flat, other), (other, flat), (flat, flat + 2))] == [0, 0, 1]


def test_structural_similarity_equals_a_slow_reference():
    random = np.random.default_rng(0)
    a, b = random.random((2, 1, 9, 8))
    window = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    window /= window.sum()
    x, y = (np.pad(m[0] / m.max(), 5, mode="symmetric") for m in (a, b))
    local = []
    for row in range(9):
        for column in range(8):
            weights = np.outer(window, window)
            p, q = (m[row : row + 11, column : column + 11] for m in (x, y))
            mp, mq = (weights * p).sum(), (weights * q).sum()
            vp, vq = (weights * (p - mp) ** 2).sum(), (weights * (q - mq) ** 2).sum()
            shared = (weights * (p - mp) * (q - mq)).sum()
            top = (2 * mp * mq + 1e-4) * (2 * shared + 9e-4)
            local.append(top / ((mp**2 + mq**2 + 1e-4) * (vp + vq + 9e-4)))
    np.testing.assert_allclose(structural_similarity(a, b), [np.mean(local)], rtol=1e-9)
    np.testing.assert_allclose(structural_similarity(a, 7 * a), [1])


def edges(images):
    """A broken method: an edge detector, which never looks at the model."""

    def mapper(_model):
        pixels = images.numpy()[:, 0]
        return np.abs(np.gradient(pixels, axis=1)) + np.abs(np.gradient(pixels, axis=2))

    return mapper


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A small network that knows digits, and digits that it was not trained on."""
    out = tmp_path_factory.mktemp("runs") / "digits"
    options = ("filters=8,8,16,16", "hidden=32")
    run = gn.train(gn.TrainSettings(model_options=options, epochs=2, precision="fp32", out=out))
    return run.model(), run.dataset().test.images[::50].float() / 255


def test_the_check_fails_for_a_method_that_ignores_the_model(trained):
    model, images = trained
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    found = sanity_check(model, images, methods="gradcam", own={"edges": edges(images)})
    assert found.layers == (
        "trained",
        "fc2",
        "bn5",
        "fc1",
        "bn4",
        "conv4",
        "bn3",
        "conv3",
        "bn2",
        "conv2",
        "bn1",
        "conv1",
    )
    assert found.passes("edges") is False
    assert np.all(found.rank_correlation["edges"] == 1)
    np.testing.assert_allclose(found.similarity["edges"], 1)
    assert found.passes("gradcam")
    assert found.steps("gradcam")[0].mean == pytest.approx(1)
    assert found.rank_correlation["gradcam"].shape == (12, 20)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize(
    ("half_way", "at_the_end", "expected"),
    [
        ([0.1, 0.2, 0.3, 0.2], [0.1, 0.0, -0.1, 0.2], True),
        ([0.1, 0.2, 0.3, 0.2], [0.9, 0.8, 0.9, 0.7], False),
        ([0.9, 0.2, 0.9, 0.8], [0.9, 0.8, 0.9, 0.7], False),
        ([0.9, 0.2, 0.9, 0.3], [0.1, 0.0, -0.1, 0.2], None),  # a mean of 0.58, but few images: 0.25 to 0.9
        ([np.nan] * 4, [0.1, 0.0, -0.1, 0.2], None),
    ],
)
def test_a_verdict_needs_the_whole_interval_on_one_side(half_way, at_the_end, expected):
    rows = np.array([[1.0] * 4, half_way, at_the_end])
    found = SanityCheck(("trained", "fc", "conv"), {"it": rows}, {"it": rows}, seed=0)
    assert found.passes("it") is expected


def test_guided_backpropagation_is_known_to_see_little_of_lost_weights(trained):
    # Adebayo et al. 2018, section 4: its maps hardly change when the upper layers are randomised.
    model, images = trained
    found = sanity_check(model, images, methods=["gradcam", "guided_backpropagation"])
    upper = found.layers.index("fc1")  # fully connected layers lost
    guided, cam = (found.rank_correlation[m].mean(axis=1) for m in ("guided_backpropagation", "gradcam"))
    assert guided[upper] > 0.75
    assert cam[upper] < 0.4
    assert found.passes("guided_backpropagation") is False
    assert found.passes("gradcam")


def test_the_same_seed_gives_the_same_weights(trained):
    model, images = trained
    first, again, other = (sanity_check(model, images[:3], methods="gradcam", seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.rank_correlation["gradcam"], again.rank_correlation["gradcam"])
    assert not np.array_equal(first.rank_correlation["gradcam"], other.rank_correlation["gradcam"])


def test_a_layer_may_be_a_module(trained):
    model, images = trained
    named, given = (
        sanity_check(model, images[:3], methods="gradcam", layers=layer) for layer in ("conv3", model.conv3)
    )
    np.testing.assert_array_equal(named.rank_correlation["gradcam"], given.rank_correlation["gradcam"])


def test_what_cannot_be_checked_is_refused(images):
    with pytest.raises(InputError, match="methods is empty and no maps of your own are given"):
        sanity_check(nn.Flatten(), images, methods=[])
    with pytest.raises(InputError, match="the model has no weights to randomise"):
        sanity_check(nn.Flatten(), images, methods=[], own={"edges": edges(images)}, target=0)


def test_agreement_of_methods(trained):
    model, images = trained
    explanation = gn.explain(
        model, images, layers=["conv2", "conv4"], methods=["gradcam", "guided_backpropagation", "guided_gradcam"]
    )
    found = agreement(explanation)
    assert list(found) == [
        (first, second, layer)
        for first, second in (
            ("gradcam", "guided_backpropagation"),
            ("gradcam", "guided_gradcam"),
            ("guided_backpropagation", "guided_gradcam"),
        )
        for layer in ("conv2", "conv4")
    ]
    expected = rank_correlation(explanation["gradcam", "conv4"], explanation["guided_backpropagation", "input"])
    one = found["gradcam", "guided_backpropagation", "conv4"]
    assert one.mean == pytest.approx(expected.mean())
    assert one.low < one.mean < one.high


def test_what_does_not_apply_is_left_out_and_printed_once_and_one_image_decides_nothing(build_network, images, capsys):
    checked = sanity_check(build_network("tanh"), images[:1])
    assert list(checked.rank_correlation) == ["gradcam"]
    assert capsys.readouterr().err.count("left out Guided backpropagation") == 1
    assert checked.steps("gradcam")[-1].low is None
    assert checked.passes("gradcam") is None


@pytest.mark.parametrize("target", [[[0, 1]], [[3]]])
def test_several_classes_an_image_are_refused_as_their_maps_would_be_read_as_channels(trained, target):
    model, images = trained
    explanation = gn.explain(model, images[:2], target=target, layers="conv4", methods=["gradcam", "hirescam"])
    message = rf"targets have shape \(2, {len(target[0])}\), expected \(2,\), one class per image; explain and compare"
    with pytest.raises(InputError, match=message):
        agreement(explanation)
    with pytest.raises(InputError, match=message):
        sanity_check(model, images[:2], target=target)
