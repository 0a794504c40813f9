"""Pictures that drive channels: what is known by hand, by a slow reference, and by what must not happen."""

import cmath
import copy

import numpy as np
import pytest
import torch
from torch import nn

import glassnet as gn
from glassnet.errors import InputError
from glassnet.microscope.ascent import likeness
from glassnet.microscope.objective import watch
from glassnet.microscope.pictures import Canvas
from glassnet.microscope.window import find_seen, find_window
from odd_nets import ClassToken, Twice
from tiny_nets import TinyNet

QUICK = {"steps": 8, "size": 12}


def cosine(one, other):
    one, other = np.ravel(one), np.ravel(other)
    return one @ other / np.linalg.norm(one) / np.linalg.norm(other)


@pytest.mark.parametrize("colours", [1, 3])
@pytest.mark.parametrize("objective", ["channel", "neuron"])
def test_a_linear_channels_picture_under_a_norm_bound_is_its_filter(colours, objective):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(colours, 4, 5))
    made = gn.visualize(net, "0", objective=objective, size=5, norm=0.4, transforms=None, steps=128, rate=0.2)
    for picture, weight in zip(made.images, net[0].weight.detach().numpy(), strict=True):
        assert cosine(picture - 0.5, weight) >= 0.99
        assert np.linalg.norm(picture - 0.5) == pytest.approx(0.4, rel=1e-4)
    # w (0.5 + 0.4 w / |w|) + b, by hand
    weights, bias = net[0].weight.detach().flatten(1), net[0].bias.detach()
    rise = torch.from_numpy(made.activation) - weights.sum(1) / 2 - bias
    torch.testing.assert_close(rise, 0.4 * weights.norm(dim=1), rtol=0.01, atol=0)


def test_a_neuron_of_a_larger_picture_is_the_filter_at_its_place():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 2, 3, stride=2, bias=False))
    made = gn.visualize(
        net, "0", objective="neuron", place=(1, 2), size=9, norm=0.3, transforms=None, steps=100, rate=0.1
    )
    for picture, weight in zip(made.images - 0.5, net[0].weight.detach().numpy(), strict=True):
        wanted = np.zeros((1, 9, 9))
        wanted[:, 2:5, 4:7] = weight
        assert cosine(picture, wanted) >= 0.99


def slow_reference(net, channel, norm):
    """Climb in pixels, one picture at a time: x <- project(x + step g / |g|), the best of some starts."""
    best, generator = -np.inf, torch.Generator().manual_seed(channel)
    for _ in range(2):
        change = torch.randn(1, 1, 7, 7, generator=generator) * 0.01
        for number in range(120):
            change.requires_grad_()
            (gradient,) = torch.autograd.grad(net(0.5 + change)[0, channel].mean(), change)
            change = (change + 0.1 * 0.96**number * gradient / gradient.norm().clamp_min(1e-9)).detach()
            change *= min(1, norm / float(change.norm()))
        reached = float(net(0.5 + change)[0, channel].mean())
        if reached > best:
            best, picture = reached, change
    return best, picture


def test_a_network_of_two_layers_is_driven_as_far_as_by_a_slow_reference():
    torch.manual_seed(1)
    net = nn.Sequential(nn.Conv2d(1, 6, 3), nn.GELU(), nn.Conv2d(6, 2, 5)).requires_grad_(False)
    made = gn.visualize(net, "2", size=7, norm=1.0, transforms=None, copies=4, rate=0.2, steps=160)
    for channel in range(2):
        best, picture = slow_reference(net, channel, 1.0)
        own = 4 * channel + made.activation[4 * channel : 4 * channel + 4].argmax()
        assert made.activation[own] == pytest.approx(best, rel=0.01)
        assert cosine(made.images[own] - 0.5, picture) > 0.99


