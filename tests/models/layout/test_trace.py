"""Layouts traced: whatever a network does to a map without mixing its values, the map is read back as it was."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from glassnet.models.layout.trace import trace

IMAGES = torch.randn(3, 3, 8, 12, generator=torch.Generator().manual_seed(0))
N, C, H, W = 3, 6, 8, 12


def windows(x, size=4):
    """(n, h, w, c) in windows of `size` x `size`, as (n * windows, size * size, c)."""
    n, h, w, c = x.shape
    x = x.view(n, h // size, size, w // size, size, c).permute(0, 1, 3, 2, 4, 5)
    return x.reshape(-1, size * size, c)


def joined(x, size=4):
    """Windows put together again, as (n, h, w, c)."""
    x = x.view(count_of(x), H // size, W // size, size, size, -1).permute(0, 1, 3, 2, 4, 5)
    return x.reshape(x.shape[0], H, W, -1)


def count_of(x):
    return len(x) * x.shape[1] // (H * W)


LAYOUTS = {
    "(n, c, h, w)": lambda x: x,
    "(n, h, w, c)": lambda x: x.permute(0, 2, 3, 1),
    "(n, h, c, w)": lambda x: x.transpose(1, 2).contiguous(),
    "(n, c, w, h)": lambda x: x.transpose(2, 3).contiguous() * 1,
    "(h, w, n, c)": lambda x: x.permute(2, 3, 0, 1),
    "tokens": lambda x: x.flatten(2).transpose(1, 2),
    "tokens, channels first": lambda x: x.flatten(2),
    "tokens by columns": lambda x: x.permute(0, 3, 2, 1).flatten(1, 2),
    "tokens first": lambda x: x.flatten(2).permute(2, 0, 1).contiguous(),
    "class token": lambda x: torch.cat([x.new_ones(len(x), 1, C), x.flatten(2).transpose(1, 2)], 1),
    "class token of a weight": lambda x: torch.cat([torch.ones(1, 1, C).expand(len(x), -1, -1), x.flatten(2).mT], 1),
    "class token last": lambda x: torch.cat([x.flatten(2).mT, x.new_ones(len(x), 1, C)], 1),
    "registers": lambda x: F.pad(x.flatten(2).mT, (0, 0, 1, 4)),
    "registers, one more, less one": lambda x: F.pad(F.pad(x.flatten(2).mT, (0, 0, 4, 0)), (0, 0, 1, 2))[:, 2:-1],
    "registers dropped": lambda x: F.pad(x.flatten(2).mT, (0, 0, 4, 2))[:, 4:-2],
    "flat rows of tokens": lambda x: F.pad(x.flatten(2).mT, (0, 0, 1, 0)).reshape(-1, C).clone(),
    "heads": lambda x: x.flatten(2).mT.unflatten(2, (2, 3)).transpose(1, 2),
    "heads with the images": lambda x: x.flatten(2).mT.unflatten(2, (2, 3)).transpose(1, 2).flatten(0, 1),
    "windows": lambda x: windows(x.permute(0, 2, 3, 1)),
    "windows, joined": lambda x: joined(windows(x.permute(0, 2, 3, 1))),
    "shifted windows": lambda x: windows(x.permute(0, 2, 3, 1).roll((-2, -1), (1, 2))),
    "shifted windows, joined": lambda x: joined(windows(x.permute(0, 2, 3, 1).roll((-2, -1), (1, 2)))),
    "shifted back": lambda x: joined(windows(x.permute(0, 2, 3, 1).roll((-2, -1), (1, 2)))).roll((2, 1), (1, 2)),
    "one axis more": lambda x: x[:, None, :, :, :, None],
    "added to a table": lambda x: x.flatten(2).mT + torch.zeros(1, H * W, C),
    "in place": lambda x: torch.zeros(len(x), H, W, C).copy_(x.permute(0, 2, 3, 1)),
    "einsum": lambda x: torch.einsum("nchw,c->nwhc", x, torch.ones(C)),
    "a buffer of its shape": lambda x: torch.zeros_like(x.mT).copy_(x.mT),
    "rolled by hand": lambda x: torch.cat([x[:, :, 3:], x[:, :, :3]], dim=2),
    "cut and put together": lambda x: torch.cat(x.split([2, 1, 5], dim=2), dim=2),
    "there and back by Fourier": lambda x: x * torch.fft.irfft2(torch.fft.rfft2(torch.ones_like(x) + 0 * x), s=(H, W)),
    "complex pairs": lambda x: torch.view_as_real(
        torch.view_as_complex(x.permute(0, 2, 3, 1).unflatten(3, (-1, 2)).contiguous())
    ).flatten(3),
    "channels last": lambda x: x.to(memory_format=torch.channels_last),
    "other strides of an axis of one": lambda x: x[:, None].as_strided(
        (len(x), 1, C, H, W), (C * H * W, 7, H * W, W, 1)
    ),
    "halves": lambda x: torch.cat(x.flatten(2).mT.chunk(2, dim=2), dim=2),
}


class Layers(nn.Module):
    """A convolution, and what becomes of its map without any change of its values."""

    def __init__(self, change):
        super().__init__()
        self.conv, self.layer, self.change = nn.Conv2d(3, C, 1), nn.Identity(), change

    def forward(self, x):
        return self.layer(self.change(self.conv(x)))


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_map_is_read_back_as_it_was(name, count):
    network = Layers(LAYOUTS[name])
    images = IMAGES[:count]
    reading = trace(network, images, ["layer"])["layer", 0]
    assert reading.problem_as_map() == ""
    output = network(images)
    assert reading.fits(output.shape, count)
    torch.testing.assert_close(reading.to_maps(output), network.conv(images), rtol=0, atol=0)


@pytest.mark.parametrize("name", LAYOUTS)
def test_each_channel_is_averaged_over_all_that_is_no_channel(name):
    network = Layers(LAYOUTS[name])
    reading = trace(network, IMAGES, ["layer"])["layer", 0]
    rows = reading.to_rows(network(IMAGES), mean=True)
    assert rows.shape == (N, C)
    others = {"class": (1, 97), "registers, one": (4, 100), "registers": (5, 101), "flat": (1, 97)}
    extra = next((pair for start, pair in others.items() if name.startswith(start) and "dropped" not in name), (0, 96))
    ones = float("class" in name)  # what the others hold: ones in class tokens, zeros elsewhere
    mean = network.conv(IMAGES).mean((2, 3))
    torch.testing.assert_close(rows, (mean * 96 + ones * extra[0]) / extra[1])


def put(x):
    result = torch.zeros_like(x)
    result[:, torch.arange(96).flip(0)] = x
    return result


def by_rows(x):
    result = torch.zeros_like(x)
    for row in range(H):
        result[:, :, H - 1 - row] = x[:, :, row]
    return result


UNKNOWN = {
    "tokens sorted": lambda x: x.flatten(2).mT.sort(dim=1).values,
    "tokens dropped": lambda x: x.flatten(2).mT[:, 5:],
    "tokens picked": lambda x: x.flatten(2).mT[:, torch.arange(96).flip(0)],
    "flipped": lambda x: x.flip(3),
    "rows and columns added": lambda x: x[:, :, :, :8] + x[:, :, :, :8].transpose(2, 3),
    "pixels against pixels": lambda x: x.flatten(2).mT @ x.flatten(2),
    "put by index": lambda x: torch.zeros(len(x), H * W, C).index_put(
        (torch.arange(len(x))[:, None], torch.arange(96).flip(0)), x.flatten(2).mT
    ),
    "put by one index": lambda x: put(x.flatten(2).mT),
    "scattered": lambda x: (
        (t := x.flatten(2).mT).new_zeros(t.shape).scatter(1, torch.arange(96).flip(0)[None, :, None].expand_as(t), t)
    ),
    "copied by index": lambda x: torch.zeros_like(x).index_copy(2, torch.arange(H).flip(0), x),
    "added by index": lambda x: torch.zeros_like(x).index_add(3, torch.arange(W).flip(0), x),
    "scattered by a mask": lambda x: torch.zeros_like(x).masked_scatter(
        torch.ones(x.shape, dtype=torch.bool), x.flip(2)
    ),
    "taken": lambda x: x.take(torch.arange(x.numel()).flip(0).view(x.shape)),
    "other strides": lambda x: x[..., :8].contiguous().as_strided((len(x), C, 8, 8), (C * 64, 64, 1, 8)),
    "rows written one by one": lambda x: by_rows(x),
    "halves in another order": lambda x: torch.cat([x[:, :, :2], x[:, :, 5:], x[:, :, 2:5]], dim=2),
    "even rows, then odd ones": lambda x: torch.cat([x[:, :, ::2], x[:, :, 1::2]], dim=2),
    "frequencies": lambda x: torch.fft.fft2(x).abs(),
    "distances of rows": lambda x: torch.cdist(*[x[..., :H]] * 2),
    "sampled": lambda x: F.grid_sample(
        x,
        F.affine_grid(torch.eye(3)[None, [1, 0]].expand(len(x), 2, 3), x.shape, align_corners=False),
        align_corners=False,
    ),
    "rows mixed by a matrix": lambda x: torch.ones(H, H) @ x,
    "length of channels": lambda x: x[:, :, :C].norm(dim=1),
    "a convolution over channels": lambda x: F.conv2d(x.transpose(1, 2), torch.ones(C, H, 1, 1)).relu(),
    "images mixed": lambda x: x.sum(0, keepdim=True).expand(len(x), -1, -1, -1),
    "tokens cut otherwise": lambda x: x.flatten(2).mT.reshape(len(x), 64, 9),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_cannot_be_known_is_not_guessed(name):
    reading = trace(Layers(UNKNOWN[name]), IMAGES, ["layer"])["layer", 0]
    assert reading.problem_as_map().startswith(("has ", "does not hold"))


def space_to_depth(x):
    """A pixel unshuffle written out, whose channels come in another order than torch's."""
    return x.unflatten(2, (-1, 2)).unflatten(4, (-1, 2)).permute(0, 3, 5, 1, 2, 4).reshape(len(x), -1, H // 2, W // 2)


COARSER = {
    "a pixel unshuffle written out": (space_to_depth, space_to_depth),
    "and a convolution": (lambda x: F.conv2d(space_to_depth(x), torch.ones(2, 4 * C, 1, 1)).relu(),) * 2,
    "windows of unfold": (
        lambda x: x.unfold(2, 2, 2).unfold(3, 3, 3).permute(0, 1, 4, 5, 2, 3).flatten(1, 3),
        lambda x: x.unfold(2, 2, 2).unfold(3, 3, 3).permute(0, 1, 4, 5, 2, 3).flatten(1, 3),
    ),
    "patches by einops, embedded": (
        lambda x: patches(x) @ torch.eye(4 * C)[:, :5],
        lambda x: (patches(x) @ torch.eye(4 * C)[:, :5]).mT.unflatten(2, (4, 6)),
    ),
    "patches by einops, normalised": (
        lambda x: F.layer_norm(patches(x), (4 * C,)),
        lambda x: F.layer_norm(patches(x), (4 * C,)).mT.unflatten(2, (4, 6)),
    ),
    "a recurrent layer over tokens": (
        lambda x: recurrent()(x.flatten(2).mT)[0],
        lambda x: recurrent()(x.flatten(2).mT)[0].mT.unflatten(2, (H, W)),
    ),
    "codes looked up": (
        lambda x: F.embedding(x.argmax(1), torch.arange(4.0 * C).view(C, 4)),
        lambda x: F.embedding(x.argmax(1), torch.arange(4.0 * C).view(C, 4)).permute(0, 3, 1, 2),
    ),
    "channels twice": (lambda x: x.repeat(1, 2, 1, 1), lambda x: torch.cat([x, x], 1)),
}


def patches(x):
    """einops: b c (h p1) (w p2) -> b (h w) (p1 p2 c)."""
    return x.unflatten(2, (-1, 2)).unflatten(4, (-1, 2)).permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)


