"""Small classifiers, each a chain of convolutions: the 2019 report's own, VGG and AlexNet in small, and AllConv."""

from collections import OrderedDict

from jaxtyping import Float
from torch import Tensor, nn

from glassnet.errors import InputError
from glassnet.models.blocks import (
    Normalize,
    add_classifier,
    add_convolution,
    begin,
    check_dropout,
    check_size,
    check_widths,
)


class ConvNet(nn.Sequential):
    """The 2019 report's network, VGG-like: conv1 conv2 pool1 conv3 conv4 pool2 fc1 fc2.

    Each weight layer but the last is followed by batch-norm and ReLU, after the pool where there is one.

    Convolutions are 3x3 with padding 1; pools halve height and width. Takes images in [0, 1] of shape
    (batch, in_channels, image_size, image_size), returns logits (batch, num_classes).
    """

    def __init__(
        self,
        *,
        in_channels: int,
        num_classes: int,
        image_size: int,
        filters: tuple[int, ...] = (32, 32, 64, 64),
        hidden: int = 128,
        dropout: float = 0.0,
    ) -> None:
        """Build the network with random weights.

        Args:
            in_channels: Channels of the input image.
            num_classes: Length of the output.
            image_size: Height and width of the input image in pixels, 4 or more.
            filters: Output channels of the four convolutions.
            hidden: Units of fc1.
            dropout: Share of fc1's units that training silences.

        Raises:
            InputError: An option has a value that no network of this kind has.
        """
        if len(filters) != 4 or min(filters) < 1:
            raise InputError(f"filters is {filters}, expected four positive numbers, as in filters=32,32,64,64.")
        if image_size < 4:
            raise InputError(f"image_size is {image_size}, expected at least 4 pixels, which two pools reduce to 1.")
        if hidden < 1 or not 0 <= dropout < 1:
            raise InputError(f"hidden is {hidden} and dropout {dropout}, expected hidden >= 1 and 0 <= dropout < 1.")
        layers: OrderedDict[str, nn.Module] = OrderedDict(normalize=Normalize([0.0] * in_channels, [1.0] * in_channels))
        channels = in_channels
        for number, width in enumerate(filters, 1):
            # No bias: the batch-norm that follows has its own.
            layers[f"conv{number}"] = nn.Conv2d(channels, width, 3, padding=1, bias=False)
            # Pooling before batch-norm and ReLU leaves them a quarter of the work.
            if number % 2 == 0:
                layers[f"pool{number // 2}"] = nn.MaxPool2d(2)
            layers[f"bn{number}"] = nn.BatchNorm2d(width)
            layers[f"relu{number}"] = nn.ReLU()
            channels = width
        layers["flatten"] = nn.Flatten()
        layers["fc1"] = nn.Linear(channels * (image_size // 4) ** 2, hidden, bias=False)
        layers["bn5"] = nn.BatchNorm1d(hidden)
        layers["relu5"] = nn.ReLU()
        if dropout:
            layers["dropout"] = nn.Dropout(dropout)
        layers["fc2"] = nn.Linear(hidden, num_classes)
        super().__init__(layers)

    def forward(self, images: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch classes"]:
        """Return the logits of images in [0, 1]."""
        return super().forward(images)  # type: ignore[no-untyped-call]


class VGGSmall(nn.Sequential):
    """A small VGG: three blocks of two 3x3 convolutions and a pool (conv1 conv2 pool1 ... pool3), then fc1 fc2.

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


class AlexNetSmall(nn.Sequential):
    """A small AlexNet: conv1 (5x5) pool1 conv2 pool2 conv3 conv4 pool3 fc1 fc2 fc3.

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


class AllConv(nn.Sequential):
    """An all-convolutional network: conv1 ... conv7 (3x3), pools after conv2 and conv4, global average, fc1.

    Each convolution is followed by batch-norm and ReLU, after the pool where there is one. Without hidden fully
    connected layers nearly all parameters are kernels, each of which sees every place in the image. Takes images in
    [0, 1] of shape (batch, in_channels, image_size, image_size), returns logits (batch, num_classes).

    After Springenberg et al. 2015, https://arxiv.org/abs/1412.6806, with max pools, and the global average of Lin et
    al. 2014, https://arxiv.org/abs/1312.4400.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        num_classes: int,
        image_size: int,
        filters: tuple[int, ...] = (32, 32, 64, 64, 128, 128, 128),
        dropout: float = 0.0,
    ) -> None:
        """Build the network with random weights.

        Args:
            in_channels: Channels of the input image.
            num_classes: Length of the output.
            image_size: Height and width of the input image in pixels, 4 or more.
            filters: Output channels of the convolutions, five or more.
            dropout: Share of the averaged channels that training silences.

        Raises:
            InputError: An option has a value that no network of this kind has.
        """
        if len(filters) < 5 or min(filters) < 1:
            raise InputError(
                f"filters is {filters}, expected five or more positive numbers, as in 32,32,64,64,128,128."
            )
        check_size(image_size, 4, "two pools reduce to 1")
        check_dropout(dropout)
        layers, channels = begin(in_channels), in_channels
        for number, width in enumerate(filters, 1):
            add_convolution(layers, number, channels, width, pool=nn.MaxPool2d(2) if number in (2, 4) else None)
            channels = width
        layers["average"] = nn.AdaptiveAvgPool2d(1)
        if dropout:
            layers["dropout"] = nn.Dropout(dropout)
        add_classifier(layers, 0, channels, (), num_classes, dropout=0.0)
        super().__init__(layers)

    def forward(self, images: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch classes"]:
        """Return the logits of images in [0, 1]."""
        return super().forward(images)  # type: ignore[no-untyped-call]