def test_a_picture_is_the_inverse_fourier_transform_written_out():
    canvas = Canvas(4, 5, torch.full((1, 1, 1), 0.5))
    spectrum = torch.randn(1, 1, 4, 3, 2, generator=torch.Generator().manual_seed(0))
    spectrum[0, 0, 2, 0, 1] = spectrum[0, 0, 0, 0, 1] = 0  # the parts that a real signal cannot have
    spectrum[0, 0, 3, 0] = spectrum[0, 0, 1, 0] * torch.tensor([1, -1])
    wanted = np.zeros((4, 5))
    for y, x, v, u in np.ndindex(4, 5, 4, 5):
        at, sign = (v, u), 1
        if u > 2:  # the other half are the conjugates
            at, sign = (-v % 4, 5 - u), -1
        frequency = max(np.hypot(min(v, 4 - v) / 4, min(u, 5 - u) / 5), 1 / 5)
        real, imaginary = spectrum[0, 0, at[0], at[1]].tolist()
        part = complex(real, sign * imaginary) / frequency * cmath.exp(2j * np.pi * (v * y / 4 + u * x / 5))
        wanted[y, x] += part.real / np.sqrt(20)
    np.testing.assert_allclose(canvas.field(spectrum)[0, 0], wanted, atol=1e-5)
    stretched = 1.1 / (1 + np.exp(-wanted)) - 0.05
    np.testing.assert_allclose(canvas.pictures(spectrum)[0, 0], stretched.clip(0, 1), atol=1e-5)


@pytest.mark.parametrize("colours", [1, 3])
def test_a_spectrum_of_a_picture_makes_it_again(colours):
    canvas = Canvas(6, 7, torch.full((colours, 1, 1), 0.2))
    picture = 0.1 + 0.8 * torch.rand(colours, 6, 7, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(canvas.pictures(canvas.spectrum(picture)[None])[0], picture)


def test_transformations_shift_by_pixels_and_do_nothing_without_strength():
    picture = torch.rand(1, 1, 4, 8, generator=torch.Generator().manual_seed(0))
    moved = gn.Transforms(shift=0.25, scale=0, rotation=0)(picture, torch.tensor([[0.0, 0, 1, -1]]), 1.0)
    wanted = torch.zeros_like(picture)
    wanted[:, :, 1:, :6] = picture[:, :, :3, 2:]
    torch.testing.assert_close(moved, wanted, atol=1e-5, rtol=0)
    torch.testing.assert_close(gn.Transforms()(picture, torch.ones(1, 4), 0.0), picture, atol=1e-5, rtol=0)
    square = torch.rand(1, 1, 5, 5)
    half = gn.Transforms(shift=0.5, scale=0, rotation=0)(picture, torch.tensor([[0.0, 0, 1, -1]]), 1.0, (0.5, 0.5))
    torch.testing.assert_close(half, moved, atol=1e-5, rtol=0)
    turned = gn.Transforms(shift=0, scale=0, rotation=90)(square, torch.tensor([[1.0, 0, 0, 0]]), 1.0)
    torch.testing.assert_close(turned, square.rot90(1, (2, 3)), atol=1e-5, rtol=0)


@pytest.mark.parametrize("place", [(3, 3), (0, 6)])
def test_what_a_neuron_sees_alone_gives_the_picture_that_the_whole_gives(place, monkeypatch):
    net = gn.create_model("convnet", in_channels=1, num_classes=10, image_size=28)
    options = {"objective": "neuron", "place": place, "size": 28, "steps": 6, "transforms": None}
    found = []

    def noted(*arguments):
        found.append(find_window(*arguments))
        return found[0]

    monkeypatch.setattr("glassnet.microscope.maximise.find_window", noted)
    part = gn.visualize(net, "conv3", [0, 5], **options)
    monkeypatch.setattr("glassnet.microscope.maximise.find_window", lambda *_: None)
    whole = gn.visualize(net, "conv3", [0, 5], **options)
    np.testing.assert_allclose(part.images, whole.images, atol=1e-5)
    # By hand: conv3 after conv1, conv2 and a pool sees 3 x 2 + 4 = 10 pixels, from 2 y - 4 on.
    top, left = max(0, 2 * place[0] - 4), max(0, 2 * place[1] - 4)
    assert (found[0].top, found[0].left) == (top, left)
    assert part.seen == whole.seen == (top, left, found[0].height, found[0].width)
    assert (found[0].height, found[0].width) == (2 * place[0] + 6 - top, 2 * place[1] + 6 - left)


def test_a_neuron_that_sees_the_whole_picture_is_given_it():
    net = nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.InstanceNorm2d(3), nn.Conv2d(3, 2, 3, padding=1))
    forward = lambda model, images: model(images)  # noqa: E731
    first = torch.rand(2, 1, 12, 12, generator=torch.Generator().manual_seed(0))
    assert find_seen(watch(net, "2", first, forward), (6, 6), (1, 12, 12)) is None
    watched = watch(net, "0", first, forward)
    seen = find_seen(watched, (6, 6), (1, 12, 12))
    assert (seen.first, seen.length) == ((5, 5), (3, 3))
    assert find_window(watched, "0", seen, (6, 6), (1, 12, 12), 0).height == 3


