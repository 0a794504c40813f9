"""VGG made small: blocks of 3x3 convolutions, a pool after each, two fully connected layers."""

from jaxtyping import Float
from torch import Tensor, nn

from glassnet.errors import InputError
from glassnet.models.blocks import add_classifier, add_convolution, begin, check_dropout, check_size


class VGGSmall(nn.Sequential):
    """VGG in small: three blocks of two 3x3 convolutions and a pool (conv1 conv2 pool1 ... pool3), then fc1 fc2.

    Each weight layer but the last is followed by batch-norm and ReLU, after the pool where there is one. Pools halve
    height and width. Takes images in [0, 1] of shape (batch, in_channels, image_size, image_size), returns logits
    (batch, num_classes).

    Simonyan and Zisserman 2015, https://arxiv.org/abs/1409.1556.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        num_classes: int,
        image_size: int,
        filters: tuple[int, ...] = (16, 32, 48, 64, 96, 96),
        hidden: int = 128,
        dropout: float = 0.0,
    ) -> None:
        """Build the network with random weights.

        Args:
            in_channels: Channels of the input image.
            num_classes: Length of the output.
            image_size: Height and width of the input image in pixels, 8 or more.
            filters: Output channels of the convolutions of the three blocks: three numbers for each of a block's
                convolutions, so six make pairs and nine make triples.
            hidden: Units of fc1.
            dropout: Share of fc1's units that training silences.

        Raises:
            InputError: An option has a value that no network of this kind has.
        """
        if not filters or len(filters) % 3 or min(filters) < 1:
            raise InputError(
                f"filters is {filters}, expected 3, 6, 9 or more positive numbers, as in 16,32,48,64,96,96."
            )
        if hidden < 1:
            raise InputError(f"hidden is {hidden}, expected at least 1 unit.")
        check_size(image_size, 8, "three pools reduce to 1")
        check_dropout(dropout)
        layers, channels = begin(in_channels), in_channels
        for number, width in enumerate(filters, 1):
            pool = nn.MaxPool2d(2) if number % (len(filters) // 3) == 0 else None
            add_convolution(layers, number, channels, width, pool=pool)
            channels = width
        units = channels * (image_size // 8) ** 2
        add_classifier(layers, len(filters) + 1, units, (hidden,), num_classes, dropout)
        super().__init__(layers)

    def forward(self, images: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch classes"]:
        """Return the logits of images in [0, 1]."""
        return super().forward(images)  # type: ignore[no-untyped-call]
