"""Networks that give each pixel a class: the 2019 report's own FCN-8, FCN-8s on VGG16, and a small U-Net."""

from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn
from torch import cat as concatenate

from glassnet.errors import InputError
from glassnet.models.blocks import Normalize, check_dropout, check_widths, upsampling
from glassnet.models.pretrained import IMAGENET_MEAN, IMAGENET_STD, read_pretrained
from glassnet.models.vgg import VGG16

STRIDE = 32
_POOLED_AFTER = (2, 4, 5, 6, 7)


class FCN8Small(nn.Module):
    """The 2019 report's FCN-8: seven convolutions and five pools; scores at strides 8, 16 and 32, upsampled and added.

    conv1 to conv4 are those of the classification network, conv5 to conv7 the three that the report adds. Each is
    3x3, followed by batch-norm and ReLU, after the pool where there is one. A score map of `head` channels is taken by
    a 1x1 convolution behind the pools of strides 8, 16 and 32; the coarsest is doubled and added to the next, twice,
    and what comes of it is enlarged eightfold to the image's size. Takes images in [0, 1] of shape (batch, in_channels,
    image_size, image_size), returns logits (batch, num_classes, image_size, image_size).

    Long, Shelhamer and Darrell 2015, https://arxiv.org/abs/1411.4038, figure 3.
    """

    output: ClassVar[str] = "score maps"

    def __init__(
        self,
        *,
        in_channels: int,
        num_classes: int,
        image_size: int,
        filters: tuple[int, ...] = (32, 32, 64, 64, 128, 256, 512),
        head: int = 64,
        dropout: float = 0.1,
    ) -> None:
        """Build the network with random weights, the transposed convolutions as bilinear interpolation.

        Args:
            in_channels: Channels of the input image.
            num_classes: Classes of a pixel.
            image_size: Height and width of the input image in pixels, a multiple of 32.
            filters: Output channels of the seven convolutions.
            head: Channels of the score maps, raised to the number of classes; at that number it is FCN-8 itself.
                More of them let the last enlargement draw outlines finer than its stride.
            dropout: Share of conv7's channels that training silences.

        Raises:
            InputError: An option has a value that no network of this kind has.
        """
        super().__init__()
        check_widths("filters", filters, 7, "32,32,64,64,128,256,512")
        check_dropout(dropout)
        if image_size < STRIDE or image_size % STRIDE:
            raise InputError(
                f"image_size is {image_size}, expected a multiple of {STRIDE}, because five pools halve it."
            )
        if head < 1:
            raise InputError(f"head is {head}, expected at least 1 channel.")
        width = max(head, num_classes)
        self.normalize = Normalize([0.0] * in_channels, [1.0] * in_channels)
        for number, (taken, given) in enumerate(zip((in_channels, *filters), filters, strict=False), 1):
            setattr(self, f"conv{number}", nn.Conv2d(taken, given, 3, padding=1, bias=False))
            setattr(self, f"bn{number}", nn.BatchNorm2d(given))
            setattr(self, f"relu{number}", nn.ReLU())
            if number in _POOLED_AFTER:
                setattr(self, f"pool{_POOLED_AFTER.index(number) + 1}", nn.MaxPool2d(2))
        self.dropout = nn.Dropout2d(dropout)
        self.score32, self.score16, self.score8 = (nn.Conv2d(filters[i], width, 1) for i in (6, 5, 4))
        self.up16, self.up8 = upsampling(width, width, 2), upsampling(width, width, 2)
        self.up1 = upsampling(width, num_classes, 8)

    def forward(
        self, images: Float[Tensor, "batch channel height width"]
    ) -> Float[Tensor, "batch classes height width"]:
        """Return the logits of every pixel of images in [0, 1]."""
        maps, stages = self.normalize(images), {}
        for number in range(1, 8):
            maps = getattr(self, f"conv{number}")(maps)
            if number in _POOLED_AFTER:  # before batch-norm and ReLU it leaves them a quarter of the work
                maps = getattr(self, f"pool{_POOLED_AFTER.index(number) + 1}")(maps)
            maps = stages[number] = getattr(self, f"relu{number}")(getattr(self, f"bn{number}")(maps))
        scores = self.score32(self.dropout(maps))
        scores = self.up16(scores) + self.score16(stages[6])
        scores = self.up8(scores) + self.score8(stages[5])
        return self.up1(scores)


