"""VGG16 and VGG19 in full, with or without batch-norm; names and shapes are torchvision's, so its weights load."""

from itertools import chain
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from glassnet.download import RemoteFile
from glassnet.errors import InputError
from glassnet.models.blocks import Normalize, RepeatChannels, check_dropout, check_size
from glassnet.models.pretrained import IMAGENET_MEAN, IMAGENET_STD, load_pretrained, names_of_outputs, read_pretrained

Maps = Float[Tensor, "batch channel height width"]

_FULL_PIXELS = 224
_BLOCKS_16 = ((64,) * 2, (128,) * 2, (256,) * 3, (512,) * 3, (512,) * 3)
_BLOCKS_19 = ((64,) * 2, (128,) * 2, (256,) * 4, (512,) * 4, (512,) * 4)


class VGG(nn.Module):
    """Five blocks of 3x3 convolutions with a pool after each, and three fully connected layers.

    From 224 pixels on it is the original network: features (512, 7, 7) by an adaptive average, then 4096, 4096 and
    num_classes units. Below that, the features of image_size // 32 pixels a side go into 512, 512 and num_classes
    units without the average; below 32 pixels the pools round up instead of down, which leaves one pixel. Takes images
    in [0, 1] of shape (batch, in_channels, image_size, image_size), returns logits (batch, num_classes).

    The state's keys are torchvision's (features.N, classifier.0, classifier.3, classifier.6) and those of the
    normalisation, which is the first layer here.

    Simonyan and Zisserman 2015, https://arxiv.org/abs/1409.1556, table 1; batch-norm as in torchvision's vgg16_bn.
    """

    head_name: ClassVar[str] = "classifier"
    pretrained_pixels: ClassVar[int] = 224
    """The module whose layers belong to the classes that were learned; all before it are the backbone."""
    class_names: tuple[str, ...] | None
    """What each output means, where the weights say it."""
    blocks: ClassVar[tuple[tuple[int, ...], ...]]
    batch_norm: ClassVar[bool]
    pretrained: ClassVar[RemoteFile]

    def __init__(
        self,
        *,
        in_channels: int,
        num_classes: int,
        image_size: int,
        hidden: int = 0,
        dropout: float = 0.5,
        weights: str = "",
    ) -> None:
        """Build the network with random weights, or with published ones.

        Args:
            in_channels: Channels of the input image; with `weights` 3, or 1, which is repeated to 3.
            num_classes: Length of the output.
            image_size: Height and width of the input image in pixels, 16 or more.
            hidden: Units of the first two fully connected layers; 0 means 4096 from 224 pixels on, else 512.
            dropout: Share of their units that training silences.
            weights: "imagenet" downloads torchvision's file (about 550 MB) once; a path reads a .pth or .safetensors
                file with the same keys; "" leaves the weights random. What does not fit in the classifier, for another
                num_classes or image_size, stays random. The normalisation is then ImageNet's and stays so in training.
                Nothing is loaded on torch's meta device.

        Raises:
            InputError: An option has a value that no network of this kind has, or the weights cannot be had.
            WorkError: Their download failed.
        """
        super().__init__()
        check_size(image_size, 16, "five pools reduce to 1")
        check_dropout(dropout)
        if hidden < 0:
            raise InputError(f"hidden is {hidden}, expected a number of units, or 0 for the default.")
        if weights and in_channels not in (1, 3):
            raise InputError(
                f"in_channels is {in_channels}, expected 1 or 3, because weights={weights} is for colour images."
            )
        self.class_names = names_of_outputs(weights, num_classes)
        full, channels = image_size >= _FULL_PIXELS, 3 if weights else in_channels
        side = 7 if full else max(image_size // 32, 1)
        units = hidden or (4096 if full else 512)
        self.repeat = RepeatChannels(channels) if channels != in_channels else nn.Identity()
        self.normalize = _normalize(channels, pretrained=bool(weights))
        self.features = self._features(channels, round_up=image_size < 32)
        self.avgpool = nn.AdaptiveAvgPool2d(7) if full else nn.Identity()
        self.flatten = nn.Flatten()
        self.classifier = _classifier(self.blocks[-1][-1] * side**2, units, num_classes, dropout)
        _initialize(self)
        if weights and not next(self.parameters()).is_meta:
            state = read_pretrained(weights, file=self.pretrained, model=type(self).__name__)
            load_pretrained(self, state, head=self.head_name, source=weights)

    def forward(self, images: Maps) -> Float[Tensor, "batch classes"]:
        """Return the logits of images in [0, 1]."""
        maps = self.avgpool(self.features(self.normalize(self.repeat(images))))
        return self.classifier(self.flatten(maps))

    def _features(self, channels: int, *, round_up: bool) -> nn.Sequential:
        layers: list[nn.Module] = []
        for before, block in zip(((channels,), *self.blocks), self.blocks, strict=False):
            for taken, width in zip((before[-1], *block), block, strict=False):
                layers.append(nn.Conv2d(taken, width, 3, padding=1))
                layers.extend([nn.BatchNorm2d(width)] if self.batch_norm else [])
                layers.append(nn.ReLU())
            layers.append(nn.MaxPool2d(2, ceil_mode=round_up))
        return nn.Sequential(*layers)


class VGG16(VGG):
    """VGG16: 13 convolutions and 3 fully connected layers; 138,357,544 parameters at 224 pixels and 1,000 classes."""

    blocks = _BLOCKS_16
    batch_norm = False
    pretrained = RemoteFile(
        "vgg16-397923af.pth", 553_433_881, "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0"
    )


class VGG19(VGG):
    """VGG19: 16 convolutions and 3 fully connected layers; 143,667,240 parameters at 224 pixels and 1,000 classes."""

    blocks = _BLOCKS_19
    batch_norm = False
    pretrained = RemoteFile(
        "vgg19-dcbb9e9d.pth", 574_673_361, "dcbb9e9dad569fff7a846263a77324fc34978fea2bfb039c012d710e1776ae44"
    )


class VGG16BatchNorm(VGG):
    """VGG16 with batch-norm after each convolution; 138,365,992 parameters at 224 pixels and 1,000 classes."""

    blocks = _BLOCKS_16
    batch_norm = True
    pretrained = RemoteFile(
        "vgg16_bn-6c64b313.pth", 553_507_836, "6c64b3138f2f4fcb3bcc4cafde11619c4f440eb1631787e93a682fd88305888a"
    )


class VGG19BatchNorm(VGG):
    """VGG19 with batch-norm after each convolution; 143,678,248 parameters at 224 pixels and 1,000 classes."""

    blocks = _BLOCKS_19
    batch_norm = True
    pretrained = RemoteFile(
        "vgg19_bn-c79401a0.pth", 574_769_405, "c79401a0cf3cb42714e4182f5868c7a6f4f4534f5df9e956e2bb2098de41cbb6"
    )


def _normalize(channels: int, *, pretrained: bool) -> Normalize:
    if pretrained:
        return Normalize(IMAGENET_MEAN, IMAGENET_STD, fixed=True)
    return Normalize([0.0] * channels, [1.0] * channels)


def _classifier(inputs: int, units: int, num_classes: int, dropout: float) -> nn.Sequential:
    hidden = [(nn.Linear(taken, units), nn.ReLU(), nn.Dropout(dropout)) for taken in (inputs, units)]
    return nn.Sequential(*chain.from_iterable(hidden), nn.Linear(units, num_classes))


def _initialize(model: nn.Module) -> None:
    """Draw the weights so that 16 layers without batch-norm pass on a signal of the same size.

    Standard deviation sqrt(2 / n): He et al. 2015, https://arxiv.org/abs/1502.01852, n the outputs that a convolution's
    input reaches, or a fully connected layer's inputs.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            fan = module.weight.numel() // module.weight.shape[1 if isinstance(module, nn.Conv2d) else 0]
            nn.init.normal_(module.weight, std=(2 / fan) ** 0.5)
            assert module.bias is not None
            nn.init.zeros_(module.bias)
