"""A small U-Net: down by pools, up by transposed convolutions, each level's maps handed across."""

from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn
from torch import cat as concatenate

from glassnet.errors import InputError
from glassnet.models.blocks import Normalize, check_dropout

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
    """Levels down1, down2, ... each half the size of the one before, and as many up again with what lies across.

    At its own size only one convolution is taken each way, where it costs most; below that two down and one up. Takes
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
                f"image_size is {image_size}, expected a multiple of {stride}, which {len(filters)} levels halve."
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
