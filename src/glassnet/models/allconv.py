"""A network of convolutions only: five or more of 3x3, averaged over the image, and one linear map."""

from jaxtyping import Float
from torch import Tensor, nn

from glassnet.errors import InputError
from glassnet.models.blocks import add_classifier, add_convolution, begin, check_dropout, check_size


class AllConv(nn.Sequential):
    """Convolutions and an average, hardly anything else: conv1 ... conv7 (3x3), a pool after conv2 and conv4, fc1.

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
