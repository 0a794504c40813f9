"""ResNet made small: a stem, three stages of basic blocks with shortcuts, one average over the image."""

from collections import OrderedDict

from jaxtyping import Float
from torch import Tensor, nn

from glassnet.models.blocks import Layers, add_classifier, add_convolution, begin, check_size, check_widths

Maps = Float[Tensor, "batch channel height width"]


class BasicBlock(nn.Module):
    """y = ReLU(x + bn2(conv2(ReLU(bn1(conv1(x)))))), 3x3 convolutions.

    Where the block changes the channels, x goes through a 1x1 convolution and batch-norm (He et al. 2016,
    https://arxiv.org/abs/1512.03385, option B), after an average of 2x2 pixels where it halves the size, so that no
    pixel is skipped (He et al. 2019, https://arxiv.org/abs/1812.01187, ResNet-D). bn2 starts with gamma 0, so that a
    new block passes x on (Goyal et al. 2017, https://arxiv.org/abs/1706.02677, section 5.1).
    """

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        nn.init.zeros_(self.bn2.weight)
        self.shortcut = _projection(channels, width, stride) if stride > 1 or channels != width else nn.Identity()
        self.relu2 = nn.ReLU()

    def forward(self, maps: Maps) -> Float[Tensor, "batch out_channel out_height out_width"]:
        """Return the block's maps, of its own channels and a `stride`-th of the height and width."""
        change = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(maps)))))
        return self.relu2(change + self.shortcut(maps))


def _projection(channels: int, width: int, stride: int) -> nn.Module:
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    if stride > 1:  # an odd size is rounded up, as the strided convolution beside it does
        layers["pool"] = nn.AvgPool2d(stride, ceil_mode=True)
    layers["conv"] = nn.Conv2d(channels, width, 1, bias=False)
    layers["bn"] = nn.BatchNorm2d(width)
    return nn.Sequential(layers)


class ResNetSmall(nn.Sequential):
    """A small ResNet: conv1 conv2 pool1, then stage1 to stage3 of basic blocks, the global average, fc1.

    The stem's pool and the first block of stage2 and stage3 halve height and width. The stem has two 3x3 convolutions
    in place of one large one (He et al. 2019, https://arxiv.org/abs/1812.01187, ResNet-C): in small images strokes are
    a few pixels wide. Layers of a block are named as in stage2.0.conv1. Takes images in [0, 1] of shape (batch,
    in_channels, image_size, image_size), returns logits (batch, num_classes).

    He et al. 2016, https://arxiv.org/abs/1512.03385.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        num_classes: int,
        image_size: int,
        filters: tuple[int, ...] = (32, 64, 128),
        blocks: tuple[int, ...] = (1, 1, 1),
    ) -> None:
        """Build the network with random weights.

        Args:
            in_channels: Channels of the input image.
            num_classes: Length of the output.
            image_size: Height and width of the input image in pixels, 2 or more.
            filters: Channels of the three stages; the stem's convolutions have half as many as the first, and as many.
            blocks: Blocks of the three stages.

        Raises:
            InputError: An option has a value that no network of this kind has.
        """
        check_widths("filters", filters, 3, "32,64,128")
        check_widths("blocks", blocks, 3, "1,1,1")
        check_size(image_size, 2, "the stem's pool reduces to 1")
        layers: Layers = begin(in_channels)
        half = max(filters[0] // 2, 1)
        add_convolution(layers, 1, in_channels, half)
        add_convolution(layers, 2, half, filters[0], pool=nn.MaxPool2d(2))
        channels = filters[0]
        for stage, (width, count) in enumerate(zip(filters, blocks, strict=True), 1):
            first = BasicBlock(channels, width, stride=1 if stage == 1 else 2)
            layers[f"stage{stage}"] = nn.Sequential(first, *(BasicBlock(width, width, 1) for _ in range(count - 1)))
            channels = width
        layers["average"] = nn.AdaptiveAvgPool2d(1)
        add_classifier(layers, 0, channels, (), num_classes, dropout=0.0)
        super().__init__(layers)

    def forward(self, images: Maps) -> Float[Tensor, "batch classes"]:
        """Return the logits of images in [0, 1]."""
        return super().forward(images)  # type: ignore[no-untyped-call]
