"""The blocks that our networks are made of: normalisation, convolutions in a row, a classifier, enlargements."""

from collections import OrderedDict
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from glassnet.errors import InputError

Layers = OrderedDict[str, nn.Module]


class Normalize(nn.Module):
    """Shift and scale each channel: (x - mean) / std; the two are saved with the weights, but never trained.

    Attributes:
        fixed: Whether the weights that follow were trained with this mean and deviation, so that they must stay,
            whatever images the model is trained on next.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float], *, fixed: bool = False) -> None:
        super().__init__()
        self.fixed = fixed
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(-1, 1, 1))

    def forward(
        self, images: Float[Tensor, "batch channel height width"]
    ) -> Float[Tensor, "batch channel height width"]:
        """Normalise images in [0, 1].

        Raises:
            InputError: They have another number of channels, which broadcasting would hide.
        """
        if images.ndim != 4 or images.shape[1] != len(self.mean):
            raise InputError(
                f"the model got images of shape {tuple(images.shape)}, "
                f"expected (batch, {len(self.mean)}, height, width); convert their channels first."
            )
        return (images - self.mean) / self.std

    def extra_repr(self) -> str:
        """Show mean and standard deviation."""
        return f"mean={self.mean.flatten().tolist()}, std={self.std.flatten().tolist()}"


class RepeatChannels(nn.Module):
    """Give a grayscale image as many equal channels as the network after it was trained with."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(
        self, images: Float[Tensor, "batch channel height width"]
    ) -> Float[Tensor, "batch out_channel height width"]:
        """Repeat the one channel.

        Raises:
            InputError: There are several already.
        """
        if images.ndim != 4 or images.shape[1] != 1:
            raise InputError(
                f"the model got images of shape {tuple(images.shape)}, expected (batch, 1, height, width); "
                "convert them to grayscale first."
            )
        return images.repeat(1, self.channels, 1, 1)


