"""FCN-8s on VGG16: the classifier's layers as convolutions, scores at strides 8, 16 and 32 added on the way up."""

from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from glassnet.errors import InputError
from glassnet.models.blocks import Normalize, check_dropout, upsampling
from glassnet.models.pretrained import IMAGENET_MEAN, IMAGENET_STD, read_pretrained
from glassnet.models.vgg import VGG16

_POOL3, _POOL4 = 17, 24
"""Lengths of VGG16's features up to and with the third and the fourth pool."""


class FCN8sVGG16(nn.Module):
    """VGG16's thirteen convolutions and five pools, fc6 and fc7 as convolutions, and FCN-8s's scores on the way up.

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
            raise InputError(f"image_size is {image_size}, expected a multiple of 32, which five pools halve.")
        if hidden < 1:
            raise InputError(f"hidden is {hidden}, expected at least 1 channel.")
        if weights and in_channels != 3:
            raise InputError(f"in_channels is {in_channels}, expected 3 with weights={weights}: they take colour.")
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
