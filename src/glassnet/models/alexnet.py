"""AlexNet made small: one large first kernel, few convolutions, overlapping pools, two dropout layers."""

from jaxtyping import Float
from torch import Tensor, nn

from glassnet.models.blocks import add_classifier, add_convolution, begin, check_dropout, check_size, check_widths


class AlexNetSmall(nn.Sequential):
    """AlexNet in small: conv1 (5x5) pool1 conv2 pool2 conv3 conv4 pool3 fc1 fc2 fc3.

    Each weight layer but the last is followed by batch-norm and ReLU, after the pool where there is one, fc1 and fc2
    also by dropout. Pools overlap: 3x3 pixels, two apart, so that 28 pixels become 14, 7 and 4. Takes images in [0, 1]
    of shape (batch, in_channels, image_size, image_size), returns logits (batch, num_classes).

    Krizhevsky et al. 2012, https://papers.nips.cc/paper/4824; batch-norm takes the place of its response normalisation.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        num_classes: int,
        image_size: int,
        filters: tuple[int, ...] = (32, 48, 64, 64),
        hidden: tuple[int, ...] = (256, 128),
        dropout: float = 0.25,
    ) -> None:
        """Build the network with random weights.

        Args:
            in_channels: Channels of the input image.
            num_classes: Length of the output.
            image_size: Height and width of the input image in pixels, 8 or more.
            filters: Output channels of the four convolutions.
            hidden: Units of fc1 and fc2.
            dropout: Share of the units of fc1 and fc2 that training silences.

        Raises:
            InputError: An option has a value that no network of this kind has.
        """
        check_widths("filters", filters, 4, "32,48,64,64")
        check_widths("hidden", hidden, 2, "256,128")
        check_size(image_size, 8, "three pools reduce to 1")
        check_dropout(dropout)
        layers, channels, size = begin(in_channels), in_channels, image_size
        for number, width in enumerate(filters, 1):
            pool = nn.MaxPool2d(3, stride=2, padding=1) if number != 3 else None
            add_convolution(layers, number, channels, width, kernel=5 if number == 1 else 3, pool=pool)
            channels, size = width, (size + 1) // 2 if pool else size
        add_classifier(layers, 5, channels * size**2, hidden, num_classes, dropout)
        super().__init__(layers)

    def forward(self, images: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch classes"]:
        """Return the logits of images in [0, 1]."""
        return super().forward(images)  # type: ignore[no-untyped-call]
