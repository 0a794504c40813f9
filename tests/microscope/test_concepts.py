"""Concepts: factors that add up to the activations, and the share of a score's variance that hangs on each."""

import json

import numpy as np
import pytest
import torch
from scipy.optimize import nnls
from torch import nn

import glassnet as gn
from glassnet.errors import InputError
from glassnet.microscope.factors import coefficients, fit_bank
from glassnet.microscope.layer import find_layer
from glassnet.microscope.sobol import make_design
from glassnet.models.inference import call_model
from glassnet.stats import mean_ci
from odd_nets import Tokens
from tiny_nets import TinyNet, coloured

IMAGES, LABELS = coloured(10, height=16, width=16)
PIXELS = torch.from_numpy(IMAGES).float() / 255


@pytest.fixture(scope="module")
def found():
    return gn.concepts(TinyNet(), IMAGES, "relu:1", 3, target=1, points=16, batch_size=7)


class Parts(nn.Module):
    """Vectors that are made of two parts, the first three channels and the last two; class 1 counts the first alone."""

    def __init__(self):
        super().__init__()
        self.flatten, self.fc1, self.relu, self.fc2 = nn.Flatten(), nn.Linear(2, 5), nn.ReLU(), nn.Linear(5, 2)
        with torch.no_grad():
            self.fc1.weight[:] = torch.tensor([[1.0, 0], [2, 0], [3, 0], [0, 1], [0, 2]])
            self.fc1.bias.zero_()
            self.fc2.weight[:] = torch.tensor([[1.0, 0, 0, 2, 1], [1, 1, 1, 0, 0]])

    def forward(self, x):
        return self.fc2(self.relu(self.fc1(self.flatten(x))))


def slow_jansen(function, design):
    """The estimator as plain loops over points and inputs."""
    values = [function(point) for point in (*design.first, *design.second)]
    mean = sum(values) / len(values)
    variance = sum((one - mean) ** 2 for one in values) / len(values)
    indices = []
    for number in range(design.first.shape[1]):
        total = 0.0
        for one, other in zip(design.first, design.second, strict=True):
            mixed = one.copy()
            mixed[number] = other[number]
            total += (function(one) - function(mixed)) ** 2
        indices.append(total / (2 * len(design.first) * variance))
    return indices


def test_jansen_as_plain_loops():
    def function(x):
        return x[0] * x[1] + np.sin(3 * x[2]) - x[0]

    design = make_design(3, 16, seed=1)
    values = np.array([function(point) for point in design.points])
    np.testing.assert_allclose(design.total_indices(values), slow_jansen(function, design), rtol=1e-12)


def test_indices_of_a_linear_function_are_known():
    """Of sum a_i x_i they are a_i² / sum a², there being no interactions."""
    weights = np.array([3.0, 2.0, 1.0, 0.0])
    design = make_design(4, 1024, seed=0)
    indices = design.total_indices(design.points @ weights)
    np.testing.assert_allclose(indices, weights**2 / (weights**2).sum(), atol=0.01)
    assert indices[3] == 0


def test_indices_of_a_product_count_the_interaction_for_both():
    """Of x y, uniform: Var = 1/9 - 1/16 = 7/144, and each total index is E[y²] Var x = 1/36 of it."""
    design = make_design(2, 1024, seed=0)
    indices = design.total_indices(design.points.prod(axis=1))
    np.testing.assert_allclose(indices, [4 / 7, 4 / 7], atol=0.03)


def test_intervals_over_independent_designs_cover_the_index():
    """Few masks leave an error in each index. Over designs of other seeds it is spread, and no common offset."""
    covered, means = [], []
    for seed in range(40):
        designs = [make_design(2, 32, seed=(seed, number)) for number in range(24)]
        indices = np.array([one.total_indices(one.points.prod(axis=1))[0] for one in designs])
        mean = mean_ci(indices, seed=seed)
        covered.append(mean.low <= 4 / 7 <= mean.high)
        means.append(mean.mean)
    assert np.mean(covered) >= 0.85
    assert np.mean(means) == pytest.approx(4 / 7, abs=0.01)


