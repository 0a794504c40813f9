"""What a network loses with a channel: equal to weights zeroed by hand, whatever the network's graph."""

import copy
import json

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import glassnet as gn
from glassnet.errors import InputError
from glassnet.microscope.local import ChannelSuffix
from odd_nets import Attention, ClassToken, Fused
from tiny_nets import TinyNet, coloured

IMAGES, LABELS = coloured(14, height=16, width=16)
PIXELS = torch.from_numpy(IMAGES).float() / 255


def state_of(model):
    return {name: one.clone() for name, one in model.state_dict().items()}, model.training, len(model._forward_hooks)


def seeded(make, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = make()
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_()
                module.running_var.uniform_(0.5, 2)
        return model


def losses(model, labels=LABELS, images=PIXELS):
    with torch.no_grad():
        output = model.eval()(images)
    return F.cross_entropy(output, torch.from_numpy(labels), reduction="none"), output.argmax(1).numpy() == labels


class Residual(nn.Module):
    """Two branches from one convolution, joined in place; a depthwise, a strided and a grouped convolution."""

    def __init__(self):
        super().__init__()
        self.stem, self.bn = nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.inner, self.deep = nn.Conv2d(6, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1, groups=6)
        self.side, self.grouped = nn.Conv2d(6, 8, 1, stride=2), nn.Conv2d(6, 8, 3, stride=2, padding=1, groups=2)
        self.act, self.fc = nn.ReLU(inplace=True), nn.Linear(8 * 4, 3)

    def forward(self, x):
        x = self.act(self.bn(self.stem(x)))
        y = self.act(self.inner(x))
        y += x
        y = self.side(self.deep(y)) + self.grouped(F.pad(y, (1, 1, 1, 1)))[:, :, :8, :8]
        return self.fc(F.adaptive_avg_pool2d(F.gelu(y), 2).flatten(1))


class ReadsNumbers(nn.Module):
    """Python decides by what the layer gives."""

    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4, 3)

    def forward(self, x):
        y = self.conv(x).relu().mean((2, 3))
        return self.fc(y) if float(y[:, 0].sum()) > 0 else -self.fc(2 * y)


class ThroughNumPy(nn.Module):
    """A number leaves torch and comes back, so that a trace takes it for a constant."""

    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4, 3)

    def forward(self, x):
        y = self.conv(x).mean((2, 3))
        return self.fc(y) * torch.from_numpy(np.abs(y.numpy())).max()


class Noisy(nn.Module):
    """Draws noise, and counts in a buffer that its output depends on."""

    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4, 3)
        self.register_buffer("passes", torch.zeros(1))

    def forward(self, x):
        self.passes += 1
        return self.fc(self.conv(x).mean((2, 3)) + torch.rand(4)) * self.passes


class Relus(nn.Module):
    """One ReLU that runs twice, as one convolution does."""

    def __init__(self):
        super().__init__()
        self.first, self.conv, self.relu = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3, padding=1), nn.ReLU()
        self.fc = nn.Linear(4, 3)

    def forward(self, x):
        x = self.relu(self.conv(self.first(x)))
        return self.fc(self.relu(self.conv(x)).mean((2, 3)))


@pytest.mark.parametrize("batch_size", [14, 5])
def test_weights_zeroed_by_hand(batch_size):
    net = seeded(TinyNet)
    before = state_of(net)
    result = gn.ablate(net, IMAGES, LABELS, "conv2", batch_size=batch_size)
    base, hits = losses(copy.deepcopy(net))
    assert result.replayed
    assert result.baseline == pytest.approx({"accuracy": hits.mean(), "loss": base.mean().item()}, abs=1e-6)
    for channel in range(8):
        zeroed = copy.deepcopy(net)
        zeroed.conv2.weight.data[channel] = 0
        zeroed.conv2.bias.data[channel] = 0
        loss, right = losses(zeroed)
        assert result.ablated["loss"][channel] == pytest.approx(loss.mean().item(), abs=1e-6)
        assert result.ablated["accuracy"][channel] == right.mean()
        change = (loss - base).double().numpy()
        assert result.standard_errors["loss"][channel] == pytest.approx(change.std(ddof=1) / 14**0.5, abs=1e-7)
        for label in range(3):
            of_class = loss[torch.from_numpy(LABELS) == label].mean().item()
            assert result.ablated_by_class["loss"][channel, label] == pytest.approx(of_class, abs=1e-6)
            assert result.ablated_by_class["accuracy"][channel, label] == right[label == LABELS].mean()
    after = state_of(net)
    assert after[1:] == before[1:]
    assert all(torch.equal(one, after[0][name]) for name, one in before[0].items())
    assert all(one.requires_grad and one.grad is None for one in net.parameters())