def recurrent():
    torch.manual_seed(0)
    return nn.LSTM(C, 4, bidirectional=True, batch_first=True)


@pytest.mark.parametrize("name", COARSER)
def test_new_channels_lie_where_their_pixels_lie(name):
    change, expected = COARSER[name]
    network = Layers(change)
    reading = trace(network, IMAGES, ["layer"])["layer", 0]
    assert reading.problem_as_map() == ""
    maps = expected(network.conv(IMAGES))
    torch.testing.assert_close(reading.to_maps(network(IMAGES)), maps)
    torch.testing.assert_close(reading.to_rows(network(IMAGES), mean=True), maps.mean((2, 3)))


def queries(x):
    return torch.linspace(-1, 1, 5 * C).view(1, 5, C).expand(len(x), -1, -1)


def heads(x):
    return x.unflatten(2, (2, 3)).transpose(1, 2)


DECODERS = {
    "by hand": lambda x: (queries(x) @ x.flatten(2)).softmax(-1) @ x.flatten(2).mT,
    "by hand, with heads": lambda x: (
        ((heads(queries(x)) @ heads(x.flatten(2).mT).mT).softmax(-1) @ heads(x.flatten(2).mT))
        .transpose(1, 2)
        .flatten(2)
    ),
    "fused": lambda x: F.scaled_dot_product_attention(queries(x), x.flatten(2).mT, x.flatten(2).mT),
}