@pytest.mark.parametrize(("padding", "place", "seen"), [(0, (5, 5), (10, 10, 10, 10)), (1, (0, 12), (0, 22, 8, 10))])
def test_a_map_that_does_not_divide_the_picture_is_cut_to_what_is_seen(padding, place, seen):
    """By hand: 5 x 5 without padding, a pool of 2 and 3 x 3 see 5 + 1 + 2 x 2 = 10 pixels, 2 apart; 32 give 28, 14, 12.

    With a padding of 1 at the second convolution there are 14 places, of which the first begins 2 pixels before.
    """
    net = nn.Sequential(nn.Conv2d(3, 4, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 4, 3, padding=padding))
    options = {"objective": "neuron", "place": place, "size": 32, "steps": 4, "transforms": None}
    found = gn.visualize(net, "3", [0, 2], **options)
    assert found.seen == seen
    top, left, height, width = found.seen
    other = torch.rand(2, 3, 32, 32)
    other[:, :, top : top + height, left : left + width] = torch.from_numpy(found.images)[
        :, :, top : top + height, left : left + width
    ]
    with torch.no_grad():
        values = net(other)[:, :, place[0], place[1]]
    np.testing.assert_allclose(values[[0, 1], [0, 2]], found.activation, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 12.5}, r"size is 12\.5, expected a whole number"),
        ({"size": (12,)}, r"size is \(12,\), expected a number of pixels, or a height"),
        ({"size": (12, 0)}, "size is 0, expected at least 1"),
        ({"place": 3, "objective": "neuron"}, "place is 3, expected a row and a column"),
        ({"place": (1.5, 2), "objective": "neuron"}, r"place is \(1\.5, 2\), expected a row and a column"),
        ({"steps": 2.5}, r"steps is 2\.5, expected a whole number"),
        ({"seed": 0.5}, r"seed is 0\.5, expected a whole number"),
        ({"rate": "fast"}, "rate is 'fast', expected a number"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_what_is_no_option_is_refused(options, message):
    with pytest.raises(InputError, match=message):
        gn.visualize(nn.Sequential(nn.Conv2d(1, 2, 3)), "0", **({"size": 12, "steps": 1} | options))


@pytest.mark.usefixtures("unchecked")
def test_numpys_numbers_are_numbers():
    net = nn.Sequential(nn.Conv2d(1, 2, 3))
    size = (np.int64(12), np.int32(12))
    found = gn.visualize(net, "0", np.int64(1), size=size, steps=np.int64(2), seed=np.int64(3), copies=np.int8(1))
    plain = gn.visualize(net, "0", 1, size=12, steps=2, seed=3)
    np.testing.assert_array_equal(found.images, plain.images)


def test_equal_seeds_give_equal_pictures_bit_for_bit_and_others_give_others():
    net = TinyNet()
    first, again = (gn.visualize(net, "conv2", **QUICK, copies=2, diversity=0.5) for _ in range(2))
    assert (first.images == again.images).all()
    assert (first.activation == again.activation).all()
    other = gn.visualize(net, "conv2", **QUICK, copies=2, diversity=0.5, seed=1)
    assert (first.images != other.images).any()


def test_a_channels_picture_does_not_depend_on_those_beside_it():
    net = TinyNet()
    whole = gn.visualize(net, "conv2", **QUICK)
    some = gn.visualize(net, "conv2", [5, 2], **QUICK, batch_size=1)
    np.testing.assert_allclose(some.images, whole.images[[5, 2]], atol=1e-4)
    assert some.channels.tolist() == [5, 2]


def test_the_model_and_the_random_state_are_left_as_found():
    net = TinyNet().train()
    net.conv1.weight.requires_grad_(False)
    net.fc1.weight.grad = torch.ones_like(net.fc1.weight)
    before, random = copy.deepcopy(net.state_dict()), torch.random.get_rng_state()
    gn.visualize(net, "conv2", **QUICK, real=np.zeros((2, 3, 12, 12), np.uint8))
    with pytest.raises(gn.InputError):
        gn.visualize(net, "conv2", [99], **QUICK)
    assert all(module.training and not module._forward_hooks for module in net.modules())
    assert not net.conv1.weight.requires_grad
    assert net.conv2.weight.requires_grad
    assert net.conv2.weight.grad is None
    assert (net.fc1.weight.grad == 1).all()
    assert all((before[name] == value).all() for name, value in net.state_dict().items())
    assert (torch.random.get_rng_state() == random).all()


def test_pictures_are_measured_against_real_images_as_plain_loops_do():
    net, images = TinyNet().eval(), torch.rand(9, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    for objective in ("channel", "neuron"):
        made = gn.visualize(net, "conv2", [0, 3], objective=objective, real=images, batch_size=4, steps=3)
        for number, channel in enumerate([0, 3]):
            reached = []
            for image in images:
                with torch.no_grad():
                    maps = net.conv2(net.relu(net.bn(net.conv1(image[None]))))[0, channel]
                reached.append(float(maps.mean() if objective == "channel" else maps.max()))
            assert made.real_best[number] == pytest.approx(max(reached), abs=1e-5)
            assert made.real_index[number] == np.argmax(reached)
            assert made.rank[number] == 1 + sum(one >= made.activation[number] for one in reached)
        above = made.real_best > 0
        np.testing.assert_allclose(made.multiple[above], (made.activation / made.real_best)[above], rtol=1e-6)
        assert np.isnan(made.multiple[~above]).all()


def test_pictures_of_another_size_than_the_real_images_are_measured_too():
    made = gn.visualize(TinyNet(), "conv2", size=(14, 9), real=np.zeros((3, 3, 12, 12), np.uint8), steps=2)
    assert made.images.shape == (8, 3, 14, 9)
    assert made.rank.shape == (8,)


def test_more_steps_drive_every_channel_above_noise():
    net = TinyNet()
    real = torch.rand(16, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    made = gn.visualize(net, "conv2", objective="neuron", real=real, steps=100)
    assert made.share_above_real == 1
    assert made.images.min() >= 0
    assert made.images.max() <= 1


def test_vectors_tokens_and_directions_are_driven():
    net = TinyNet()
    logits = gn.visualize(net, "fc2", **QUICK)
    assert logits.channels.tolist() == [0, 1, 2]
    both = gn.visualize(net, "fc2", objective=[1, -1, 0], **QUICK)
    with torch.no_grad():
        score = net.eval()(torch.from_numpy(both.images))[0]
    assert both.activation[0] == pytest.approx(float(score[0] - score[1]), abs=1e-5)
    assert both.objective == "direction"
    several = gn.visualize(net, "conv2", objective=np.eye(8)[:2], **QUICK)
    assert several.images.shape == (2, 3, 12, 12)
    tokens = gn.visualize(ClassToken(), "head", [1], size=16, steps=2, objective="neuron")
    assert tokens.images.shape == (1, 3, 16, 16)


def test_a_layer_of_tokens_is_read_as_a_map():
    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.patch, self.mix = nn.Conv2d(3, 8, 4, stride=4), nn.Linear(8, 5)

        def forward(self, x):
            return self.mix(self.patch(x).flatten(2).transpose(1, 2))

    made = gn.visualize(Mixed(), "mix", objective="neuron", place=(0, 2), size=12, steps=20, transforms=None)
    changed = np.abs(made.images - 0.5).mean(axis=(0, 1))
    assert made.images.shape == (5, 3, 12, 12)
    assert changed[:4, 8:].mean() > 2 * changed[4:, :8].mean()


def test_a_layer_that_runs_twice_is_asked_for_by_its_call():
    with pytest.raises(gn.InputError, match="runs 2 times; choose one of its calls: 'conv:0' or 'conv:1'"):
        gn.visualize(Twice(), "conv", **QUICK)
    first, second = (gn.visualize(Twice(), f"conv:{number}", **QUICK) for number in range(2))
    assert first.layer == "conv:0"
    assert (first.activation != second.activation).any()


def test_a_layer_before_a_linear_one_takes_pictures_of_any_size():
    net = gn.create_model("convnet", in_channels=1, num_classes=10, image_size=28)
    assert gn.visualize(net, "conv3", [0], size=20, steps=2).images.shape == (1, 1, 20, 20)
    with pytest.raises(gn.InputError, match="ConvNet fails on images of shape"):
        gn.visualize(net, "fc2", [0], size=20, steps=2)


def half_dead():
    """Channel 0 after the ReLU is dead, channel 1 is awake for bright images alone, channel 2 is always."""
    net = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU())
    with torch.no_grad():
        net[0].weight.fill_(0.1)
        net[0].bias.copy_(torch.tensor([-5.0, -0.6, 0.0]))
    return net


def test_a_dead_channel_is_said_to_be_and_its_picture_does_not_move():
    made = gn.visualize(half_dead(), "1", size=8, steps=60, level=0.2)
    assert made.dead.tolist() == [True, False, False]
    assert made.activation[0] == 0
    assert made.activation[1] > 0.05
    real = np.zeros((2, 1, 8, 8), np.uint8)
    real[1, :, 3:6, 3:6] = 255
    against = gn.visualize(half_dead(), "1", real=real, steps=60)
    assert against.dead.tolist() == [True, False, False]
    assert against.rank.tolist() == [3, 1, 1]
    assert against.share_above_real == 1
    assert "0 (dead)" in against._repr_html_()


def test_nan_and_what_has_no_gradient_are_refused_in_a_sentence():
    net = TinyNet()
    net.conv1.weight.data[0, 0, 0, 0] = torch.nan
    with pytest.raises(gn.InputError, match="layer 'conv2' gives NaN or infinite numbers"):
        gn.visualize(net, "conv2", **QUICK)
    real = torch.zeros(2, 3, 12, 12)
    real[1, 0, 0, 0] = torch.nan
    with pytest.raises(gn.InputError, match="image 1 has NaN"):
        gn.visualize(TinyNet(), "conv2", real=real)

    class Rounded(TinyNet):
        def forward(self, images):
            with torch.no_grad():
                return super().forward(images)

    with pytest.raises(gn.InputError, match="no gradient path leads from layer"):
        gn.visualize(Rounded(), "conv2", **QUICK)


def test_one_image_and_constant_images_will_do():
    made = gn.visualize(TinyNet(), "conv2", real=np.full((1, 3, 12, 12), 128, np.uint8), steps=3)
    assert np.isfinite(made.images).all()
    assert set(made.real_index) == {0}


def test_diversity_makes_the_copies_of_a_channel_less_alike():
    net = TinyNet()
    alike = []
    for diversity in (0.0, 2.0):
        made = gn.visualize(net, "conv2", [1, 4], size=12, steps=40, copies=3, diversity=diversity)
        assert made.channels.tolist() == [1, 1, 1, 4, 4, 4]
        with torch.no_grad():
            maps = net.eval().conv2(net.relu(net.bn(net.conv1(torch.from_numpy(made.images)))))
        alike.append(float(likeness(maps, 3).mean()))
    assert alike[1] < alike[0] - 0.01


def test_likeness_is_that_of_plain_loops():
    maps = torch.randn(6, 3, 2, 4, generator=torch.Generator().manual_seed(0))
    found = likeness(maps, 3)
    for number in range(6):
        flat = maps.flatten(2).numpy()
        others = [other for other in range(number // 3 * 3, number // 3 * 3 + 3) if other != number]
        grams = [flat[one] @ flat[one].T for one in (number, *others)]
        assert float(found[number]) == pytest.approx(np.mean([cosine(grams[0], one) for one in grams[1:]]), abs=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": [8]}, "layer 'conv2' has no channel 8; expected a channel from 0 to 7"),
        ({"channels": []}, "expected numbers of channels"),
        ({"objective": "pixel"}, "objective is 'pixel', expected channel, neuron, or a direction"),
        ({"objective": [1.0, 2.0]}, r"objective has shape \(2,\), expected a direction \(8,\)"),
        ({"objective": np.zeros(8)}, "a direction of zeros"),
        ({"objective": np.ones(8), "channels": [1]}, "leave one of them out"),
        ({"objective": "neuron", "place": (9, 0)}, "expected a row and a column"),
        ({"place": (0, 0)}, "place applies only to a neuron"),
        ({"steps": 0}, "steps is 0"),
        ({"rate": 0.0}, "rate is 0.0"),
        ({"norm": -1.0}, "norm is -1.0"),
        ({"level": 2.0}, "level is 2.0"),
        ({"diversity": -1.0}, "diversity is -1.0"),
        ({"real": torch.full((2, 3, 12, 12), -2.0)}, "real has values from -2 to -2, expected 0 to 1"),
        ({"layer": "conv"}, "means 2 layers"),
        ({"layer": "conv9"}, "no layer 'conv9'"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(options, message):
    options = {"layer": "conv2", "size": 12, "steps": 1, **options}
    with pytest.raises(gn.InputError, match=message):
        gn.visualize(TinyNet(), options.pop("layer"), **options)


def test_transformations_without_a_strength_are_refused():
    with pytest.raises(gn.InputError, match=r"transforms.scale is 1.0, expected 0 or more and below 1"):
        gn.Transforms(scale=1.0)