@pytest.mark.parametrize(
    ("make", "layer", "replayed"),
    [
        (Residual, "stem", True),
        (Residual, "inner", True),
        (Residual, "deep", True),
        (Residual, "side", True),
        (TinyNet, "bn", True),
        (TinyNet, "fc1", True),
        (TinyNet, "fc2", True),
        (Attention, "patch", True),
        (Fused, "patch", True),
        (ReadsNumbers, "conv", False),
        (ThroughNumPy, "conv", False),
    ],
)
def test_any_graph(make, layer, replayed):
    net = seeded(make)
    labels = LABELS % 2 if make in (Attention, Fused) else LABELS
    result = gn.ablate(net, IMAGES, labels, layer)
    assert result.replayed is replayed
    expected = [hooked_loss(net, layer, channel, labels) for channel in result.channels]
    np.testing.assert_allclose(result.ablated["loss"], expected, atol=2e-6)


def hooked_loss(net, layer, channel, labels, *, axis=1, filling=0.0):
    """Return the loss of a whole pass in which a hook sets the channel."""

    def hook(_module, _inputs, output):
        edited = output.clone()
        edited.select(axis, channel).fill_(filling)
        return edited

    handle = net.get_submodule(layer).register_forward_hook(hook)
    try:
        return losses(net, labels)[0].mean().item()
    finally:
        handle.remove()


def test_tokens():
    """The channels of tokens are their last axis, the class token's too."""

    class Encoder(ClassToken):
        def __init__(self):
            super().__init__()
            self.mlp = nn.Sequential(nn.LayerNorm(8), nn.Linear(8, 5), nn.GELU(), nn.Linear(5, 8))

        def mix(self, tokens):
            tokens = super().mix(tokens)
            return tokens + self.mlp(tokens)

    net, labels = seeded(Encoder), LABELS % 2
    for layer, count in (("mlp.1", 5), ("mlp.2", 5), ("mlp.3", 8)):
        result = gn.ablate(net, IMAGES, labels, layer)
        assert result.channels.tolist() == list(range(count))
        expected = [hooked_loss(net, layer, channel, labels, axis=2) for channel in range(count)]
        np.testing.assert_allclose(result.ablated["loss"], expected, atol=1e-6)


def test_mean_over_all_images_and_pixels():
    net = seeded(TinyNet).eval()
    result = gn.ablate(net, IMAGES, LABELS, "conv1", value="mean", batch_size=5)
    with torch.no_grad():
        means = net.conv1(PIXELS).mean((0, 2, 3))
    for channel in range(4):
        loss = hooked_loss(net, "conv1", channel, LABELS, filling=means[channel].item())
        assert result.ablated["loss"][channel] == pytest.approx(loss, abs=1e-6)


def test_a_layer_that_runs_twice():
    net = seeded(Relus)
    both = gn.ablate(net, IMAGES, LABELS, "conv")
    second = gn.ablate(net, IMAGES, LABELS, "relu:1")
    for channel in range(4):
        zeroed = copy.deepcopy(net)
        zeroed.conv.weight.data[channel] = 0
        zeroed.conv.bias.data[channel] = 0
        assert both.ablated["loss"][channel] == pytest.approx(losses(zeroed)[0].mean().item(), abs=1e-6)
        last = copy.deepcopy(net)
        last.fc.weight.data[:, channel] = 0
        assert second.ablated["loss"][channel] == pytest.approx(losses(last)[0].mean().item(), abs=1e-6)


def test_random_draws_and_a_state_are_the_same_in_every_pass(capsys):
    net = seeded(Noisy)
    torch.manual_seed(3)
    first = gn.ablate(net, IMAGES, LABELS, "conv")
    second = gn.ablate(net, IMAGES, LABELS, "conv")
    assert not first.replayed
    assert "takes a full pass" in capsys.readouterr().err
    np.testing.assert_array_equal(first.ablated["loss"], second.ablated["loss"])
    assert net.passes.item() == 0
    noise = torch.rand(4)
    zeroed = copy.deepcopy(net).eval()
    with torch.no_grad():
        rows = zeroed.conv(PIXELS).mean((2, 3))
        rows[:, 2] = 0
        loss = F.cross_entropy(zeroed.fc(rows + noise), torch.from_numpy(LABELS))
    assert first.ablated["loss"][2] == pytest.approx(loss.item(), abs=1e-6)


