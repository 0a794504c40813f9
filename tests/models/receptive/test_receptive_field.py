"""Receptive fields by hand: sizes, strides, offsets and boxes, what is refused, and the model as it was."""

import re

import numpy as np
import pytest
import torch
from jaxtyping import config
from torch import nn

import glassnet as gn
from glassnet.errors import InputError
from glassnet.models.receptive import gradient
from glassnet.models.receptive.find import receptive_fields
from graph_zoo import GRAPHS, Net, chain, conv, first, windowed
from odd_nets import ClassToken, Recurrent


def seen(model, layer, size=(13, 17), **options):
    field = gn.receptive_field(model, layer, size, **options)
    return field.size, field.stride, field.offset


def test_convnet_by_hand():
    """3x3 convolutions with padding 1 and pools of 2: 3, 3 + 1 = 4, 4 + 2·2 = 8, 8 + 2 = 10, and so on."""
    net = gn.create_model("convnet", in_channels=1, num_classes=10, image_size=28)
    names = [name for name, one in net.named_modules() if isinstance(one, nn.Conv2d | nn.MaxPool2d)]
    found = receptive_fields(net, names, torch.rand(1, 1, 28, 28))
    size, stride, offset = 1, 1, 0
    for name in names:
        module = net.get_submodule(name)
        kernel, step, padding = (
            one if isinstance(one, int) else one[0] for one in (module.kernel_size, module.stride, module.padding)
        )
        offset -= padding * stride
        size += (kernel - 1) * stride
        stride *= step
        one = found[name]
        assert (one.size, one.stride, one.offset) == ((size, size), (stride, stride), (offset, offset)), name
    assert size > 10


def test_vgg16_is_that_of_the_literature():
    """conv5_3: size 196, stride 16; pool5: 212 and 32 (Araujo et al. 2019, table 1)."""
    net = gn.create_model("vgg16", in_channels=3, num_classes=10, image_size=32)
    found = receptive_fields(net, ["features.*", "flatten", "classifier.0"], torch.rand(1, 3, 32, 32))
    assert found["features.28"].size == (196, 196)
    assert found["features.28"].stride == (16, 16)
    assert found["features.28"].offset == (-90, -90)
    assert found["features.30"].size == (212, 212)
    assert found["features.30"].stride == (32, 32)
    assert found["flatten"].size == found["classifier.0"].size == (212, 212)
    assert found["features.28"].is_whole
    assert not found["features.0"].is_whole
    assert found["features.0"].box(31, 0) == (0, 30, 2, 32)


def test_a_dilated_network_by_hand():
    """3x3 with dilations 1, 2, 4: 1 + 2 + 4 + 8 = 15."""
    net = nn.Sequential(*(conv(3, 3, 3, padding=d, dilation=d) for d in (1, 2, 4)))
    assert seen(net, "2", (13, 17)) == ((15, 15), (1, 1), (-7, -7))
    assert gn.receptive_field(net, "2", 40).box(20, 21) == (14, 13, 29, 28)


def test_a_strided_network_by_hand():
    """7x7 by 2, pool 3x3 by 2, 3x3: 7, 7 + 2·2 = 11, 11 + 2·4 = 19; the first window starts at -3 - 2 - 4."""
    net = nn.Sequential(conv(3, 3, 7, stride=2, padding=3), nn.MaxPool2d(3, 2, 1), conv(3, 3, 3, padding=1))
    assert seen(net, "2", (32, 48)) == ((19, 19), (4, 4), (-9, -9))
    field = gn.receptive_field(net, "2", (32, 48))
    assert field.map_size == (8, 12)
    assert field.box(0, 0) == (0, 0, 10, 10)
    assert field.box(7, 11) == (35, 19, 48, 32)
    np.testing.assert_array_equal(field.boxes([(3, 4), (0, 0)]), [[7, 3, 26, 22], [0, 0, 10, 10]])


class Mixed(nn.Module):
    """A network with layers of whose units nothing can be said: idle, of its own weight alone, and giving a tuple."""

    def __init__(self):
        super().__init__()
        self.conv, self.idle, self.alone = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3), nn.Linear(2, 4)
        self.gru, self.fc = nn.GRU(4, 4, batch_first=True), nn.Linear(4, 2)

    def forward(self, images):
        maps = self.conv(images) + self.alone(torch.ones(2))[:, None, None]
        tokens = maps.flatten(2).mT
        return self.fc(self.gru(tokens)[0].mean(dim=1))


LEFT_OUT = {
    "idle": "did not run when the model was called in evaluation mode",
    "alone": "gives a tensor of shape (4,), which ",
    "gru": "gives a tuple without a tensor of images",
}


