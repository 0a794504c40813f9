"""The 2019 report's segmentation network, its Figure 4: the classifier's convolutions, then FCN-8's head."""

from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from glassnet.errors import InputError
from glassnet.models.blocks import Normalize, check_dropout, check_widths, upsampling

STRIDE = 32
_POOLED_AFTER = (2, 4, 5, 6, 7)


class FCN8Small(nn.Module):
    """Seven convolutions and five pools, scores at strides 8, 16 and 32, added on the way up by transposed ones.

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
            raise InputError(f"image_size is {image_size}, expected a multiple of {STRIDE}, which five pools halve.")
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
