"""Layers by name, pattern, kind and call."""

import copy
from collections import OrderedDict

import jaxtyping
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

import glassnet as gn
from glassnet.errors import InputError
from glassnet.models import create_model
from glassnet.models.layers import asked_by_name, choice_in_copy, name_calls, select_layers, split_call


@pytest.fixture
def convnet():
    return create_model("convnet", in_channels=1, num_classes=10, image_size=28)


@pytest.fixture
def nested():
    shared = nn.ReLU()
    block = nn.Sequential(nn.Conv2d(3, 4, 3), shared, nn.ConvTranspose2d(4, 3, 2))
    return nn.ModuleDict({"up": block, "act": shared, "head": nn.Sequential(nn.Flatten(), nn.Linear(4, 2))})


@pytest.mark.parametrize(
    ("layers", "names"),
    [
        ("conv", ["conv1", "conv2", "conv3", "conv4"]),
        ("last-conv", ["conv4"]),
        ("linear", ["fc1", "fc2"]),
        ("fc1", ["fc1"]),
        ("conv*", ["conv1", "conv2", "conv3", "conv4"]),
        ("conv[13]", ["conv1", "conv3"]),
        (
            ["fc2", "conv", "conv1", "bn?", "conv2"],
            ["conv1", "bn1", "conv2", "bn2", "conv3", "bn3", "conv4", "bn4", "bn5", "fc2"],
        ),
        (("fc1:0", "conv1"), ["conv1", "fc1:0"]),
    ],
)
def test_kinds_names_and_patterns_in_the_models_order(convnet, layers, names):
    assert select_layers(convnet, layers) == names


def test_the_last_convolution_is_no_shortcut_and_no_head_of_one_pixel():
    residual = create_model("resnet_small", in_channels=3, num_classes=5, image_size=12)
    assert select_layers(residual, "conv")[-2:] == ["stage3.0.conv2", "stage3.0.shortcut.conv"]
    assert select_layers(residual, "last-conv") == ["stage3.0.conv2"]
    head = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ConvTranspose2d(4, 4, (1, 2)), nn.Conv2d(4, 2, 1))
    assert select_layers(head, "last-conv") == ["1"]
    assert select_layers(nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 2, 1)), "last-conv") == ["1"]
    with pytest.raises(InputError, match="no layer 'last-conv' in Sequential"):
        select_layers(nn.Sequential(nn.Linear(4, 3)), "last-conv")


def test_all_is_every_module_without_children(convnet):
    assert select_layers(convnet, "all") == [name for name, _ in convnet.named_children()]


def test_nested_and_shared_modules(nested):
    assert select_layers(nested, "conv") == ["up.0", "up.2"]
    assert select_layers(nested, "all") == ["up.0", "up.1", "up.2", "head.0", "head.1"]
    assert select_layers(nested, "up*") == ["up", "up.0", "up.1", "up.2"]
    assert select_layers(nested, ["head.1", "act"]) == ["act", "head.1"]  # its other name is up.1


def test_modules_stand_for_their_names(convnet, nested):
    assert select_layers(convnet, convnet.conv4) == ["conv4"]
    assert select_layers(convnet, [convnet.fc2, "conv[12]", convnet.conv1]) == ["conv1", "conv2", "fc2"]
    assert select_layers(nested, nested["up"]) == ["up"]  # a chain of layers is one module, not a list of them
    assert select_layers(nested, (nested["act"],)) == ["up.1"]  # the first of its names
    assert asked_by_name(convnet, [convnet.fc2, "conv*"]) == ["fc2", "conv*"]


def test_a_module_named_like_a_kind_is_meant_itself():
    network = nn.Sequential(OrderedDict(first=nn.Conv2d(1, 2, 1), conv=nn.Conv2d(2, 2, 1)))
    assert select_layers(network, "conv") == ["first", "conv"]
    assert select_layers(network, network.conv) == ["conv"]


def test_the_same_choice_in_a_copy(convnet):
    other = copy.deepcopy(convnet)
    assert choice_in_copy(convnet, [convnet.fc1, "conv"], other) == [other.fc1, "conv"]
    assert choice_in_copy(convnet, "conv", other) == ["conv"]