def test_layers_that_a_kind_brings_in_and_that_are_left_out_are_named_with_the_reason(capsys):
    net, images = Mixed().eval(), torch.rand(2, 3, 6, 6)
    found = receptive_fields(net, "all", images)
    assert {name: one.size for name, one in found.items()} == {"conv": (3, 3), "fc": (6, 6)}
    said = capsys.readouterr().err
    for name, reason in LEFT_OUT.items():
        assert f"left out {name}: it {reason}" in said
        with pytest.raises(InputError, match=re.escape(f"layer '{name}' {reason}")):
            receptive_fields(net, ["fc", name], images)
    assert said.count("left out") == len(LEFT_OUT)
    receptive_fields(net, "fc", images)
    assert not capsys.readouterr().err


class Cut(nn.Module):
    """A layer without a gradient, by an operation whose receptive field nothing but the gradient tells."""

    def forward(self, images):
        return torch.linalg.matrix_exp(images.detach())


def test_a_layer_without_a_gradient_is_left_out_too(capsys):
    net, images = nn.Sequential(nn.Conv2d(3, 4, 3), Cut(), nn.Flatten()).eval(), torch.rand(2, 3, 6, 6)
    assert receptive_fields(net, "all", images).keys() == {"0"}
    reason = "does not depend on the images, or only without a gradient"
    assert capsys.readouterr().err == f"left out 1, 2: each {reason}.\n"
    with pytest.raises(InputError, match=f"layer '2' {reason}"):
        receptive_fields(net, ["0", "2"], images)


def test_a_residual_network_by_hand():
    """A stem of 3, 5 and, by the pool, 6 pixels; then 2 a convolution times the stride. Shortcuts see less."""
    net = gn.create_model("resnet_small", in_channels=3, num_classes=10, image_size=32)
    found = receptive_fields(net, "*", torch.rand(1, 3, 32, 32))
    assert {
        name: (one.size[0], one.stride[0], one.offset[0]) for name, one in found.items() if name in BY_HAND
    } == BY_HAND


BY_HAND = {
    "conv1": (3, 1, -1),
    "conv2": (5, 1, -2),
    "pool1": (6, 2, -2),
    "stage1.0.conv1": (10, 2, -4),
    "stage1.0.conv2": (14, 2, -6),
    "stage1.0.relu2": (14, 2, -6),
    "stage2.0.conv1": (18, 4, -8),
    "stage2.0.conv2": (26, 4, -12),
    "stage2.0.shortcut.pool": (16, 4, -6),
    "stage2.0.relu2": (26, 4, -12),
    "stage3.0.conv1": (34, 8, -16),
    "stage3.0.conv2": (50, 8, -24),
    "stage3.0.shortcut": (30, 8, -12),
    "stage3.0.relu2": (50, 8, -24),
    "average": (32, 0, 0),
}


def test_a_shortcut_that_sees_more_counts():
    """A 1x1 path and a shortcut of 5x5: 5."""
    net = Net(lambda x, near, far: near(x) + far(x), near=first(1), far=first(5, padding=2))
    assert seen(net, "layer") == seen(net, "layer", (4, 3)) == ((5, 5), (1, 1), (-2, -2))


def test_channels_that_are_dropped_do_not_count():
    """Of a 1x1 and a 5x5 path side by side, the first alone is left behind a 3x3 for each channel."""
    net = GRAPHS["one branch kept, grouped before"]()
    assert seen(net, "layer") == ((3, 3), (1, 1), (0, 0))
    assert seen(net, "parts.after") == ((7, 7), (1, 1), (-2, -2))


def test_rows_and_columns_are_told_apart():
    net = nn.Sequential(conv(3, 3, (3, 5), stride=(2, 1), padding=(1, 0), dilation=(1, 2)))
    assert seen(net, "0") == ((3, 9), (2, 1), (-1, 0))


def test_interpolated_maps_have_windows_of_one_size_but_no_stride():
    """Each unit of a map by 2 sees one of 3 x 3 pixels by 2; two of them see the same."""
    net = chain(first(stride=2), nn.Upsample(scale_factor=2))
    field = gn.receptive_field(net, "layer", (13, 17))
    assert (field.size, field.stride, field.offset) == ((3, 3), (None, None), (None, None))
    assert field.box(2, 3) == field.box(3, 2) == (2, 2, 5, 5)


