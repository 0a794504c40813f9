"""A segmentation network on EfficientNet-Lite0: the scores of several strides added up, as in FCN-8."""

from collections.abc import Mapping
from typing import ClassVar

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from glassnet.errors import InputError
from glassnet.models.blocks import RepeatChannels, check_dropout, check_size
from glassnet.models.efficientnet import (
    HEAD_CHANNELS,
    LiteStages,
    head_convolution,
    initialize_lite,
    lite_normalization,
    read_lite0,
)

Maps = Float[Tensor, "batch channel height width"]
STRIDES = (2, 4, 8, 16, 32)
"""Of the stages' maps, in pixels of what the stem is given."""


class FCNLite0(LiteStages):
    """An FCN on EfficientNet-Lite0: maps at strides `finest` to 32 are upsampled and added to give pixel scores.

    Each stride's map goes through a 1x1 convolution to `width` channels, to which the whole image's mean is added at
    stride 32 (Liu et al. 2015, https://arxiv.org/abs/1506.04579, section 3.1). The coarser sum is doubled bilinearly
    and added to the next, up to the finest; then come a 3x3 convolution, the scores, and their enlargement to the
    image's size. Small images are enlarged before the stem, since at stride 32 an object of theirs is less than a
    pixel. Takes images in [0, 1] of shape (batch, in_channels, height, width), returns logits (batch, num_classes,
    height, width).

    Long, Shelhamer and Darrell 2015, https://arxiv.org/abs/1411.4038, figure 3; Tan and Le 2019,
    https://arxiv.org/abs/1905.11946.
    """

    output: ClassVar[str] = "score maps"
    head_name: ClassVar[str] = "decoder"

    def __init__(
        self,
        *,
        in_channels: int,
        num_classes: int,
        image_size: int,
        enlarge: int = 192,
        width: int = 128,
        finest: int = 8,
        dropout: float = 0.1,
        weights: str = "",
    ) -> None:
        """Build the network with random weights, or with EfficientNet-Lite0's published ones below the decoder.

        Args:
            in_channels: Channels of the input image; with `weights` 3, or 1, which is repeated to 3.
            num_classes: Classes of a pixel.
            image_size: Height and width of the input image in pixels, 2 or more.
            enlarge: Side in pixels to which smaller images are enlarged inside the network; 0 for none.
            width: Channels of the decoder.
            finest: Stride of the finest scores, 8, 4 or 2: finer ones follow thin objects, and take longer.
            dropout: Share of its channels that training silences.
            weights: As `EfficientNetLite0` takes them.

        Raises:
            InputError: An option has a value that no network of this kind has, or the weights cannot be had.
        """
        check_size(image_size, 2, "the stem reduces to 1")
        check_dropout(dropout)
        if width < 1 or enlarge < 0:
            raise InputError(f"width is {width} and enlarge {enlarge}, expected at least 1 channel and 0 pixels.")
        if finest not in (2, 4, 8):
            raise InputError(f"finest is {finest}, expected a stride of 8, 4 or 2 pixels.")
        if weights and in_channels not in (1, 3):
            raise InputError(
                f"in_channels is {in_channels}, expected 1 or 3, because weights={weights} is for colour images."
            )
        channels = 3 if weights else in_channels
        super().__init__(channels)
        self.enlarge = enlarge
        self.repeat = RepeatChannels(channels) if channels != in_channels else nn.Identity()
        self.normalize = lite_normalization(channels, pretrained=bool(weights))
        self.head = head_convolution()
        widths = dict(zip(STRIDES, (*self.scale_widths[:-1], HEAD_CHANNELS), strict=True))
        self.decoder = Decoder({at: one for at, one in widths.items() if at >= finest}, width, num_classes, dropout)
        initialize_lite(self)
        if weights and not next(self.parameters()).is_meta:
            self._load_backbone(weights)

    def _load_backbone(self, weights: str) -> None:
        state = read_lite0(weights)
        own = {name: value for name, value in self.state_dict().items() if name.startswith(("stem", "stage", "head"))}
        wrong = [name for name, value in own.items() if name not in state or state[name].shape != value.shape]
        if wrong:
            raise InputError(f"{weights} lacks EfficientNet-Lite0's {wrong[0]}; give weights of that network.")
        self.load_state_dict({name: state[name] for name in own}, strict=False)

    def forward(self, images: Maps) -> Float[Tensor, "batch classes height width"]:
        """Return the logits of every pixel of images in [0, 1]."""
        maps, size = self.normalize(self.repeat(images)), images.shape[2:]
        if min(size) < self.enlarge:
            larger = [round(side * self.enlarge / min(size)) for side in size]
            maps = F.interpolate(maps, larger, mode="bilinear", align_corners=False)
        *finer, last = self.scales(maps)
        scores = self.decoder(dict(zip(STRIDES, (*finer, self.head(last)), strict=True)))
        return F.interpolate(scores, size, mode="bilinear")


class Decoder(nn.Module):
    """Score maps of several strides, added on the way up.

    Args:
        widths: Channels by stride, 32 among them.
        width: Channels of the sums.
        classes: Classes of a pixel.
        dropout: Share of channels that training silences before the scores.
    """

    def __init__(self, widths: Mapping[int, int], width: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.strides = sorted(widths, reverse=True)
        for stride, taken in sorted(widths.items()):
            self.add_module(f"score{stride}", nn.Conv2d(taken, width, 1))
        self.whole = nn.Conv2d(widths[32], width, 1)
        self.bn1, self.relu1 = nn.BatchNorm2d(width), nn.ReLU()
        self.mix = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2, self.relu2 = nn.BatchNorm2d(width), nn.ReLU()
        self.dropout = nn.Dropout2d(dropout)
        self.score = nn.Conv2d(width, classes, 1)

    def forward(self, stages: Mapping[int, Tensor]) -> Float[Tensor, "batch classes height width"]:
        """Return scores at the finest stride, of the stages' maps by stride."""
        last = stages[32]
        maps = self.get_submodule("score32")(last) + self.whole(last.mean(dim=(2, 3), keepdim=True))
        for stride in self.strides[1:]:
            finer = self.get_submodule(f"score{stride}")(stages[stride])
            maps = F.interpolate(maps, finer.shape[2:], mode="bilinear", align_corners=False) + finer
        maps = self.relu2(self.bn2(self.mix(self.relu1(self.bn1(maps)))))
        return self.score(self.dropout(maps))