@pytest.mark.parametrize("name", DECODERS)
def test_learned_queries_are_no_channels(name):
    network = Layers(DECODERS[name])
    reading = trace(network, IMAGES, ["layer"])["layer", 0]
    assert reading.problem_as_map()
    output = network(IMAGES)
    torch.testing.assert_close(reading.to_rows(output, mean=True), output.mean(1))


def test_the_last_state_of_a_recurrent_layer_has_a_row_an_image():
    network = Layers(lambda x: nn.Linear(4, 3)(nn.LSTM(C, 4, batch_first=True)(x.flatten(2).mT)[1][0][-1]))
    reading = trace(network, IMAGES, ["layer"])["layer", 0]
    assert reading.problem_as_rows(mean=True) == ""
    assert reading.fits((3, 3), 3)


class Mixer(nn.Module):
    """A linear layer over the tokens of each channel, as in MLP-Mixer, and back."""

    def __init__(self):
        super().__init__()
        self.conv, self.mix, self.after = nn.Conv2d(3, C, 1), nn.Linear(96, 96), nn.LayerNorm(C)

    def forward(self, x):
        tokens = self.conv(x).flatten(2).mT
        return self.after(tokens + self.mix(tokens.mT).mT)


def test_a_layer_over_tokens_makes_channels_of_them_until_they_are_added_to_tokens():
    readings = trace(Mixer(), IMAGES, ["mix", "after"])
    assert readings["mix", 0].channel_units() == (2,)
    assert "neither images, channels nor pixels" in readings["mix", 0].problem_as_map() or readings[
        "mix", 0
    ].problem_as_map().startswith("has no axis known to run over pixels")
    assert readings["after", 0].problem_as_map() == ""
    assert "96 tokens" in readings["after", 0].describe()
    assert "8 x 12" in readings["after", 0].describe()