def test_seeds_repeat_bit_for_bit():
    net = seeded(Residual)
    one, other = (gn.ablate(net, IMAGES, LABELS, "inner").to_json() for _ in range(2))
    assert one == other


def test_the_columns_of_one_channel_equal_the_whole_suffix(monkeypatch):
    """With and without the shortcut past what mixes channels; with large numbers, which it must not take off."""
    net = seeded(TinyNet)
    quick = gn.ablate(net, IMAGES, LABELS, "conv1")
    monkeypatch.setattr(ChannelSuffix, "_is_linear", lambda *_: False)
    whole = gn.ablate(net, IMAGES, LABELS, "conv1")
    np.testing.assert_allclose(quick.ablated["loss"], whole.ablated["loss"], atol=1e-6)


def test_a_channel_of_huge_numbers_is_not_taken_off():
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 3, bias=False), nn.Linear(3, 3, bias=False))
    images = torch.rand(9, 1, 2, 2)
    with torch.no_grad():
        net[1].weight[0] *= 1e9
        net[2].weight[:, 0] = torch.tensor([1.0, 1.0, 1.0])
    result = gn.ablate(net, images, np.arange(9) % 3, "1")
    with torch.no_grad():
        rows = net[1](images.flatten(1))
        rows[:, 0] = 0
        loss = F.cross_entropy(net[2](rows), torch.arange(9) % 3)
    assert result.ablated["loss"][0] == pytest.approx(loss.item(), rel=1e-5)


def test_dead_channels_cost_nothing_and_one_image_has_no_interval():
    net = seeded(TinyNet)
    net.conv2.bias.data[5] = -1000
    result = gn.ablate(net, IMAGES[:1], LABELS[:1], "relu:1", channels=[5, 2])
    assert result.lost("loss")[0] == 0
    assert result.channels.tolist() == [5, 2]
    assert result.interval(2) is None
    assert json.loads(json.dumps(result.to_json(), allow_nan=False))["standard_errors"]["loss"] == [None, None]
    assert np.isnan(result.baseline_by_class["loss"][1:]).all()


def test_constant_images():
    result = gn.ablate(seeded(TinyNet), torch.full((6, 3, 16, 16), 0.5), LABELS[:6], "conv1")
    assert np.isfinite(result.ablated["loss"]).all()


def test_a_channel_of_nan_is_cured_by_zero_and_has_no_mean(capsys):
    net = seeded(TinyNet)
    net.conv2.bias.data[3] = float("nan")
    result = gn.ablate(net, IMAGES, LABELS, "conv2")
    assert "NaN or infinite values for 14 of 14" in capsys.readouterr().err
    assert result.baseline["accuracy"] == 0
    assert np.isnan(result.baseline["loss"])
    assert np.isfinite(result.ablated["loss"]).tolist() == [channel == 3 for channel in range(8)]
    json.dumps(result.to_json(), allow_nan=False)
    assert "channel 0" in repr(result)
    with pytest.raises(InputError, match="channel 3 of conv2 has no mean"):
        gn.ablate(net, IMAGES, LABELS, "conv2", value="mean")


def test_segmentation():
    net = seeded(lambda: nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.ReLU(), nn.Conv2d(5, 3, 1)))
    masks = np.random.default_rng(0).integers(0, 3, (14, 16, 16)).astype(np.uint8)
    masks[:, 0] = 255
    result = gn.ablate(net, IMAGES, masks, "0", batch_size=4)
    zeroed = copy.deepcopy(net)
    zeroed[2].weight.data[:, 1] = 0
    with torch.no_grad():
        logits = zeroed(PIXELS)
    known = masks != 255
    ious = []
    for label in range(3):
        said, truth = (logits.argmax(1).numpy() == label)[known], (masks == label)[known]
        ious.append((said & truth).sum() / (said | truth).sum())
    assert result.measure == "mean_iou"
    np.testing.assert_allclose(result.ablated_by_class["iou"][1], ious)
    assert result.ablated["mean_iou"][1] == pytest.approx(np.mean(ious))
    loss = F.cross_entropy(logits, torch.from_numpy(masks).long(), ignore_index=255)
    assert result.ablated["loss"][1] == pytest.approx(loss.item(), abs=1e-6)