def test_what_sees_the_whole_image():
    pooled = chain(first(), nn.AdaptiveAvgPool2d(1))
    for net in (pooled, chain(first(), nn.GroupNorm(2, 4)), chain(first(), nn.Flatten(), nn.Linear(660, 2))):
        field = gn.receptive_field(net, "layer", (13, 17))
        assert field.is_whole
        assert (field.size, field.stride, field.offset) == ((13, 17), (0, 0), (0, 0))
    assert gn.receptive_field(chain(first(), nn.GroupNorm(2, 4)), "layer", (13, 17)).map_size == (11, 15)


def test_a_global_pool_sees_what_its_map_sees():
    """2x2 by 3 leaves the last pixel of 13 + 1 and 17 + 1 out: 14 is seen, 12 rows are not."""
    net = chain(first(2, stride=3), nn.AdaptiveAvgPool2d(1))
    assert gn.receptive_field(net, "layer", (15, 17)).box(0, 0) == (0, 0, 17, 14)


def test_patches_see_themselves_and_blocks_of_attention_everything():
    tokens = gn.receptive_field(ClassToken(), "patch", 16)
    assert (tokens.size, tokens.stride, tokens.offset, tokens.map_size) == ((4, 4), (4, 4), (0, 0), (4, 4))
    attention = gn.receptive_field(GRAPHS["attention of torch"](), "layer", 16)
    assert attention.is_whole
    assert attention.map_size == (4, 4)


def test_windows_of_attention_have_boxes_and_no_stride():
    net = Net(windowed, first=first(4, stride=4))
    field = gn.receptive_field(net, "layer", (16, 24))
    assert field.stride == (None, None)
    assert field.size == (8, 8)
    assert field.box(0, 0) == field.box(1, 1) == (0, 0, 8, 8)
    assert field.box(2, 1) == (0, 8, 8, 16)


def test_a_layer_that_runs_twice():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 3)

        def forward(self, x):
            return self.conv(self.conv(x))

    assert seen(Twice(), "conv:0")[0] == (3, 3)
    assert seen(Twice(), "conv:1")[0] == (5, 5)
    with pytest.raises(gn.InputError, match="means 2 layers or calls; choose one, such as 'conv:0'"):
        gn.receptive_field(Twice(), "conv", 16)


def test_what_has_no_rule_is_measured_and_says_so():
    field = gn.receptive_field(Recurrent(), "lstm", (4, 8), forward=lambda model, images: model(images[:, 0]))
    assert field.how == "gradient"
    assert field.box(0, 0) == (0, 0, 8, 1)


def test_sizes_by_module_by_shape_and_by_number():
    net = nn.Sequential(first(), nn.MaxPool2d(2))
    wanted = gn.receptive_field(net, "1", 12)
    assert wanted.image_size == (12, 12)
    for size in ((12, 12), (3, 12, 12), (7, 3, 12, 12)):
        np.testing.assert_array_equal(gn.receptive_field(net, net[1], size).bounds, wanted.bounds)
    assert gn.receptive_field(net, "last-conv", 12).layer == "0"
    assert wanted.to_json() == {
        "layer": "1",
        "size": [4, 4],
        "stride": [2, 2],
        "offset": [0, 0],
        "map_size": [5, 5],
        "image_size": [12, 12],
        "how": "operations",
    }


@pytest.mark.parametrize("size", [0, -3, (3,) * 5, (), (0, 12), 12.0, "12", True, None])
def test_no_size_is_refused(size):
    config.update("jaxtyping_disable", True)  # as in use: the sentence is the function's own
    try:
        with pytest.raises(gn.InputError, match=r"image_size is .*, expected whole numbers of at least 1"):
            gn.receptive_field(nn.Sequential(first()), "0", size)
    finally:
        config.update("jaxtyping_disable", False)


@pytest.mark.parametrize("size", [np.int64(12), np.array([12, 12]), (np.int32(12), 12)])
def test_numpys_sizes_are_sizes(size):
    config.update("jaxtyping_disable", True)
    try:
        assert gn.receptive_field(nn.Sequential(first()), "0", size).image_size == (12, 12)
    finally:
        config.update("jaxtyping_disable", False)


def test_bad_places_layers_and_images_are_refused():
    field = gn.receptive_field(nn.Sequential(first()), "0", 12)
    for places in ([[10, 0]], [[0, -1]]):
        with pytest.raises(gn.InputError, match=r"place .* is not in the map of 0, which has 10 rows and 10 columns"):
            field.boxes(places)
    for places in ([[1, 2, 3]], torch.tensor([0, 1]), torch.tensor([[0.5, 1.0]])):
        with pytest.raises(gn.InputError, match=r"expected whole numbers \(n, 2\)"):
            field.boxes(places)
    with pytest.raises(gn.InputError, match="no layer 'conv9'"):
        gn.receptive_field(nn.Sequential(first()), "conv9", 12)
    with pytest.raises(gn.InputError, match="fails on images"):
        gn.receptive_field(nn.Sequential(first()), "0", 2)
    constant = Net(lambda x, first: first(torch.ones_like(x)), first=first())
    with pytest.raises(gn.InputError, match="does not depend on the images"):
        gn.receptive_field(constant, "parts.first", 12)