def test_a_one_dimensional_convolution_keeps_its_channels():
    network = nn.Sequential(nn.Flatten(1, 2), nn.Conv1d(24, 16, 3, padding=1))
    reading = trace(network, IMAGES, ["1"])["1", 0]
    assert reading.shape == (2, 16, 12)
    output = network(IMAGES)
    torch.testing.assert_close(reading.to_rows(output, mean=True), output.mean(2))


def test_patches_by_unfold_form_the_grid_of_their_places():
    class Unfolded(nn.Module):
        def __init__(self):
            super().__init__()
            self.project = nn.Linear(3 * 2 * 3, C)

        def forward(self, x):
            return self.project(F.unfold(x, (2, 3), stride=(2, 3)).mT)

    reading = trace(Unfolded(), IMAGES, ["project"])["project", 0]
    assert reading.problem_as_map() == ""
    assert reading.to_maps(torch.zeros(3, 16, C)).shape == (3, C, 4, 4)
    # Token 1 is the second patch of the first row.
    marked = torch.zeros(1, 16, C)
    marked[0, 1] = 1
    assert reading.to_maps(marked)[0, 0].nonzero().tolist() == [[0, 1]]


def test_sequence_first_when_there_are_as_many_tokens_as_images():
    images = torch.randn(6, 3, 4, 6)

    class First(nn.Module):
        def __init__(self):
            super().__init__()
            self.patch, self.norm = nn.Conv2d(3, C, 2, stride=2), nn.LayerNorm(C)

        def forward(self, x):
            return self.norm(self.patch(x).flatten(2).permute(2, 0, 1))

    network = First()
    reading = trace(network, images, ["norm"])["norm", 0]
    output = network(images)
    assert output.shape == (6, 6, C)
    expected = F.layer_norm(network.patch(images).permute(0, 2, 3, 1), (C,)).permute(0, 3, 1, 2)
    torch.testing.assert_close(reading.to_maps(output), expected)


def test_the_model_is_left_as_it_was():
    network = nn.Sequential(nn.BatchNorm2d(3), nn.Dropout(), nn.Flatten(2)).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    state = torch.random.get_rng_state()
    trace(network, IMAGES, ["2"])
    assert network[0].training
    assert torch.equal(torch.random.get_rng_state(), state)
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])