def test_reconstruction_and_a_metric_of_ones_own():
    net = seeded(lambda: nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Sigmoid(), nn.Conv2d(4, 3, 1)))
    result = gn.ablate(net, IMAGES, None, "0")
    own = gn.ablate(net, IMAGES, None, "0", metric=lambda output, _: output.flatten(1).mean(1))
    with torch.no_grad():
        inner = net[0](PIXELS)
        inner[:, 2] = 0
        given = net[2](inner.sigmoid())
    assert result.measure == "psnr"
    psnr = -10 * (given - PIXELS).square().flatten(1).mean(1).log10()
    assert result.ablated["psnr"][2] == pytest.approx(psnr.mean().item(), abs=1e-4)
    assert own.ablated["metric"][2] == pytest.approx(given.mean().item(), abs=1e-5)
    assert own.lost()[2] == pytest.approx(own.baseline["metric"] - own.ablated["metric"][2])


def test_an_autoencoder_is_judged_by_its_images_not_by_their_logits():
    images = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    model = gn.create_model("vae_conv", in_channels=1, image_size=8, latent=2, hidden=4, filters=(2, 4)).eval()
    with torch.no_grad():
        given_back = model(images).images
    expected = -10 * ((given_back - images) ** 2).mean(dim=(1, 2, 3)).log10().mean()
    (layer,) = [name for name, one in model.named_modules() if isinstance(one, nn.Conv2d)][:1]
    for labels in (None, images):
        found = gn.ablate(model, images, labels, layer)
        assert found.kind == "reconstruction"
        assert found.baseline["psnr"] == pytest.approx(float(expected), rel=1e-5)


