"""Features of any layers in one pass over batches."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from jaxtyping import config
from torch import nn

from glassnet.errors import InputError, WorkError
from glassnet.models import create_model
from glassnet.models.features import extract_features

IMAGES = torch.rand(10, 1, 12, 12, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def convnet():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return create_model("convnet", in_channels=1, num_classes=4, image_size=12)


class Tokens(nn.Module):
    """Six tokens of four numbers, then a class."""

    def __init__(self):
        super().__init__()
        self.embed, self.head = nn.Linear(24, 4), nn.Linear(4, 3)

    def forward(self, x):
        return self.head(self.embed(x.view(len(x), 6, 24)).mean(1))


def by_hand(model, names):
    """Run a chain of modules one by one, in evaluation mode."""
    outputs, value = {}, IMAGES
    for name, module in model.eval().named_children():
        value = module(value)
        if name in names:
            outputs[name] = value.detach()
    return outputs


@pytest.mark.parametrize("batch_size", [3, 10, 512])
def test_rows_equal_a_pass_layer_by_layer(convnet, batch_size):
    features = extract_features(convnet, IMAGES, ["fc2", "conv*", "relu5"], batch_size=batch_size)
    expected = by_hand(convnet, ["conv1", "conv2", "conv3", "conv4", "relu5", "fc2"])
    assert list(features) == list(expected)
    for name, value in expected.items():
        pooled = value.mean((2, 3)) if value.ndim == 4 else value
        assert features[name].dtype == np.float32
        np.testing.assert_allclose(features[name], pooled, atol=1e-6)


def test_modules_are_taken_as_layers(convnet):
    features = extract_features(convnet, IMAGES, [convnet.fc2, convnet.conv1])
    assert list(features) == ["conv1", "fc2"]
    np.testing.assert_array_equal(features["fc2"], extract_features(convnet, IMAGES, "fc2")["fc2"])
    tokens = Tokens()
    tokens.unused = nn.Linear(4, 3)
    with pytest.raises(InputError, match="layer 'unused' did not run"):  # as where it is asked for by name
        extract_features(tokens, IMAGES, ["*", tokens.unused])


def test_pool_none_keeps_every_number(convnet):
    features = extract_features(convnet, IMAGES, ["conv3", "fc1"], pool="none", batch_size=4)
    for name, value in by_hand(convnet, ["conv3", "fc1"]).items():
        np.testing.assert_allclose(features[name], value.flatten(1), atol=1e-6)


def test_tokens_are_averaged():
    model = Tokens()
    features = extract_features(model, IMAGES, "linear")
    tokens = model.embed(IMAGES.view(10, 6, 24)).detach()
    np.testing.assert_allclose(features["embed"], tokens.mean(1), atol=1e-6)
    assert features["head"].shape == (10, 3)
    rows = extract_features(model, IMAGES, "embed", pool="none")["embed"]
    np.testing.assert_allclose(rows, tokens.flatten(1), atol=1e-6)


def test_a_layers_own_output_is_taken_before_an_in_place_operation():
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(inplace=True))
    features = extract_features(model, IMAGES, "*", pool="none")
    assert features["0"].min() < 0
    np.testing.assert_array_equal(features["1"], features["0"].clip(0))


def test_each_call_of_a_reused_layer():
    relu = nn.ReLU()
    model = nn.Sequential(relu, nn.Conv2d(1, 2, 3), relu)
    features = extract_features(model, IMAGES, ["0", "1"], batch_size=4)
    assert [(name, value.shape) for name, value in features.items()] == [
        ("0:0", (10, 1)),
        ("0:1", (10, 2)),
        ("1", (10, 2)),
    ]


def test_uint8_arrays_are_scaled_to_one(convnet):
    whole = (IMAGES * 255).round().to(torch.uint8)
    expected = extract_features(convnet, whole.float() / 255, "fc1")["fc1"]
    array = whole.numpy()
    array.flags.writeable = False
    for images in (whole, array, array / 255):
        np.testing.assert_allclose(extract_features(convnet, images, "fc1")["fc1"], expected, atol=1e-6)


def test_the_callers_modes_do_not_matter(convnet):
    expected = extract_features(convnet, IMAGES, "fc1")["fc1"]
    with torch.inference_mode():
        features = extract_features(convnet, IMAGES.clone(), "fc1")
    np.testing.assert_array_equal(features["fc1"], expected)
    with torch.autocast("cpu", torch.bfloat16):
        np.testing.assert_array_equal(extract_features(convnet, IMAGES, "fc1")["fc1"], expected)


def test_bf16_is_close_and_float32(convnet):
    expected = extract_features(convnet, IMAGES, "conv4")["conv4"]
    for model, precision in ((convnet, "bf16"), (convnet.bfloat16(), "fp32")):
        features = extract_features(model, IMAGES, "conv4", precision=precision)["conv4"]
        assert features.dtype == np.float32
        assert 0 < np.abs(features - expected).max() < 0.03 * np.abs(expected).max()


def test_the_model_is_left_as_found_also_when_it_raises(convnet):
    convnet.train()
    convnet.bn2.eval()
    convnet.fc2.weight.requires_grad_(False)

    def fail(*_):
        raise ValueError("no paper in the printer")

    def state():
        hooks = sum(len(module._forward_hooks) for module in convnet.modules())
        weights = {name: value.tolist() for name, value in convnet.state_dict().items()}
        return [m.training for m in convnet.modules()], [p.requires_grad for p in convnet.parameters()], hooks, weights

    before = state()
    extract_features(convnet, IMAGES, "all")
    assert state() == before
    hook = convnet.fc2.register_forward_pre_hook(fail)
    with pytest.raises(
        InputError, match=r"ConvNet fails on images of shape \(10, 1, 12, 12\): no paper in the printer\."
    ):
        extract_features(convnet, IMAGES, "all")
    hook.remove()
    assert state() == before
    assert all(p.grad is None for p in convnet.parameters())


def test_what_the_model_keeps_for_itself_stays_fit_for_training():
    class Caches(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale, self.table = nn.Conv2d(1, 1, 1), None

        def forward(self, x):
            self.table = torch.ones(12) if self.table is None else self.table
            return self.scale(x) * self.table

    model = Caches()
    extract_features(model, IMAGES, "scale")
    model(IMAGES).sum().backward()  # raises for a table made under torch.inference_mode
    assert model.scale.weight.grad is not None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": IMAGES[0]}, r"images has shape \(1, 12, 12\), expected"),
        ({"images": IMAGES[:0]}, "so it is empty; pass at least one image"),
        ({"images": IMAGES.int()}, "images has dtype int32"),
        (
            {"images": IMAGES.expand(10, 3, 12, 12)},
            r"the model got images of shape \(10, 3, 12, 12\), expected \(batch, 1, height, width\)",
        ),
        ({"images": IMAGES / torch.arange(10).view(10, 1, 1, 1)}, "image 0 has NaN or infinite pixels; leave it out"),
        ({"layers": "conv9"}, "no layer 'conv9' in ConvNet"),
        ({"layers": ["conv1", "fc1:1"]}, "layer 'fc1' has no call 1: it ran 1 times"),
        ({"pool": "max"}, "pool is 'max', expected mean or none"),
        ({"batch_size": 0}, "batch_size is 0, expected at least 1"),
        ({"precision": "fp16"}, "the precision is 'fp16'"),
    ],
)
def test_wrong_input_is_refused_in_one_sentence(convnet, change, message):
    options = {"images": IMAGES, "layers": "fc1"} | change
    config.update("jaxtyping_disable", True)
    try:
        with pytest.raises(InputError, match=message):
            extract_features(convnet, **options)
    finally:
        config.update("jaxtyping_disable", False)


class Odd(nn.Module):
    def __init__(self, output):
        super().__init__()
        self.body, self.output = nn.Identity(), output

    def forward(self, x):
        self.body(x)
        return self.output


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ((1, 2), "layer 'odd' gives a tuple instead of a tensor; choose a part with output=, or choose a layer"),
        (torch.ones(3, 2), r"layer 'odd' gives a tensor of shape \(3, 2\) for 10 images, which has no axis known"),
        (torch.tensor(1.0), "layer 'odd' gives a single number for all images, not one row per image"),
    ],
)
def test_an_output_without_a_row_an_image_is_refused_by_name_and_left_out_of_patterns(output, message):
    model = nn.ModuleDict({"odd": Odd(output)})
    model.forward = model["odd"].forward
    model.forward = lambda x: model["odd"](x)
    with pytest.raises(InputError, match=message):
        extract_features(model, IMAGES, ["odd", "odd.body"])
    assert list(extract_features(model, IMAGES, "odd*")) == ["odd.body"]


def test_a_layer_that_runs_for_some_batches_only_is_said():
    class Moody(nn.Module):
        def __init__(self):
            super().__init__()
            self.often, self.seldom = nn.Conv2d(1, 1, 1), nn.Conv2d(1, 1, 1)

        def forward(self, x):
            return self.often(x) if len(x) < 4 else self.seldom(self.often(x))

    assert set(extract_features(Moody(), IMAGES, "all")) == {"often", "seldom"}
    with pytest.raises(
        WorkError, match=r"a layer gave 8 rows for 10 images, .* pass batch_size=10 to process all images at once"
    ):
        extract_features(Moody(), IMAGES, "all", batch_size=4)


MEASURE = """
import re, sys, torch
from glassnet.models import create_model
from glassnet.models.features import extract_features
count, filters = int(sys.argv[1]), int(sys.argv[2])
model = create_model("convnet", in_channels=1, num_classes=10, image_size=28, filters=(filters,) * 4, hidden=128)
images = torch.zeros(count, 1, 28, 28, dtype=torch.uint8)
features = extract_features(model, images, ["conv", "linear"])
assert {f.shape[0] for f in features.values()} == {count}
# Not ru_maxrss, which begins at what the parent process had.
print(int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1]) * 1024)
"""


def peak_bytes(count, filters):
    command = [sys.executable, "-c", MEASURE, str(count), str(filters)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").exists(), reason="the peak is read from /proc")
def test_sixty_thousand_digits_stay_well_under_two_gigabytes():
    # A batch costs what the wide network costs, all images what the many do; both together are the report's network.
    assert peak_bytes(1024, 32) < 0.8e9
    assert peak_bytes(60_000, 2) < 0.6e9


def test_the_pass_that_tells_layouts_gives_no_rows():
    class Tokens(nn.Module):
        def __init__(self):
            super().__init__()
            self.patch, self.norm = nn.Conv2d(3, 6, 4, stride=4), nn.LayerNorm(6)

        def forward(self, x):
            return self.norm(self.patch(x).flatten(2).transpose(1, 2))

    network, images = Tokens(), torch.rand(5, 3, 8, 8)
    rows = extract_features(network, images, "norm", pool="none", batch_size=2)["norm"]
    with torch.no_grad():
        torch.testing.assert_close(torch.from_numpy(rows), network(images).flatten(1))


class Recurrent(nn.Module):
    """An LSTM over the rows of pixels, which gives its outputs and, as a tuple of two, its last state."""

    def __init__(self):
        super().__init__()
        self.lstm, self.head = nn.LSTM(12, 7, batch_first=True), nn.Linear(7, 2)

    def forward(self, x):
        return self.head(self.lstm(x[:, 0])[0][:, -1])


def test_of_a_layer_that_gives_a_tuple_the_only_tensor_or_the_part_named_is_taken():
    torch.manual_seed(0)
    network = Recurrent().eval()
    with torch.no_grad():
        outputs, (state, _) = network.lstm(IMAGES[:, 0])
    taken = extract_features(network, IMAGES, "lstm", pool="none")["lstm"]
    np.testing.assert_allclose(taken, outputs.flatten(1), atol=1e-6)
    named = extract_features(network, IMAGES, "lstm", output=lambda given: given[1][0][0])
    np.testing.assert_allclose(named["lstm"], state[0], atol=1e-6)
    with pytest.raises(InputError, match="output is index 2, but the model gives a tuple with 2 entries"):
        extract_features(network, IMAGES, "lstm", output=2)


def test_layers_that_give_no_rows_are_left_out_and_named(capsys):
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(2), nn.GRU(16, 5, batch_first=True)).eval()
    assert list(extract_features(net, torch.rand(2, 3, 6, 6), "all", pool="none")) == ["0", "1"]
    assert "left out 2: it gives a tuple instead of a tensor; choose a part with output=" in capsys.readouterr().err