def test_intervals_of_importance_cover_what_endless_masks_would_give():
    """All images are alike but for their scale: each has an index of 16/17, which 32 masks meet with an error."""
    scale = torch.linspace(0.5, 1.5, 24).view(24, 1, 1, 1)
    images = scale * torch.ones(1, 1, 1, 2)
    images[:2, ..., 0] = images[2:4, ..., 1] = 0  # so that the concepts are the two parts
    covered, means = [], []
    for seed in range(12):
        result = gn.concepts(Parts(), images, "relu", 2, target=0, points=32, seed=seed)
        by_image = result.importance_by_image[4:, 0]
        assert by_image.std() > 0.005
        low, high = result.intervals[0]
        covered.append(low <= (2 + 20 * 16 / 17) / 24 <= high)
        means.append(by_image.mean())
    assert np.mean(covered) >= 0.85
    assert np.mean(means) == pytest.approx(16 / 17, abs=0.01)


def test_the_masks_of_an_image_do_not_depend_on_the_batch():
    one, other = (gn.concepts(TinyNet(), IMAGES, "relu:1", 2, points=4, batch_size=size) for size in (3, 10))
    np.testing.assert_allclose(one.importance_by_image, other.importance_by_image, atol=1e-4)


class NoGradient(nn.Module):
    """Steps have no gradient, and renorm is an operation that is followed by its gradient alone."""

    def __init__(self):
        super().__init__()
        self.conv, self.act, self.fc = nn.Conv2d(3, 3, 1), nn.ReLU(), nn.Linear(3, 2)

    def forward(self, x):
        return self.fc(self.act(torch.renorm(torch.round(4 * self.conv(x)), 2, 0, 9.0)).mean((2, 3)))