def test_several_labels_an_image():
    truth = np.random.default_rng(0).integers(0, 2, (14, 3))
    result = gn.ablate(seeded(TinyNet), IMAGES, truth, "conv2")
    assert list(result.baseline) == ["exact_match", "hamming_loss", "loss"]
    assert result.ablated_by_class["accuracy"].shape == (8, 3)
    np.testing.assert_allclose(1 - result.ablated_by_class["accuracy"].mean(1), result.ablated["hamming_loss"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layer": "conv"}, "means 2 layers; expected one, such as 'conv1'"),
        ({"layer": "conv9"}, "no layer 'conv9'"),
        ({"channels": [0, 8]}, "expected distinct whole numbers from 0 to 7"),
        ({"channels": [1, 1]}, "expected distinct whole numbers"),
        ({"value": "one"}, "value is 'one', expected zero or mean"),
        ({"labels": LABELS + 1}, "labels holds 3, expected the model's classes, 0 to 2"),
        ({"labels": LABELS[:3]}, "labels has shape .* for 14 images"),
        ({"labels": None}, "there are no labels"),
        ({"metric": lambda output, _: output}, "expected one number per image"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_refusals(options, message):
    with pytest.raises(InputError, match=message):
        gn.ablate(TinyNet(), IMAGES, **({"labels": LABELS, "layer": "conv2"} | options))


def test_layers_without_channels_are_refused():
    class Gives(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm, self.fc = nn.LSTM(16, 4, batch_first=True), nn.Linear(4, 3)

        def forward(self, x):
            return self.fc(self.lstm(x.mean(1))[0][:, -1])

    with pytest.raises(InputError, match="gives a tuple instead of a tensor"):
        gn.ablate(Gives(), IMAGES, LABELS, "lstm")


def test_the_order_and_table():
    result = gn.ablate(seeded(TinyNet), IMAGES, LABELS, "conv2")
    order = result.order("loss")
    lost = result.lost("loss")
    assert (np.diff(lost[order]) <= 0).all()
    assert len(result.table().rows) == 8
    with pytest.raises(InputError, match="no measure 'psnr' here, expected one of accuracy, loss"):
        result.lost("psnr")
    with pytest.raises(InputError, match="channel 9 of conv2 was not ablated"):
        result.interval(9)


def test_probabilities_are_turned_into_logits_or_it_is_said(capsys):
    net = seeded(TinyNet)
    plain = gn.ablate(net, IMAGES, LABELS, "conv2")
    assert "probabilities" not in capsys.readouterr().err
    ending = nn.Sequential(net, nn.Softmax(dim=1))
    found = gn.ablate(ending, IMAGES, LABELS, "0.conv2", to_logits=torch.log)
    assert "probabilities" not in capsys.readouterr().err
    assert found.baseline == pytest.approx(plain.baseline, abs=1e-6)
    for key in plain.ablated:
        np.testing.assert_allclose(found.ablated[key], plain.ablated[key], atol=1e-5)
    gn.ablate(ending, IMAGES, LABELS, "0.conv2")
    assert "look like probabilities but are read as logits; pass to_logits=torch.log" in capsys.readouterr().err


@pytest.mark.parametrize("squeezed", [False, True])
def test_one_logit_a_pixel_is_that_of_class_1(squeezed):
    """By hand: an intersection and a union of each class, with the channel and without it."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.head = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 1, 1)

        def forward(self, x):
            found = self.head(self.conv(x).relu())
            return found[:, 0] if squeezed else found

    net = seeded(Net)
    masks = (PIXELS.mean(dim=1) > 0.4).long()
    masks[:, 0] = 255
    found = gn.ablate(net, PIXELS, masks.numpy(), "conv")
    assert found.kind == "segmentation"
    known = masks != 255
    for channel in (None, 0, 3):
        other = copy.deepcopy(net).eval()
        if channel is not None:
            other.conv.weight.data[channel] = other.conv.bias.data[channel] = 0
        with torch.no_grad():
            logits = other(PIXELS).reshape(masks.shape)
        guess, truth = (logits[known] > 0), masks[known] == 1
        ious = [float((a & b).sum() / (a | b).sum()) for a, b in ((guess, truth), (~guess, ~truth))]
        loss = float(F.binary_cross_entropy_with_logits(logits[known], truth.float()))
        figures = found.baseline if channel is None else {key: one[channel] for key, one in found.ablated.items()}
        assert figures["mean_iou"] == pytest.approx(np.mean(ious), abs=1e-5)
        assert figures["pixel_accuracy"] == pytest.approx(float((guess == truth).double().mean()), abs=1e-6)
        assert figures["loss"] == pytest.approx(loss, rel=1e-4)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([float("nan")] * 14, "labels holds nan, expected the model's classes, 0 to 2"),
        ([float("inf")] * 14, "labels holds inf, expected the model's classes, 0 to 2"),
        ([0.5] * 14, r"labels holds 0\.5, expected the model's classes, 0 to 2"),
        ([0, 7] * 7, "labels holds 7, expected the model's classes, 0 to 2"),
        (["cat"] * 14, "labels is not an array of numbers"),
        ([[1], [1, 0]] * 7, "labels is not an array of numbers"),
    ],
)
def test_what_is_no_label_is_refused(labels, message):
    with pytest.raises(InputError, match=message):
        gn.ablate(TinyNet(), IMAGES, labels, "conv1")


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_attention_that_drops_nothing_is_replayed(dropout, capsys):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 8, 4, stride=4)
            self.encoder = nn.TransformerEncoderLayer(8, 2, 16, dropout=dropout, batch_first=True)
            self.attention, self.fc = nn.MultiheadAttention(8, 2, dropout=dropout, batch_first=True), nn.Linear(8, 3)

        def forward(self, x):
            tokens = self.encoder(self.conv(x).flatten(2).transpose(1, 2))
            return self.fc(self.attention(tokens, tokens, tokens, need_weights=False)[0].mean(dim=1))

    net = seeded(Net)
    found = gn.ablate(net, PIXELS, LABELS, "conv")
    assert found.replayed
    assert "random" not in capsys.readouterr().err
    for channel in (0, 7):
        other = copy.deepcopy(net)
        other.conv.weight.data[channel] = other.conv.bias.data[channel] = 0
        assert found.ablated["loss"][channel] == pytest.approx(float(losses(other)[0].mean()), rel=1e-4)


def test_attention_that_drops_takes_whole_passes(capsys):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.fc = nn.Conv2d(3, 8, 4, stride=4), nn.Linear(8, 3)

        def forward(self, x):
            tokens = self.conv(x).flatten(2).transpose(1, 2)[:, None]
            return self.fc(F.scaled_dot_product_attention(tokens, tokens, tokens, dropout_p=0.2)[:, 0].mean(dim=1))

    assert not gn.ablate(seeded(Net), PIXELS, LABELS, "conv", channels=[0]).replayed
    assert "draws random numbers" in capsys.readouterr().err