_POOL3, _POOL4 = 17, 24
"""Lengths of VGG16's features up to and with the third and the fourth pool."""


class FCN8sVGG16(nn.Module):
    """FCN-8s on VGG16: thirteen convolutions, five pools, fc6 and fc7 as convolutions; scores upsampled and added.

    Convolutions are padded by as much as they need to keep their size, where the paper pads the image by 100 pixels and
    crops the result; dropout silences whole channels, where the paper's silences single values. The scores of pool3 and
    pool4 begin at 0, so that training begins as with stride 32. Takes images in [0, 1] of shape (batch, in_channels,
    image_size, image_size), returns logits (batch, num_classes, image_size, image_size).

    Long, Shelhamer and Darrell 2015, https://arxiv.org/abs/1411.4038, figure 3 and section 4.
    """

    output: ClassVar[str] = "score maps"

    def __init__(
        self,
        *,
        in_channels: int,
        num_classes: int,
        image_size: int,
        hidden: int = 4096,
        dropout: float = 0.5,
        weights: str = "",
    ) -> None:
        """Build the network with random weights, or with VGG16's published ones.

        Args:
            in_channels: Channels of the input image, 3 with `weights`.
            num_classes: Classes of a pixel.
            image_size: Height and width of the input image in pixels, a multiple of 32.
            hidden: Channels of fc6 and fc7.
            dropout: Share of their channels that training silences.
            weights: "imagenet" downloads torchvision's file of VGG16 (about 550 MB) once; a path reads a .pth or
                .safetensors file with the same keys; "" leaves the weights random. fc6 and fc7 are the file's too where
                it has as many of them, `hidden`, as VGG16 at 224 pixels has 4096. The normalisation is then ImageNet's
                and stays so. Nothing is loaded on torch's meta device.

        Raises:
            InputError: An option has a value that no network of this kind has, or the weights cannot be had.
            WorkError: Their download failed.
        """
        super().__init__()
        check_dropout(dropout)
        if image_size < 32 or image_size % 32:
            raise InputError(f"image_size is {image_size}, expected a multiple of 32, because five pools halve it.")
        if hidden < 1:
            raise InputError(f"hidden is {hidden}, expected at least 1 channel.")
        if weights and in_channels != 3:
            raise InputError(
                f"in_channels is {in_channels}, expected 3, because weights={weights} is for colour images."
            )
        backbone = VGG16(in_channels=in_channels, num_classes=1, image_size=32, hidden=1)
        self.normalize = (
            Normalize(IMAGENET_MEAN, IMAGENET_STD, fixed=True)
            if weights
            else Normalize([0.0] * in_channels, [1.0] * in_channels)
        )
        self.features = backbone.features
        self.fc6, self.relu6 = nn.Conv2d(512, hidden, 7, padding=3), nn.ReLU()
        self.fc7, self.relu7 = nn.Conv2d(hidden, hidden, 1), nn.ReLU()
        self.dropout = nn.Dropout2d(dropout)
        self.score32, self.score16, self.score8 = (nn.Conv2d(n, num_classes, 1) for n in (hidden, 512, 256))
        self.up16, self.up8, self.up1 = (upsampling(num_classes, num_classes, stride) for stride in (2, 2, 8))
        self._initialize()
        if weights and not next(self.parameters()).is_meta:
            self._load_backbone(weights)

    def _initialize(self) -> None:
        for layer in (self.fc6, self.fc7, self.score32):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        for layer in (self.score16, self.score8):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def _load_backbone(self, weights: str) -> None:
        state = read_pretrained(weights, file=VGG16.pretrained, model="VGG16")
        own = self.features.state_dict()
        taken = {key: state.get(f"features.{key}") for key in own}
        wrong = [key for key, tensor in taken.items() if tensor is None or tensor.shape != own[key].shape]
        if wrong:
            raise InputError(f"{weights} lacks VGG16's features.{wrong[0]}; give weights of that network.")
        self.features.load_state_dict(taken)
        for layer, name in ((self.fc6, "classifier.0"), (self.fc7, "classifier.3")):
            weight, bias = (state.get(f"{name}.{part}") for part in ("weight", "bias"))
            if weight is not None and bias is not None and weight.shape == (len(layer.weight), layer.weight[0].numel()):
                # A linear layer over 7x7 maps is a convolution of that size, whose weights lie in the same order.
                layer.load_state_dict({"weight": weight.view_as(layer.weight), "bias": bias})

    def forward(
        self, images: Float[Tensor, "batch channel height width"]
    ) -> Float[Tensor, "batch classes height width"]:
        """Return the logits of every pixel of images in [0, 1]."""
        pool3 = self.features[:_POOL3](self.normalize(images))
        pool4 = self.features[_POOL3:_POOL4](pool3)
        maps = self.features[_POOL4:](pool4)
        maps = self.dropout(self.relu7(self.fc7(self.dropout(self.relu6(self.fc6(maps))))))
        scores = self.up16(self.score32(maps)) + self.score16(pool4)
        return self.up1(self.up8(scores) + self.score8(pool3))


