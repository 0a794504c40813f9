"""The engine: what it costs, what it takes, and what it says when it cannot go on."""

from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from glassnet.attribution import explain
from glassnet.errors import InputError, WorkError

BOTH = ("gradcam", "guided_gradcam")


def small():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(256, 5))


def test_one_forward_and_one_backward_pass_and_one_more_for_guiding(monkeypatch, build_network, images):
    backwards, forwards = [], []
    grad = torch.autograd.grad
    monkeypatch.setattr(torch.autograd, "grad", lambda *args, **options: backwards.append(1) or grad(*args, **options))
    for name in ("convnet", "in-place", "shared", "functional"):
        model = build_network(name)
        # Passes of all images; those of one tell how images may lie in memory.
        model.register_forward_pre_hook(lambda _, taken: forwards.append(1) if len(taken[0]) == len(images) else None)
        for methods, passes in (("gradcam", 1), ("guided_backpropagation", 1), (BOTH, 2)):
            forwards.clear(), backwards.clear()
            explain(model, images, methods=methods)
            assert (len(forwards), len(backwards)) == (1, passes)


def test_an_unforeseen_in_place_operation_costs_one_more_forward_pass_in_all(build_network, images):
    model, forwards = build_network("residual"), []
    model.register_forward_pre_hook(lambda *_: forwards.append(1) and None)
    explain(model, images, batch_size=2)
    assert len(forwards) == 4 + 1


def test_no_graph_is_built_before_the_first_layer_asked_for(images):
    model, graphs = small(), []
    model[1].register_forward_hook(lambda _m, _i, output: graphs.append(output.requires_grad))
    explain(model, images[:3], layers="2", methods="gradcam")
    explain(model, images[:3], layers="0", methods="gradcam")
    assert graphs == [False, True]


@pytest.mark.parametrize(
    "context", [torch.no_grad, torch.inference_mode, lambda: torch.autocast("cpu", torch.bfloat16)]
)
def test_the_callers_modes_do_not_matter(network, images, context):
    expected = explain(network, images)
    with context():
        explained = explain(network, images.clone())
    for key, value in expected.maps.items():
        np.testing.assert_array_equal(explained[key], value)


def test_uint8_arrays_and_tensors_are_one(images):
    model, whole = small(), (images * 255).round().to(torch.uint8)
    expected = explain(model, whole.float() / 255)
    array = whole.numpy()
    array.flags.writeable = False
    for same in (whole, array, array.astype(np.float64) / 255, (whole.double() / 255).requires_grad_()):
        explained = explain(model, same)
        for key, value in expected.maps.items():
            np.testing.assert_allclose(explained[key], value, rtol=1e-4, atol=1e-9)


def test_a_model_that_writes_into_its_input_changes_nobodys_images(images):
    class Shifts(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = small()

        def forward(self, x):
            x -= 0.5
            return self.body(x)

    before = images.clone()
    shifted, plain = explain(Shifts(), images, layers="body.*"), explain(Shifts().body, images - 0.5, layers="*")
    assert torch.equal(images, before)
    np.testing.assert_allclose(shifted["guided_gradcam", "body.2"], plain["guided_gradcam", "2"], atol=1e-9)


class Pyramid(nn.Module):
    """One convolution at two scales, and layers that cannot be explained: unused, cut off, not run, not maps."""

    def __init__(self):
        super().__init__()
        self.conv, self.unused, self.asleep = (nn.Conv2d(3, 3, 3, padding=1) for _ in range(3))
        self.frozen, self.head, self.pair = nn.Conv2d(3, 3, 1), nn.Linear(3, 5), Pair()

    def forward(self, x):
        self.unused(x)
        with torch.no_grad():
            x = x + self.frozen(x)
        x = self.conv(F.avg_pool2d(self.conv(x), 2).relu())
        return self.head(self.pair(x)[0].mean((2, 3)))


class Pair(nn.Module):
    def forward(self, x):
        return x, x


def test_a_layer_that_runs_twice_is_explained_at_each_call(images):
    torch.manual_seed(0)
    model = Pyramid()
    explanation = explain(model, images, methods="gradcam")
    assert explanation.layers == ("conv:0", "conv:1")
    assert explanation.raw["gradcam", "conv:0"].shape == (7, 12, 12)
    assert explanation.raw["gradcam", "conv:1"].shape == (7, 6, 6)
    last = explain(model, images, methods="gradcam", layers="conv:1")
    np.testing.assert_array_equal(last["gradcam", "conv:1"], explanation["gradcam", "conv:1"])
    # The first call's gradient includes what flows through the second.
    first = (images + model.frozen(images).detach()).requires_grad_()
    at = model.conv(first)
    at.retain_grad()
    model.head(model.conv(F.avg_pool2d(at, 2).relu()).mean((2, 3))).max(1).values.sum().backward()
    expected = (at.grad.mean((2, 3), keepdim=True) * at).sum(1).relu().detach()
    np.testing.assert_allclose(explanation["gradcam", "conv:0"], expected, rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ("asleep", "layer 'asleep' did not run when the model was called in evaluation mode"),
        ("unused", "layer 'unused' has no gradient path to the score: .* or the score ignores it"),
        ("frozen", r"layer 'frozen' runs under torch.no_grad\(\), so no gradient path"),
        (
            "head",
            r"layer 'head' gives shape \(7, 5\), but a map needs \(7, channel, height, width\); choose a convolution",
        ),
        ("pair", "layer 'pair' gives a tuple instead of a tensor"),
        ("conv:2", "layer 'conv' has no call 2: it ran 2 times, and its calls are numbered from 0 to 1"),
        (
            "conv9",
            r"no layer 'conv9' in Pyramid. Did you mean conv .* Its convolutions are conv, unused, asleep, frozen",
        ),
    ],
)
def test_a_layer_that_cannot_be_explained_is_refused_by_name(images, layer, message):
    with pytest.raises(InputError, match=message):
        explain(Pyramid(), images, layers=["conv", layer], methods="gradcam")


