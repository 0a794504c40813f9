"""Small graphs of all kinds of operations, on images of 13 x 17 pixels."""

from functools import partial

import torch
from torch import nn
from torch.nn import functional as F


class Net(nn.Module):
    """Modules, and what is made of an image with them; `layer` holds what comes out."""

    def __init__(self, function, **modules):
        super().__init__()
        self.function, self.parts, self.layer = function, nn.ModuleDict(modules), nn.Identity()

    def forward(self, x):
        return self.layer(self.function(x, **self.parts))


def conv(inputs, outputs, size, **options):
    return nn.Conv2d(inputs, outputs, size, **options)


def chain(*modules):
    return Net(lambda x, chain: chain(x), chain=nn.Sequential(*modules))


def first(size=3, **options):
    return conv(3, 4, size, **options)


def written(x):
    result = torch.zeros_like(x)
    result[:, :2, 1:] = x[:, :2, :-1]
    result[:, 2:, :-1] = x[:, 2:, 1:]
    return result


def in_place(x, first):
    x = first(x)
    x[:, :, ::2] += x[:, :, 1::2].sum(dim=2, keepdim=True)
    return x.relu_()


def squeezed(x, first, down, up):
    x = first(x)
    return x * up(down(x.mean((2, 3), keepdim=True))).sigmoid()