def test_without_a_receptive_field_there_are_no_boxes():
    images = torch.rand(6, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = NoGradient()
    with pytest.raises(InputError, match="its gradient is 0 everywhere"):
        gn.receptive_field(net, "act", 8)
    result = gn.concepts(net, images, "act", 2, points=4)
    assert result.top_boxes is None
    assert result.to_json()["concepts"][0]["top_boxes"] is None
    assert result.maps(0).shape == (6, 8, 8)


@pytest.mark.usefixtures("unchecked")
def test_numpys_numbers_are_numbers():
    options = {
        "k": np.int64(2),
        "points": np.int32(4),
        "top": np.int64(3),
        "seed": np.int64(1),
        "most_rows": np.int64(99),
    }
    result = gn.concepts(TinyNet(), IMAGES, "relu:1", target=np.int64(1), **options)
    plain = gn.concepts(TinyNet(), IMAGES, "relu:1", target=1, k=2, points=4, top=3, seed=1, most_rows=99)
    assert json.dumps(result.to_json()) == json.dumps(plain.to_json())
    assert plain.target == 1


def test_a_constant_has_no_indices():
    design = make_design(2, 4, seed=0)
    assert np.isnan(design.total_indices(np.full(len(design.points), 7.3))).all()


def test_coefficients_are_the_nearest_non_negative():
    rng = np.random.default_rng(0)
    bank, rows = rng.random((3, 6)), rng.random((20, 6))
    expected = [nnls(bank.T, row)[0] for row in rows]
    np.testing.assert_allclose(coefficients(rows, bank), expected, atol=1e-6)


def test_the_bank_finds_the_factors():
    """There is one factorisation where the directions overlap in no channel, and some rows hold one of them alone."""
    directions = np.array([[1.0, 2, 0, 0], [0, 0, 3, 1]])
    strength = np.random.default_rng(0).random((50, 2))
    strength[:10, 0] = strength[10:20, 1] = 0
    rows = strength @ directions
    bank = fit_bank(rows, 2, seed=0, most_rows=40)
    lengths = np.linalg.norm(directions, axis=1, keepdims=True)
    order = np.argsort(-bank[:, 0])
    np.testing.assert_allclose(bank[order], directions / lengths, atol=1e-3)


def test_parts_and_their_importance_for_each_class():
    images = torch.rand(12, 1, 1, 2, generator=torch.Generator().manual_seed(0)) + 0.1
    images[:3, ..., 0] = images[3:6, ..., 1] = 0
    result = gn.concepts(Parts(), images, "relu", 2, target=1, points=64)
    assert result.reconstruction_error < 1e-3
    assert result.logit_r2 == pytest.approx(1, abs=1e-4)
    assert result.agreement == 1
    np.testing.assert_allclose(result.bank[0], np.array([1, 2, 3, 0, 0]) / 14**0.5, atol=1e-2)
    np.testing.assert_allclose(result.importance, [1, 0], atol=0.15)
    both = gn.concepts(Parts(), images, "relu", 2, target=0, points=64)
    # Class 0 is x + 4 y, whose indices for an image are x² and 16 y² by their sum.
    x, y = images.flatten(1).T.numpy()
    expected = 16 * y**2 / (x**2 + 16 * y**2)
    np.testing.assert_allclose(both.importance_by_image[:, 0], expected, atol=0.05)
    assert both.importance[0] == pytest.approx(expected.mean(), abs=0.02)
    assert both.intervals[0][0] < expected.mean() < both.intervals[0][1]


def test_the_sum_over_concepts_misses_the_activations_by_the_error_stated(found):
    net = TinyNet().eval()
    with torch.no_grad():
        maps = net.relu(net.conv2(net.relu(net.bn(net.conv1(PIXELS))))).numpy()
        kept = net.fc2(net.relu(net.fc1(torch.from_numpy(found.reconstructed()).mean((2, 3))))).double()
        given = net(PIXELS).double()
    assert found.reconstructed().shape == maps.shape
    missed = np.linalg.norm(found.reconstructed() - maps) / np.linalg.norm(maps)
    assert found.reconstruction_error == pytest.approx(missed, rel=1e-4)
    assert 0 < missed < 0.6
    r2 = 1 - ((given - kept) ** 2).sum() / ((given - given.mean(0)) ** 2).sum()
    assert found.logit_r2 == pytest.approx(r2.item(), abs=1e-4)
    assert found.agreement == (given.argmax(1) == kept.argmax(1)).double().mean()


def test_importance_equals_whole_passes_with_masked_concepts(found):
    """The slow way: the activations are put together for each mask, and the rest of the network is written out."""
    net = TinyNet().eval()
    designs = [make_design(3, 16, seed=(0, number)) for number in range(len(IMAGES))]
    points = np.stack([one.points for one in designs], axis=1)
    # The masks were drawn for concepts in another order; find it by the best agreement.
    indices = []
    for order in ([0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]):
        values = []
        for mask in points[:, :, order]:
            masked = found.coefficients * mask[:, :, None, None].astype(np.float32)
            maps = torch.from_numpy(np.einsum("nkhw,kc->nchw", masked, found.bank))
            with torch.no_grad():
                values.append(net.fc2(net.relu(net.fc1(maps.mean((2, 3)))))[:, 1].double().numpy())
        values = np.stack(values, axis=1)
        indices.append(np.stack([d.total_indices(own)[order] for d, own in zip(designs, values, strict=True)]))
    gaps = [np.abs(one - found.importance_by_image).max() for one in indices]
    assert min(gaps) < 1e-3
    np.testing.assert_allclose(found.importance, found.importance_by_image.mean(axis=0))
    assert (np.diff(found.importance) <= 0).all()


def test_the_strongest_places_and_maps(found):
    assert found.maps(0).shape == (10, 16, 16)
    field = gn.receptive_field(TinyNet(), "relu:1", 16)
    for concept in range(3):
        strength = found.coefficients[:, concept].reshape(10, -1)
        expected = np.argsort(-strength.max(1), kind="stable")[:9]
        assert found.top_images[concept].tolist() == [n if strength[n].max() > 0 else -1 for n in expected]
        for image, (y, x), value in zip(
            found.top_images[concept], found.top_places[concept], found.top_coefficients[concept], strict=True
        ):
            assert image < 0 or found.coefficients[image, concept, y, x] == value == strength[image].max()
        seen = field.boxes(found.top_places[concept])
        np.testing.assert_array_equal(found.top_boxes[concept], seen * (found.top_images[concept] >= 0)[:, None])
    with pytest.raises(InputError, match="concept is 3, expected 0 to 2"):
        found.maps(3)


def test_it_repeats_bit_for_bit_and_leaves_the_model(found):
    net = TinyNet()
    state = {name: one.clone() for name, one in net.state_dict().items()}
    before = torch.random.get_rng_state()
    again = gn.concepts(net, IMAGES, "relu:1", 3, target=1, points=16, batch_size=7)
    assert torch.equal(before, torch.random.get_rng_state())
    assert again.to_json() == found.to_json()
    assert np.array_equal(again.coefficients, found.coefficients)
    assert net.training
    assert all(one.requires_grad for one in net.parameters())
    assert not any(module._forward_hooks for module in net.modules())
    assert all(torch.equal(one, state[name]) for name, one in net.state_dict().items())
    json.dumps(again.to_json(), allow_nan=False)


class Encoder(Tokens):
    """Tokens behind a class token."""

    def __init__(self):
        super().__init__()
        self.token, self.act, self.norm = nn.Parameter(torch.ones(1, 1, 8)), nn.ReLU(), nn.LayerNorm(8)

    def mix(self, tokens):
        return self.norm(self.act(torch.cat([self.token.expand(len(tokens), 1, 8), tokens], dim=1)))


def test_tokens_keep_what_is_no_grid():
    layer = find_layer(Encoder(), "act", IMAGES, call_model)
    value = torch.rand(5, 17, 8)
    maps = layer.to_maps(("act", 0), value, 5)
    assert torch.equal(maps, value[:, 1:].transpose(1, 2).reshape(5, 8, 4, 4))
    assert torch.equal(layer.with_maps(("act", 0), value, maps), value)
    emptied = layer.with_maps(("act", 0), value, 0 * maps)
    assert torch.equal(emptied[:, 0], value[:, 0])
    assert not emptied[:, 1:].any()
    result = gn.concepts(Encoder(), IMAGES, "act", 4, points=4)
    assert result.coefficients.shape == (10, 4, 4, 4)
    assert result.importance[0] > 0


def test_one_image_and_constant_images():
    one = gn.concepts(TinyNet(), IMAGES[:1], "relu:1", 2, points=4)
    assert one.intervals == (None, None)
    assert one.logit_r2 is None
    flat = gn.concepts(TinyNet(), torch.full((3, 3, 16, 16), 0.5), "relu:1", 1, points=128)
    assert flat.reconstruction_error < 1e-3
    assert flat.importance[0] == pytest.approx(1, abs=0.03)  # of one concept, it is all


def test_a_score_that_hangs_on_nothing_has_no_importance():
    result = gn.concepts(TinyNet(), IMAGES, "relu:1", 2, points=4, target=lambda output: 0 * output[:, 0] + 1)
    assert np.isnan(result.importance).all()
    assert result.to_json()["concepts"][0]["importance"] is None
    assert "first importance –" in repr(result)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"layer": "relu"},
            "the calls of layer 'relu' give different numbers of channels; name one call",
        ),
        ({"layer": "conv2"}, "gives negative activations, down to -.*; choose a layer after a ReLU"),
        ({"k": 9}, "k is 9, expected 1 to 8 concepts"),
        ({"target": 3}, "target is 3, expected a class from 0 to 2"),
        ({"target": lambda output: output}, "expected one score per image"),
        ({"points": 12}, "points is 12, expected a power of two"),
        ({"points": 4.0}, r"points is 4\.0, expected a whole number"),
        ({"k": 2.5}, r"k is 2\.5, expected a whole number"),
        ({"k": 0}, "k is 0, expected at least 1"),
        ({"seed": -1}, "seed is -1, expected 0 to 4294967295"),
        ({"most_rows": 0}, "most_rows is 0, expected at least k = 2"),
        ({"most_rows": 1}, "most_rows is 1, expected at least k = 2"),
        ({"top": 0}, "top is 0, expected at least 1"),
        ({"target": True}, "target is True, expected a class from 0 to 2"),
        ({"target": np.int64(3)}, "target is .*3.*, expected a class from 0 to 2"),
        ({"batch_size": 1.5}, r"batch_size is 1\.5, expected a whole number"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_refusals(options, message):
    with pytest.raises(InputError, match=message):
        gn.concepts(TinyNet(), IMAGES, **({"layer": "relu:1", "k": 2} | options))


def test_dead_and_broken_layers_are_refused():
    net = TinyNet()
    net.conv2.bias.data[:] = -1000
    with pytest.raises(InputError, match="gives only zeros"):
        gn.concepts(net, IMAGES, "relu:1", 2)
    net.conv2.bias.data[1] = float("nan")
    with pytest.raises(InputError, match="gives NaN or infinity for image 0"):
        gn.concepts(net, IMAGES, "relu:1", 2)