def set_normalization(model: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
    """Let a model normalise images by these means and deviations of the channels, but where they are fixed."""
    for module in model.modules():
        if isinstance(module, Normalize) and not module.fixed:
            module.mean.copy_(torch.tensor(mean).view_as(module.mean))
            module.std.copy_(torch.tensor(std).view_as(module.std))


def begin(in_channels: int) -> Layers:
    """Start with the normalisation, which changes nothing until it gets the data set's mean and deviation."""
    return OrderedDict(normalize=Normalize([0.0] * in_channels, [1.0] * in_channels))


def add_convolution(
    layers: Layers, number: int, channels: int, width: int, *, kernel: int = 3, pool: nn.Module | None = None
) -> None:
    """Append a convolution that keeps the size, a pool if there is one, batch-norm and ReLU.

    Args:
        layers: What to append to.
        number: Number in the layers' names.
        channels: Channels of the convolution's input.
        width: Channels of its output.
        kernel: Odd height and width of the kernel, in pixels.
        pool: The pool; before batch-norm and ReLU it leaves them a quarter of the work.
    """
    # No bias: the batch-norm that follows has its own.
    layers[f"conv{number}"] = nn.Conv2d(channels, width, kernel, padding=kernel // 2, bias=False)
    if pool is not None:
        layers[f"pool{sum(name.startswith('pool') for name in layers) + 1}"] = pool
    layers[f"bn{number}"] = nn.BatchNorm2d(width)
    layers[f"relu{number}"] = nn.ReLU()


def add_classifier(
    layers: Layers, number: int, units: int, hidden: tuple[int, ...], classes: int, dropout: float
) -> None:
    """Append hidden layers fc1, fc2, ... each with batch-norm, ReLU and dropout, and a last one that gives the logits.

    Args:
        layers: What to append to; its output has `units` numbers an image.
        number: Number in the name of the first batch-norm and ReLU.
        units: Inputs of fc1.
        hidden: Units of each hidden layer.
        classes: Length of the logits.
        dropout: Share of each hidden layer's units that training silences.
    """
    layers["flatten"] = nn.Flatten()
    for index, width in enumerate(hidden):
        layers[f"fc{index + 1}"] = nn.Linear(units, width, bias=False)
        layers[f"bn{number + index}"] = nn.BatchNorm1d(width)
        layers[f"relu{number + index}"] = nn.ReLU()
        if dropout:
            layers[f"dropout{index + 1}"] = nn.Dropout(dropout)
        units = width
    layers[f"fc{len(hidden) + 1}"] = nn.Linear(units, classes)


def check_widths(what: str, widths: tuple[int, ...], count: int, example: str) -> None:
    """Refuse anything but `count` positive widths.

    Raises:
        InputError: There are more or fewer, or one is below 1.
    """
    if len(widths) != count or min(widths) < 1:
        raise InputError(f"{what} is {widths}, expected {count} positive numbers, as in {what}={example}.")


def check_size(image_size: int, smallest: int, why: str) -> None:
    """Refuse images that the network's pools would reduce to nothing.

    Raises:
        InputError: The image is smaller than `smallest` pixels.
    """
    if image_size < smallest:
        raise InputError(f"image_size is {image_size}, expected at least {smallest} pixels, which {why}.")


def check_dropout(dropout: float) -> None:
    """Refuse a share of silenced units that is none.

    Raises:
        InputError: It is below 0, or 1 or more.
    """
    if not 0 <= dropout < 1:
        raise InputError(f"dropout is {dropout}, expected a share of at least 0 and below 1.")


def bilinear_kernel(stride: int) -> Float[Tensor, "{2*stride} {2*stride}"]:
    """Return the weights by which an enlargement of `stride` interpolates: a tent of half width `stride` on each axis.

    Long, Shelhamer and Darrell 2015, https://arxiv.org/abs/1411.4038, section 3.3.
    """
    places = torch.arange(2 * stride, dtype=torch.float64) - (stride - 0.5)
    tent = 1 - places.abs() / stride
    return (tent[:, None] * tent[None]).float()


class SubpixelConvTranspose2d(nn.ConvTranspose2d):
    """A transposed convolution without a bias whose kernel is twice its even stride, so that four inputs make a pixel.

    The same numbers as those of torch's own, by a convolution of 2x2 whose channels are the pixels of a square between
    four inputs (Shi et al. 2016, https://arxiv.org/abs/1609.05158): with strides of 8 and few classes that is nearly
    twice as fast on a CPU.
    """

    def __init__(self, channels: int, classes: int, stride: int) -> None:
        """Build it with random weights, for maps of `channels` to `classes`, enlarged `stride` times."""
        super().__init__(channels, classes, 2 * stride, stride=stride, padding=stride // 2, bias=False)

    def forward(self, maps: Tensor, _output_size: list[int] | None = None) -> Tensor:
        """Return maps (n, channels, h, w) as (n, classes, stride h, stride w), in channels-last memory."""
        stride, classes = self.stride[0], self.out_channels
        # Kernel place stride * t + r of an input lies in the square before it (t = 0) or behind it (t = 1), at pixel r.
        kernel = self.weight.view(-1, classes, 2, stride, 2, stride).flip(2, 4).permute(3, 5, 1, 0, 2, 4)
        kernel = kernel.reshape(stride * stride * classes, -1, 2, 2)
        squares = F.conv2d(maps, kernel.contiguous(memory_format=torch.channels_last), padding=1)
        n, _, h, w = squares.shape
        pixels = squares.permute(0, 2, 3, 1).reshape(n, h, w, stride, stride, classes).permute(0, 1, 3, 2, 4, 5)
        rim = slice(stride // 2, -(stride // 2))  # squares lie half a stride beyond the image
        return pixels.reshape(n, h * stride, w * stride, classes)[:, rim, rim].permute(0, 3, 1, 2)


def upsampling(channels: int, classes: int, stride: int) -> nn.ConvTranspose2d:
    """Build an enlargement by `stride` that begins as bilinear interpolation of the first `classes` channels.

    The other channels begin with weights near 0: they can learn what lies between the pixels.
    """
    # Of small squares the rearrangement costs more than it saves.
    if stride >= 8:
        layer: nn.ConvTranspose2d = SubpixelConvTranspose2d(channels, classes, stride)
    else:
        layer = nn.ConvTranspose2d(channels, classes, 2 * stride, stride=stride, padding=stride // 2, bias=False)
    with torch.no_grad():
        nn.init.normal_(layer.weight, std=0.01)
        for channel in range(min(channels, classes)):
            layer.weight[channel] = 0
            layer.weight[channel, channel] = bilinear_kernel(stride)
    return layer