def test_a_module_that_is_not_in_the_network_is_refused(convnet):
    stranger = copy.deepcopy(convnet).conv4
    message = "^layers holds a Conv2d that is not in this ConvNet; pass a module of this network, or a name.$"
    for select in (select_layers, asked_by_name):
        with pytest.raises(InputError, match=message):
            select(convnet, ["conv1", stranger])
    with pytest.raises(InputError, match="layers holds the whole ConvNet, expected modules inside it"):
        select_layers(convnet, convnet)
    with pytest.raises(InputError, match="layers is empty"):
        select_layers(convnet, [])


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (
            "conv9",
            r"no layer 'conv9' in ConvNet. Did you mean conv.*\? Its convolutions are conv1, conv2, conv3, conv4.",
        ),
        ("fx1", "no layer 'fx1' in ConvNet. Did you mean fc1.*convolutions are"),
        ("layer*", r"no layer 'layer\*' in ConvNet.* Its convolutions are conv1"),
        ("last_conv", "no layer 'last_conv'.* Did you mean last-conv"),
        (["conv1", "nope:1"], "no layer 'nope:1'"),
        ([], "layers is empty"),
    ],
)
def test_an_unknown_layer_is_refused_with_the_nearest_names(convnet, layers, message):
    with pytest.raises(InputError, match=message):
        select_layers(convnet, layers)


def test_the_refusal_of_a_network_without_convolutions_lists_its_layers():
    network = nn.Sequential(nn.Linear(4, 3), nn.ReLU())
    with pytest.raises(
        InputError,
        match=r"no layer 'conv' in Sequential. Its layers are 0, 1. Some methods, such as saliency, need",
    ):
        select_layers(network, "conv")
    many = nn.Sequential(*(nn.Linear(1, 1) for _ in range(45)))
    with pytest.raises(InputError, match=r"38, 39 and 5 more\."):
        select_layers(many, "conv")


def test_split_call():
    assert split_call("features.3:12") == ("features.3", 12)
    assert split_call("features.3") == ("features.3", None)
    assert split_call("odd:name") == ("odd:name", None)


RAN = {("a", 0): "", ("b", 0): "", ("b", 1): "", ("c", 0): "is odd", ("e", 0): "", ("e", 1): "is flat"}


@pytest.mark.parametrize(
    ("names", "asked", "expected"),
    [
        (["a", "b"], "*", {"a": ("a", 0), "b:0": ("b", 0), "b:1": ("b", 1)}),
        (["b:1"], "b:1", {"b:1": ("b", 1)}),
        (["a:0"], "a:0", {"a:0": ("a", 0)}),
        (["a", "c", "d"], "all", {"a": ("a", 0)}),
        (["e"], "e", {"e:0": ("e", 0)}),
        (["a", "e"], "all", {"a": ("a", 0), "e:0": ("e", 0)}),
    ],
)
def test_calls_get_names(names, asked, expected):
    assert name_calls(names, asked, RAN) == expected


@pytest.mark.parametrize(
    ("names", "asked", "message"),
    [
        (["a", "c"], ["a", "c"], "layer 'c' is odd."),
        (["a", "d"], ["a", "d"], "layer 'd' did not run when the model was called in evaluation mode"),
        (["b:2"], "b:2", "layer 'b' has no call 2: it ran 2 times, and its calls are numbered from 0 to 1"),
        (["d:1"], "d:1", "layer 'd' did not run"),
        (["c", "d"], "all", "layer 'c' is odd."),
        (["e:1"], "e:1", "layer 'e' is flat."),
    ],
)
def test_unusable_calls_are_refused_when_asked_for_by_name_or_when_nothing_else_is_left(names, asked, message):
    with pytest.raises(InputError, match=message):
        name_calls(names, asked, RAN)


class Same(nn.Conv2d):
    """A convolution that pads by a module of its own."""

    def __init__(self):
        super().__init__(4, 2, 3)
        self.pad = nn.ZeroPad2d(1)

    def forward(self, x):
        return super().forward(self.pad(x))