Maps = Float[Tensor, "batch channel height width"]


class ConvBlock(nn.Sequential):
    """3x3 convolutions that keep the size, each followed by batch-norm and ReLU."""

    def __init__(self, channels: int, width: int, *, convolutions: int) -> None:
        layers: list[nn.Module] = []
        for number in range(convolutions):
            layers += [nn.Conv2d(width if number else channels, width, 3, padding=1, bias=False)]
            layers += [nn.BatchNorm2d(width), nn.ReLU()]
        super().__init__(*layers)


class UNetSmall(nn.Module):
    """A small U-Net: levels down1, down2, ... each half the size of the last, and as many up with skip connections.

    At full size, where convolutions cost most, there is only one each way; below that, two down and one up. Takes
    images in [0, 1] of shape (batch, in_channels, image_size, image_size), returns logits (batch, num_classes,
    image_size, image_size).

    After Ronneberger, Fischer and Brox 2015, https://arxiv.org/abs/1505.04597, figure 1: padded, with batch-norm, and
    narrower.
    """

    output: ClassVar[str] = "score maps"

    def __init__(
        self,
        *,
        in_channels: int,
        num_classes: int,
        image_size: int,
        filters: tuple[int, ...] = (16, 48, 96, 192, 384),
        dropout: float = 0.2,
    ) -> None:
        """Build the network with random weights.

        Args:
            in_channels: Channels of the input image.
            num_classes: Classes of a pixel.
            image_size: Height and width of the input image in pixels, halved at each level but the first.
            filters: Output channels of the levels, two or more.
            dropout: Share of the lowest level's channels that training silences.

        Raises:
            InputError: An option has a value that no network of this kind has.
        """
        super().__init__()
        check_dropout(dropout)
        if len(filters) < 2 or min(filters) < 1:
            raise InputError(f"filters is {filters}, expected two or more positive numbers, as in 16,48,96,192,384.")
        stride = 2 ** (len(filters) - 1)
        if image_size < stride or image_size % stride:
            raise InputError(
                f"image_size is {image_size}, expected a multiple of {stride}, for {len(filters)} levels that halve it."
            )
        self.normalize = Normalize([0.0] * in_channels, [1.0] * in_channels)
        self.levels = len(filters)
        for level, (taken, given) in enumerate(zip((in_channels, *filters), filters, strict=False), 1):
            setattr(self, f"down{level}", ConvBlock(taken, given, convolutions=1 if level == 1 else 2))
        self.pool = nn.MaxPool2d(2)
        self.dropout = nn.Dropout2d(dropout)
        for level in range(self.levels - 1, 0, -1):
            below, own = filters[level], filters[level - 1]
            setattr(self, f"grow{level}", nn.ConvTranspose2d(below, own, 2, stride=2))
            setattr(self, f"up{level}", ConvBlock(2 * own, own, convolutions=1))
        self.score = nn.Conv2d(filters[0], num_classes, 1)

    def forward(self, images: Maps) -> Float[Tensor, "batch classes height width"]:
        """Return the logits of every pixel of images in [0, 1]."""
        maps, across = self.normalize(images), []
        for level in range(1, self.levels + 1):
            maps = getattr(self, f"down{level}")(self.pool(maps) if level > 1 else maps)
            across.append(maps)
        maps = self.dropout(maps)
        for level in range(self.levels - 1, 0, -1):
            grown = getattr(self, f"grow{level}")(maps)
            maps = getattr(self, f"up{level}")(concatenate([across[level - 1], grown], dim=1))
        return self.score(maps)
