"""The 2019 report's own network, its Figure 2: four convolutions, two pools, two fully connected layers."""

from collections import OrderedDict

from jaxtyping import Float
from torch import Tensor, nn

from glassnet.errors import InputError
from glassnet.models.blocks import Normalize


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