def test_no_places_give_no_boxes():
    field = gn.receptive_field(nn.Sequential(first()), "0", 12)
    assert field.boxes(np.zeros((0, 2), dtype=int)).shape == (0, 4)


def test_the_model_and_torchs_randomness_are_left_as_they_were():
    net = nn.Sequential(first(), nn.BatchNorm2d(4), nn.Dropout(), nn.ReLU(inplace=True)).train()
    before = {name: one.clone() for name, one in net.state_dict().items()}
    state = torch.get_rng_state()
    gn.receptive_field(net, "3", 12)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(module.training for module in net.modules())
    assert all(torch.equal(one, before[name]) for name, one in net.state_dict().items())
    assert all(one.requires_grad and one.grad is None for one in net.parameters())


def test_units_that_see_only_padding_leave_the_others_regular():
    assert seen(nn.Sequential(conv(3, 4, 1, padding=1)), "0") == ((1, 1), (1, 1), (-1, -1))
    padded = nn.Sequential(nn.ZeroPad2d((3, 0, 1, 2)), conv(3, 4, 3, stride=2))
    assert seen(padded, "1", (12, 9)) == ((3, 3), (2, 2), (-1, -3))
    field = gn.receptive_field(padded, "1", (12, 9))
    assert (field.box(0, 0), field.box(0, 1), field.box(3, 3)) == ((0, 0, 0, 0), (0, 0, 2, 2), (3, 5, 6, 8))
    assert seen(nn.Sequential(conv(3, 3, 3), nn.ZeroPad2d(4)), "1") == ((3, 3), (1, 1), (-4, -4))
    apart = gn.receptive_field(nn.Sequential(nn.ConvTranspose2d(3, 4, 1, stride=2)), "0", 9)  # each other sees nothing
    assert (apart.size, apart.stride, apart.offset) == ((1, 1), (None, None), (None, None))


class Nowhere(nn.Module):
    """Samples every pixel where it is, an operation that is not followed, and then takes maxima of what is above 0."""

    def __init__(self, *behind):
        super().__init__()
        self.conv, self.behind = nn.Conv2d(3, 4, 3, padding=1), nn.Sequential(*behind)

    def forward(self, x):
        grid = nn.functional.affine_grid(torch.eye(2, 3).expand(len(x), 2, 3), x.shape, align_corners=False).to(x)
        return self.behind(self.conv(nn.functional.grid_sample(x, grid, mode="nearest", align_corners=False)))


@pytest.mark.parametrize("seed", range(4))
def test_windows_by_the_gradient_are_whole_behind_maxima(seed):
    torch.manual_seed(seed)
    field = gn.receptive_field(Nowhere(nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(8)), "behind", (3, 32, 32))
    assert field.how == "gradient"
    assert (field.size, field.stride, field.offset) == ((10, 10), (8, 8), (-1, -1))
    assert field.box(1, 1) == (7, 7, 17, 17)


def test_windows_by_the_gradient_that_are_no_stride_apart_stay_as_they_are():
    torch.manual_seed(0)
    field = gn.receptive_field(Nowhere(nn.Upsample(scale_factor=2)), "behind", (3, 6, 6))
    assert field.how == "gradient"
    assert field.stride == (None, None)
    assert field.bounds[0, :, 0].tolist() == [0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert field.bounds[0, :, 2].tolist() == [2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 6, 6]


def test_what_was_seen_of_a_window_is_made_up_to_those_of_the_others():
    starts, ends = np.array([0, 1, 4, 5, 7, 9]), np.array([4, 6, 8, 10, 12, 12])
    even = gradient._evened(starts, ends, 12)  # the third began a pixel late: 2 i - 1 to 2 i + 4
    assert [one.tolist() for one in even] == [[0, 1, 3, 5, 7, 9], [4, 6, 8, 10, 12, 12]]
    uneven = np.array([0, 0, 2, 2, 4, 4]), np.array([2, 2, 4, 4, 6, 6])
    assert [one.tolist() for one in gradient._evened(*uneven, 6)] == [one.tolist() for one in uneven]