def test_modules_are_taken_as_layers_and_stand_under_their_names(images):
    torch.manual_seed(0)
    model = Pyramid()
    explanation = explain(model, images, layers=model.conv, methods="gradcam")
    assert explanation.layers == ("conv:0", "conv:1")
    with pytest.raises(InputError, match="layer 'unused' has no gradient path"):  # as where it is asked for by name
        explain(model, images, layers=["conv", model.unused], methods="gradcam")
    with pytest.raises(InputError, match="layers holds a Conv2d that is not in this Pyramid"):
        explain(model, images, layers=[Pyramid().conv], methods="gradcam")


def test_a_kind_leaves_out_what_cannot_be_explained(images):
    assert explain(Pyramid(), images, layers="all", methods="gradcam").layers == ("conv:0", "conv:1")
    with pytest.raises(InputError, match="layer 'head' gives shape"):
        explain(Pyramid(), images, layers="linear", methods="gradcam")


def test_no_gradient_path_to_the_images_is_said(images):
    with pytest.raises(InputError, match="no gradient path leads from the images to the score"):
        explain(Pyramid(), images, methods="guided_backpropagation")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda x: x[0], r"images has shape \(3, 12, 12\), expected \(n, channel, height, width\)"),
        (lambda x: x[:0], r"images has shape \(0, 3, 12, 12\), so it is empty; pass at least one image"),
        (lambda x: x.long(), r"images has dtype int64, expected uint8 \(0 to 255\) or float \(0 to 1\)"),
        (lambda x: x.tolist(), "images is a list, expected a tensor or NumPy array"),
        (lambda x: x[:, :1], r"images has shape \(n, 1, 12, 12\), but Sequential takes images of 3 channels"),
        (lambda x: x[:, :, :9], r"Sequential fails on images of shape \(2, 3, 9, 12\): mat1 and mat2 shapes cannot be"),
        (lambda x: x.index_fill(0, torch.tensor([5]), torch.nan), "image 5 has NaN or infinite pixels"),
        (lambda x: (x / 0).numpy(), "image 0 has NaN or infinite pixels"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_wrong_images_are_refused_in_one_sentence(images, make, message):
    with pytest.raises(InputError, match=message) as caught:
        explain(small(), make(images), batch_size=2)
    assert "\n" not in str(caught.value)


def test_other_wrong_input_is_refused(images):
    with pytest.raises(InputError, match="batch_size is 0, expected at least 1"):
        explain(small(), images, batch_size=0)
    broken = small()
    broken[5].weight.data[:] = torch.nan
    with pytest.raises(InputError, match="the model gives a NaN or infinite score for 7 of 7 images"):
        explain(broken, images)


def test_a_layer_that_runs_for_some_batches_only_is_said(images):
    class Moody(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.extra = small(), nn.Conv2d(3, 3, 1)

        def forward(self, x):
            return self.body(self.extra(x) if len(x) == 3 else x)

    with pytest.raises(WorkError, match=r"a layer gave 6 rows for 7 images, because .* pass batch_size=7 to process"):
        explain(Moody(), images, batch_size=3, methods="gradcam")


def test_an_unknown_method_or_layer_of_an_explanation_is_said(images):
    explanation = explain(small(), images)
    with pytest.raises(InputError, match=r"gradcam has no layer '1' here. Its layers are 0, 2."):
        explanation["gradcam", "1"]
    with pytest.raises(InputError, match=r"no method 'cam' here; .* for 'gradcam' at 0, 2, 'guided_gradcam' at 0, 2."):
        explanation.raw["cam", "0"]


def test_a_model_that_views_its_maps_is_run_in_the_layout_it_takes(images):
    class Views(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.head = nn.Conv2d(3, 4, 3), nn.Linear(400, 5)

        def forward(self, x):
            x = self.conv(x).relu()
            return self.head(x.view(len(x), -1))

    torch.manual_seed(0)
    model, forwards = Views(), []
    model.register_forward_pre_hook(lambda *_: forwards.append(1) and None)
    explanation = explain(model, images, batch_size=4)
    assert len(forwards) == 2 + 2  # one image in each order finds it out, once
    plain = nn.Sequential(model.conv, nn.ReLU(), nn.Flatten(), model.head)
    for key, value in explain(plain, images).maps.items():
        theirs = explanation[key[0], key[1].replace("0", "conv")]
        np.testing.assert_allclose(theirs, value, rtol=1e-4, atol=1e-7)


def test_a_layer_is_explained_where_only_some_of_its_calls_give_maps(images):
    shared = nn.ReLU()
    parts = {"conv": nn.Conv2d(3, 4, 3), "relu": shared, "flat": nn.Flatten(), "fc": nn.Linear(400, 5), "again": shared}
    model = nn.Sequential(OrderedDict(parts))
    for layers in ("relu", "all"):
        assert "relu:0" in explain(model, images, target=1, layers=layers, methods="gradcam").layers