def test_layers_with_children_stay_in_their_kinds():
    linear = parametrizations.spectral_norm(nn.Linear(2 * 6 * 6, 3))
    network = nn.Sequential(parametrizations.weight_norm(nn.Conv2d(3, 4, 3)), Same(), nn.Flatten(), linear)
    assert select_layers(network, "conv") == ["0", "1"]
    assert select_layers(network, "linear") == ["3"]
    assert select_layers(network, "all") == ["0", "1", "1.pad", "2", "3"]
    assert select_layers(network, "last-conv") == ["1"]
    images = torch.rand(2, 3, 8, 8)
    assert list(gn.explain(network, images, layers="all", methods="gradcam").layers) == ["0", "1", "1.pad"]
    assert {name: rows.shape for name, rows in gn.extract_features(network, images, "all").items()} == {
        "0": (2, 4), "1": (2, 2), "1.pad": (2, 4), "2": (2, 72), "3": (2, 3),
    }  # fmt: skip


@pytest.mark.parametrize("layers", [None, 3])
def test_what_is_no_choice_of_layers_is_refused(convnet, layers, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as users run it
    with pytest.raises(InputError, match=f"layers is {layers} of type .*, expected names, patterns, kinds or modules"):
        select_layers(convnet, layers)


def named(**modules):
    network = nn.Sequential()
    for name, module in modules.items():
        network.add_module(name, module)
    return network


def test_a_list_of_modules_is_a_choice_of_layers(convnet):
    images = torch.rand(2, 1, 28, 28)
    assert list(gn.explain(convnet, images, layers=[convnet.conv2], methods="gradcam").layers) == ["conv2"]
    assert list(gn.extract_features(convnet, images, [convnet.conv2])) == ["conv2"]


def test_a_module_named_like_a_call_is_refused_where_it_is_chosen():
    network = named(**{"a:0": nn.Conv2d(3, 4, 3), "f": nn.Conv2d(4, 2, 1)})
    for layers in ("conv", "a:0", "a*", network[0]):
        with pytest.raises(InputError, match="has a module named 'a:0', which looks like a call of 'a'; rename it"):
            select_layers(network, layers)
    assert select_layers(network, "f") == ["f"]


def test_a_layer_named_input_stands_under_its_call_since_input_is_the_image():
    network = named(input=nn.Conv2d(3, 4, 3), pool=nn.AdaptiveAvgPool2d(1), flat=nn.Flatten())
    explanation = gn.explain(network, torch.rand(2, 3, 8, 8), layers="conv", methods=("gradcam", "saliency"))
    assert list(explanation.layers) == ["input:0"]
    assert explanation["gradcam", "input:0"].shape == explanation["saliency", "input"].shape == (2, 8, 8)
    assert list(gn.extract_features(network, torch.rand(2, 3, 8, 8), "input")) == ["input:0"]


def block():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_scripted_network_is_refused_and_a_scripted_layer_is_one(capsys):
    images = torch.rand(2, 3, 8, 8)
    for whole in (torch.jit.script(block()), torch.jit.trace(block(), images)):
        for layers in ("conv", "0", "all"):
            with pytest.raises(InputError, match="so its layers cannot be observed; pass the network"):
                gn.explain(whole, images, layers=layers, methods="gradcam")
    plain, part = block(), block()
    part.load_state_dict(plain.state_dict())
    part[0] = torch.jit.script(part[0])
    assert select_layers(part, "conv") == ["0", "2"]
    ours, theirs = (gn.explain(one, images, layers="conv", methods="gradcam") for one in (part, plain))
    # Their images lie in another order in memory, with other last digits.
    np.testing.assert_allclose(ours.raw["gradcam", "0"], theirs.raw["gradcam", "0"], rtol=1e-4, atol=1e-8)
    assert not capsys.readouterr().err
    nested = nn.Sequential(torch.jit.script(block()), nn.Linear(2, 3))
    with pytest.raises(InputError, match=r"layer '0.2' cannot be observed because '0' is scripted or traced"):
        select_layers(nested, "0.2")
    assert select_layers(nested, "all") == ["1"]
    assert "left out the layers inside 0, which cannot be observed" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore:Lazy modules:UserWarning")
def test_weights_that_are_not_there_are_one_sentence():
    images = torch.rand(2, 3, 8, 8)
    for network, message in (
        (nn.Sequential(nn.LazyConv2d(4, 3)), "layer '0' .LazyConv2d. has no weights yet; call the model once"),
        (block().to("meta"), "Sequential is on the device meta, so its weights have no values"),
    ):
        with pytest.raises(InputError, match=message):
            gn.explain(network, images, methods="gradcam")
        with pytest.raises(InputError, match=message):
            gn.extract_features(network, images, "conv")