def shuffled(x, first):
    n, c, h, w = first(x).shape
    return first(x).view(n, 2, c // 2, h, w).transpose(1, 2).flatten(1, 2)


def windows(x, size):
    n, h, w, c = x.shape
    x = x.view(n, h // size, size, w // size, size, c).permute(0, 1, 3, 2, 4, 5)
    return x.reshape(-1, size * size, c)


def joined(x, h, w, size):
    x = x.view(-1, h // size, w // size, size, size, x.shape[-1]).permute(0, 1, 3, 2, 4, 5)
    return x.reshape(len(x), h, w, -1)


def attended(x):
    return F.softmax(x @ x.mT, dim=-1) @ x


def windowed(x, first, shift=0, masked=False):
    x = first(x).permute(0, 2, 3, 1)
    _, h, w, _ = x.shape
    x = windows(x.roll((-shift, -shift), (1, 2)), 2)
    scores = x @ x.mT
    if masked:
        where = torch.zeros(1, h, w, 1)
        for number, rows in enumerate((slice(0, -2), slice(-2, -shift), slice(-shift, None))):
            for other, columns in enumerate((slice(0, -2), slice(-2, -shift), slice(-shift, None))):
                where[:, rows, columns] = 3 * number + other
        where = windows(where, 2)
        hidden = (where != where.mT).to(x) * -100
        scores = (scores.unflatten(0, (-1, len(hidden))) + hidden).flatten(0, 1)
    x = joined(scores.softmax(dim=-1) @ x, h, w, 2)
    return x.roll((shift, shift), (1, 2))


def causal(x, first):
    x = first(x).flatten(2).mT
    scores = x @ x.mT
    return scores.masked_fill(torch.ones(scores.shape[1:]).triu(1).bool(), float("-inf")).softmax(-1) @ x


def fused(x, first, causal=False):
    x = first(x).flatten(2).mT[:, None]
    return F.scaled_dot_product_attention(x, x, x, is_causal=causal)[:, 0]


def masked(x, first, score, after=lambda weights: weights):
    """Attention of rows of tokens, where `score` puts a mask between rows that is -100, or no mask at all."""
    x = first(x).flatten(2).mT
    rows = torch.arange(x.shape[1]) // 4
    hidden = (rows[:, None] != rows).to(x) * -100
    return after(score(x @ x.mT * 1e-3, hidden)) @ x


MASKED = {
    "masked": lambda scores, hidden: (scores + hidden).softmax(-1),
    "masked and scaled up": lambda scores, hidden: ((scores + hidden) * 2 / 0.5 + 1).softmax(-1),
    "masked and scaled down": lambda scores, hidden: ((scores + hidden) * 0.01).softmax(-1),
    "masked and divided": lambda scores, hidden: ((scores + hidden) / 100).softmax(-1),
    "masked by a share": lambda scores, hidden: torch.add(scores, hidden, alpha=0.01).softmax(-1),
    "masked and brought back": lambda scores, hidden: ((scores + hidden) - hidden).softmax(-1),
    "masked and raised": lambda scores, hidden: ((scores + hidden) + -hidden).softmax(-1),
    "masked everywhere": lambda scores, hidden: (scores + (hidden - 100) * 0.1 - 50).softmax(-1),
    "masked, and the logarithm": lambda scores, hidden: (scores + hidden).log_softmax(-1),
    "masked, and more added": lambda scores, hidden: (scores + hidden).softmax(-1) + 1e-3,
    "masked, and the weights scaled": lambda scores, hidden: (scores + hidden).softmax(-1) * 0.5,
}


def rolled_on_both_sides(x, first, last):
    return last(F.pad(first(x), (1, 1, 1, 1), mode="circular"))


def unet(x, first, down, middle, up, last):
    skip = first(x)
    return last(torch.cat([up(middle(down(skip))), skip], dim=1))


def pyramid(x, first, down):
    one = first(x)
    return one + F.interpolate(down(one), size=one.shape[2:], mode="nearest")


class Masked(nn.Conv2d):
    """A kernel without its lower part, as a PixelCNN's."""

    def forward(self, x):
        mask = torch.ones_like(self.weight)
        mask[:, :, 3:], mask[:, :, 2, 3:] = 0, 0
        return F.conv2d(x, self.weight * mask, padding=2)


GRAPHS = {
    "a convolution": lambda: chain(first(padding=1)),
    "no padding": lambda: chain(first(), conv(4, 4, 5)),
    "unlike along its axes": lambda: chain(conv(3, 4, (3, 5), stride=(2, 1), padding=(1, 0), dilation=(1, 2))),
    "strides": lambda: chain(first(stride=2, padding=1), conv(4, 4, 3, stride=2, padding=1)),
    "a remainder unseen": lambda: chain(first(2, stride=3), conv(4, 4, 3, padding=1)),
    "dilations": lambda: chain(first(padding=2, dilation=2), conv(4, 4, 3, padding=4, dilation=4)),
    "groups": lambda: chain(first(), conv(4, 8, 3, groups=4, padding=1)),
    "depthwise, pointwise": lambda: chain(first(), conv(4, 4, 3, groups=4, padding=1), conv(4, 6, 1)),
    "same": lambda: chain(first(5, padding="same"), conv(4, 4, 3, padding="same", dilation=2)),
    "reflected": lambda: chain(first(padding=2, padding_mode="reflect"), conv(4, 4, 3, padding=1)),
    "replicated": lambda: chain(first(padding=2, padding_mode="replicate")),
    "circular": lambda: chain(first(padding=1, padding_mode="circular"), conv(4, 4, 1)),
    "circular, written out": lambda: Net(rolled_on_both_sides, first=first(), last=conv(4, 4, 2)),
    "transposed": lambda: chain(first(stride=2), nn.ConvTranspose2d(4, 4, 3, stride=2)),
    "transposed, padded": lambda: chain(
        first(stride=2), nn.ConvTranspose2d(4, 4, 4, stride=3, padding=1, output_padding=2)
    ),
    "transposed, with gaps": lambda: chain(first(stride=2), nn.ConvTranspose2d(4, 4, 1, stride=2), conv(4, 4, 1)),
    "transposed, dilated, grouped": lambda: chain(
        first(stride=2), nn.ConvTranspose2d(4, 4, 3, stride=2, dilation=2, groups=2)
    ),
    "max pools": lambda: chain(first(), nn.MaxPool2d(2), conv(4, 4, 3, padding=1), nn.MaxPool2d(3, 2, 1)),
    "max pools, ceiling": lambda: chain(first(), nn.MaxPool2d(2, ceil_mode=True), nn.MaxPool2d(3, 2, ceil_mode=True)),
    "average pools": lambda: chain(first(), nn.AvgPool2d(3, 2, 1, ceil_mode=True), nn.AvgPool2d((2, 1))),
    "adaptive, even": lambda: chain(first(padding=(1, 0)), nn.AdaptiveAvgPool2d((13, 5))),
    "adaptive, uneven": lambda: chain(first(), nn.AdaptiveAvgPool2d(4)),
    "adaptive to one, channels last": lambda: Net(
        lambda x, first, pool: pool(first(x).to(memory_format=torch.channels_last)),
        first=first(2, stride=3),
        pool=nn.AdaptiveAvgPool2d(1),
    ),
    "read with other strides": lambda: Net(
        lambda x, first, last: last(first(x).contiguous().as_strided((len(x), 4, 5, 7), (660, 165, 30, 2), 16)),
        first=first(),
        last=conv(4, 4, 1),
    ),
    "adaptive to one": lambda: chain(first(2, stride=3), nn.AdaptiveAvgPool2d(1)),
    "global": lambda: Net(lambda x, first: first(x).mean((2, 3)), first=first(2, stride=3)),
    "over rows": lambda: Net(lambda x, first: first(x) + first(x).sum(2, keepdim=True), first=first()),
    "nearest": lambda: chain(first(stride=2), nn.Upsample(scale_factor=2), conv(4, 4, 3, padding=1)),
    "nearest, odd": lambda: chain(first(stride=2), nn.Upsample(size=(11, 19)), conv(4, 4, 3, padding=1)),
    "bilinear": lambda: chain(first(stride=2), nn.Upsample(scale_factor=2, mode="bilinear")),
    "bilinear by three": lambda: chain(first(stride=2), nn.Upsample(scale_factor=3, mode="bilinear")),
    "bilinear, corners": lambda: chain(
        first(stride=2), nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
    ),
    "bilinear down": lambda: Net(
        lambda x, first: F.interpolate(first(x), size=(4, 5), mode="bilinear", antialias=True), first=first()
    ),
    "bicubic": lambda: chain(first(stride=2), nn.Upsample(scale_factor=2, mode="bicubic")),
    "batch norm": lambda: chain(first(), nn.BatchNorm2d(4), nn.ReLU(inplace=True), conv(4, 4, 3)),
    "group norm": lambda: chain(first(), nn.GroupNorm(2, 4), nn.ReLU()),
    "instance norm": lambda: chain(first(), nn.InstanceNorm2d(4)),
    "layer norm over all": lambda: chain(first(), nn.LayerNorm([4, 11, 15])),
    "layer norm over channels": lambda: Net(
        lambda x, first, norm: norm(first(x).permute(0, 2, 3, 1)).permute(0, 3, 1, 2),
        first=first(stride=2),
        norm=nn.LayerNorm(4),
    ),
    "residual": lambda: Net(
        lambda x, first, second: first(x) + second(first(x)), first=first(padding=1), second=conv(4, 4, 5, padding=2)
    ),
    "residual, strided": lambda: Net(
        lambda x, first, short, long: short(first(x)) + long(first(x)),
        first=first(padding=1),
        short=conv(4, 4, 1, stride=2),
        long=nn.Sequential(conv(4, 4, 3, stride=2, padding=1), nn.ReLU(), conv(4, 4, 3, padding=1)),
    ),
    "branches put together": lambda: Net(
        lambda x, one, two: torch.cat([one(x), two(x)], 1), one=first(1), two=first(5, padding=2)
    ),
    "branches, grouped after": lambda: Net(
        lambda x, one, two, after: after(torch.cat([one(x), two(x)], 1)),
        one=first(1),
        two=first(5, padding=2),
        after=conv(8, 8, 3, groups=8),
    ),
    "one branch kept, grouped before": lambda: Net(
        lambda x, one, two, after: after(torch.cat([one(x), two(x)], 1))[:, :4],
        one=first(1),
        two=first(5, padding=2),
        after=conv(8, 8, 3, groups=8),
    ),
    "branches of other strides": lambda: Net(pyramid, first=first(padding=1), down=conv(4, 4, 3, stride=2, padding=1)),
    "U-Net": lambda: Net(
        unet,
        first=conv(3, 4, 2),
        down=nn.AvgPool2d(2),
        middle=conv(4, 4, 3, padding=1),
        up=nn.ConvTranspose2d(4, 4, 2, stride=2),
        last=conv(8, 4, 3, padding=1),
    ),
    "squeeze and excite": lambda: Net(squeezed, first=first(), down=conv(4, 2, 1), up=conv(2, 4, 1)),
    "cropped": lambda: Net(lambda x, first: first(x[:, :, 2:-3, 4:]), first=first(padding=1)),
    "cropped by padding": lambda: Net(lambda x, first: first(F.pad(x, (-2, 1, 3, -1))), first=first()),
    "every second": lambda: Net(
        lambda x, first: torch.cat([first(x)[:, :, ::2, ::2], first(x)[:, :, 1::2, 1::2]], 1), first=conv(3, 4, 2)
    ),
    "shifted by one": lambda: Net(lambda x, first, last: last(written(first(x))), first=first(), last=conv(4, 4, 2)),
    "written in place": lambda: Net(in_place, first=conv(3, 4, 2)),
    "flipped": lambda: Net(lambda x, first: first(x.flip(-1)), first=first(stride=2)),
    "turned": lambda: Net(lambda x, first: first(x.mT), first=first(stride=2, padding=1)),
    "rolled": lambda: Net(lambda x, first: first(x.roll((2, -1), (2, 3))), first=first()),
    "channels shuffled": lambda: Net(shuffled, first=first()),
    "pixels shuffled": lambda: chain(first(stride=2), nn.PixelShuffle(2), conv(1, 2, 3)),
    "pixels unshuffled": lambda: chain(conv(3, 4, 2), nn.PixelUnshuffle(2), conv(16, 2, 2)),
    "patches": lambda: Net(lambda x, one: one(F.unfold(x, (3, 4), stride=(2, 3)).mT), one=nn.Linear(36, 4)),
    "patches laid over each other": lambda: Net(
        lambda x, first, last: last(
            F.fold(F.unfold(first(x), (3, 2), stride=(2, 1)), (11, 15), (3, 2), stride=(2, 1), padding=0)
        ),
        first=first(),
        last=conv(4, 4, 1),
    ),
    "patches laid with gaps": lambda: Net(
        lambda x, first, last: last(F.fold(F.unfold(first(x), 2, stride=3), (10, 14), 2, stride=3, padding=1)),
        first=first(),
        last=conv(4, 4, 1),
    ),
    "activations": lambda: chain(first(), nn.Hardswish(), nn.PReLU(), nn.LogSigmoid(), nn.GELU(), nn.Softplus()),
    "a lower triangle": lambda: Net(
        lambda x, first, last: last(first(x).tril(2).flatten(2).mT), first=first(), last=nn.Linear(4, 3)
    ),
    "rows picked": lambda: Net(lambda x, first: first(x)[:, :, [3, 1, 8]], first=first()),
    "fully connected": lambda: chain(first(2, stride=3), nn.Flatten(), nn.Linear(96, 6)),
    "a kernel with an empty row": lambda: chain(Masked(3, 4, 5, padding=2)),
    "tokens": lambda: Net(lambda x, first: first(x).flatten(2).mT, first=first(4, stride=4)),
    "a class token": lambda: Net(
        lambda x, first: torch.cat([torch.ones(len(x), 1, 4).to(x), first(x).flatten(2).mT], 1),
        first=first(4, stride=4),
    ),
    "class token dropped, norm": lambda: Net(
        lambda x, first, norm: norm(torch.cat([x.new_ones(len(x), 1, 4), first(x).flatten(2).mT], 1))[:, 1:],
        first=first(4, stride=4),
        norm=nn.LayerNorm(4),
    ),
    "tokens mixed": lambda: Net(
        lambda x, first, mix: mix(first(x).flatten(2)).mT, first=first(4, stride=4), mix=nn.Linear(12, 12)
    ),
    "attention": lambda: Net(lambda x, first: attended(first(x).flatten(2).mT), first=first(2, stride=4)),
    "softmax over places": lambda: Net(
        lambda x, first: F.softmax(first(x).flatten(2) ** 2, dim=2).mT, first=first(2, stride=4)
    ),
    "attention of torch": lambda: Net(
        lambda x, first, attend: attend(*[first(x).flatten(2).mT] * 3)[0],
        first=first(4, stride=4),
        attend=nn.MultiheadAttention(4, 2, batch_first=True),
    ),
    "an encoder of torch": lambda: Net(
        lambda x, first, layer: layer(first(x).flatten(2).mT),
        first=first(4, stride=4),
        layer=nn.TransformerEncoderLayer(4, 2, 8, batch_first=True),
    ),
    "fused attention": lambda: Net(fused, first=first(4, stride=4)),
    "causal attention": lambda: Net(causal, first=first(4, stride=4)),
    "fused causal attention": lambda: Net(lambda x, first: fused(x, first, True), first=first(4, stride=4)),
    **{name: partial(Net, partial(masked, score=score), first=first(4, stride=4)) for name, score in MASKED.items()},
    "windowed attention": lambda: Net(windowed, first=first((4, 2), stride=2, padding=(1, 0))),
    "shifted windows, not masked": lambda: Net(
        lambda x, first: windowed(x, first, 1), first=conv(3, 4, (4, 2), stride=2, padding=(1, 0))
    ),
    "shifted windows": lambda: Net(
        lambda x, first: windowed(x, first, 1, True), first=conv(3, 4, (4, 2), stride=2, padding=(1, 0))
    ),
    "a running sum": lambda: Net(lambda x, first: first(x).cumsum(2), first=first()),
    "one channel gates another": lambda: Net(
        lambda x, first, last: last(F.glu(first(x), 1)), first=first(), last=conv(2, 4, 1)
    ),
    "a Fourier filter": lambda: Net(
        lambda x, first: torch.fft.ifft(torch.fft.fft(first(x), dim=2), dim=2).real, first=first()
    ),
    "by einsum": lambda: Net(
        lambda x, first: torch.einsum("nchw,dc->ndhw", first(x), torch.ones(3, 4).to(x)), first=first()
    ),
    "matrix from the left": lambda: Net(lambda x, first: torch.ones(11, 11).to(x) @ first(x), first=first()),
    "one dimension": lambda: Net(
        lambda x, first, along: along(first(x).mean(3))[..., None], first=first(), along=nn.Conv1d(4, 4, 3, stride=2)
    ),
    "distances": lambda: Net(
        lambda x, first, last: last(torch.cdist(first(x).flatten(2).mT, torch.ones(5, 4).to(x))),
        first=first(4, stride=4),
        last=nn.Linear(5, 4),
    ),
}


LAYERS = {
    "read with other strides": "parts.last",
    "circular": "parts.chain.1",
    "circular, written out": "parts.last",
    "shifted by one": "parts.last",
}
"""Where to look in graphs whose slices are written one by one: their axes are known again at a convolution."""
