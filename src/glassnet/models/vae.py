"""The 2019 report's two convolutional VAEs: two strided convolutions each way, with further ones between or without."""

from collections import Counter
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from glassnet.errors import InputError
from glassnet.models.autoencoder import Autoencoder, check_image_size
from glassnet.models.blocks import Layers, check_widths

HIDDEN = 256
"""Units of the fully connected layers next to a vector code, if not given."""

SLOPE = 0.2
"""Of the LeakyReLU in vae_deep's encoder."""


class VAEConv(Autoencoder):
    """The 2019 report's VAE: conv1 conv2, mean and log_variance, deconv1 deconv2; batch-norm and ReLU in between.

    Convolutions are 4x4 with stride 2. The code is a vector, read off a fully connected layer, or a map of a quarter
    of the image's height and width (`spatial`). Takes images in [0, 1] of shape (batch, in_channels, image_size,
    image_size).

    Kingma and Welling 2014, https://arxiv.org/abs/1312.6114; strided convolutions and batch-norm as in Radford et al.
    2016, https://arxiv.org/abs/1511.06434.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        image_size: int,
        latent: int = 64,
        spatial: bool = False,
        filters: tuple[int, ...] = (32, 64),
        hidden: int = HIDDEN,
        likelihood: str = "bernoulli",
    ) -> None:
        """Build the network with random weights.

        Args:
            in_channels: Channels of the image.
            image_size: Height and width in pixels, a multiple of 4.
            latent: Number of latent dimensions; of channels where the code is spatial.
            spatial: Whether the code is a map.
            filters: Channels of conv1 and conv2; the decoder has them the other way round.
            hidden: Units of the fully connected layers next to a vector code.
            likelihood: bernoulli, gaussian or discretized_gaussian: distribution of a pixel around its mean.

        Raises:
            InputError: An option has a value that no network of this kind has.
        """
        code = _checked_code(
            in_channels=in_channels, image_size=image_size, latent=latent, spatial=spatial, filters=filters,
            hidden=hidden, usual="32,64",
        )  # fmt: skip
        blocks = _Blocks(slope=0.0, by_number=True)
        decoder = _to_maps(code)  # before the encoder: a seed draws the weights in this order
        encoder = _down(blocks, in_channels, filters, depth=0)
        _append_up(decoder, blocks, in_channels, filters, depth=0)
        mean, log_variance = _heads(encoder, code)
        super().__init__(
            in_channels=in_channels,
            encoder=nn.Sequential(encoder),
            mean=mean,
            log_variance=log_variance,
            decoder=nn.Sequential(decoder),
            latent_shape=code.shape,
            likelihood=likelihood,
        )


class VAEDeep(Autoencoder):
    """The 2019 report's modified VAE: conv1 and conv4 down, deconv1 and deconv2 up, `depth` 3x3 layers at each size.

    The 3x3 layers of a size form a residual block (He et al. 2016, https://arxiv.org/abs/1512.03385). Each convolution
    is followed by batch-norm, and by LeakyReLU in the encoder, ReLU in the decoder. The code is by default a map of a
    quarter of the image's height and width, else a vector. Takes images in [0, 1] of shape (batch, in_channels,
    image_size, image_size).

    Kingma and Welling 2014, https://arxiv.org/abs/1312.6114; LeakyReLU in a convolutional network as in Radford et al.
    2016, https://arxiv.org/abs/1511.06434.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        image_size: int,
        latent: int = 16,
        spatial: bool = True,
        filters: tuple[int, ...] = (48, 96),
        depth: int = 2,
        residual: bool = True,
        hidden: int = HIDDEN,
        likelihood: str = "bernoulli",
    ) -> None:
        """Build the network with random weights.

        Args:
            in_channels: Channels of the image.
            image_size: Height and width in pixels, a multiple of 4.
            latent: Number of channels of the code; of latent dimensions where it is a vector.
            spatial: Whether the code is a map.
            filters: Channels at half and at a quarter of the height and width.
            depth: 3x3 convolutions at each of the two sizes, in the encoder and in the decoder.
            residual: Whether the convolutions of a size form a residual block, which adds to its input; at first it
                adds nothing. Without it (false), as in the report, deep networks train worse.
            hidden: Units of the fully connected layers next to a vector code.
            likelihood: bernoulli, gaussian or discretized_gaussian: distribution of a pixel around its mean.

        Raises:
            InputError: An option has a value that no network of this kind has.
        """
        check_widths("depth", (depth,), 1, "2")
        code = _checked_code(
            in_channels=in_channels, image_size=image_size, latent=latent, spatial=spatial, filters=filters,
            hidden=hidden, usual="48,96",
        )  # fmt: skip
        blocks = _Blocks(slope=SLOPE, by_number=False, residual=residual)
        encoder = _down(blocks, in_channels, filters, depth=depth)
        decoder = _to_maps(code)
        _append_up(decoder, blocks, in_channels, filters, depth=depth)
        mean, log_variance = _heads(encoder, code)
        super().__init__(
            in_channels=in_channels,
            encoder=nn.Sequential(encoder),
            mean=mean,
            log_variance=log_variance,
            decoder=nn.Sequential(decoder),
            latent_shape=code.shape,
            likelihood=likelihood,
        )


class _Blocks:
    """Convolutions with batch-norm and activation, numbered by kind through encoder and decoder.

    Saved weights have these names: vae_conv numbers batch-norms by themselves (bn3 stands behind deconv1), vae_deep
    names them after their convolution (bn_deconv1).
    """

    def __init__(self, *, slope: float, by_number: bool, residual: bool = False) -> None:
        self._slope, self._by_number, self._residual = slope, by_number, residual
        self._count = Counter[str]()
        self._size = 0

    def append(self, layers: Layers, convolution: nn.Conv2d | nn.ConvTranspose2d, *, down: bool) -> None:
        """Append a convolution, its batch-norm and its activation."""
        kind = "deconv" if isinstance(convolution, nn.ConvTranspose2d) else "conv"
        self._count[kind] += 1
        name, number = f"{kind}{self._count[kind]}", self._count.total()
        norm, activation = (f"bn{number}", f"relu{number}") if self._by_number else (f"bn_{name}", f"act_{name}")
        layers[name] = convolution
        layers[norm] = nn.BatchNorm2d(convolution.out_channels)
        layers[activation] = nn.LeakyReLU(self._slope) if down and self._slope else nn.ReLU()

    def append_depth(self, layers: Layers, channels: int, depth: int, *, down: bool) -> None:
        """Append 3x3 convolutions that keep the size, in a row or as one residual block."""
        inner = Layers() if self._residual else layers
        for _ in range(depth):
            self.append(inner, nn.Conv2d(channels, channels, 3, padding=1, bias=False), down=down)
        if not self._residual or not depth:
            return
        _, activation = inner.popitem()
        self._size += 1
        layers[f"block{self._size}"] = _Residual(inner)
        layers[f"act_block{self._size}"] = activation


class _Residual(nn.Sequential):
    """x + F(x), F ending in a batch-norm whose scale begins at 0, so that the block begins as nothing.

    He et al. 2016, https://arxiv.org/abs/1512.03385; the scale of 0 as in Goyal et al. 2017,
    https://arxiv.org/abs/1706.02677, section 5.1.
    """

    def __init__(self, layers: Layers) -> None:
        super().__init__(layers)
        last = next(reversed(layers.values()))
        assert isinstance(last, nn.BatchNorm2d)
        nn.init.zeros_(last.weight)

    def forward(self, maps: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch channel height width"]:
        """Return maps of the same shape."""
        return maps + super().forward(maps)  # type: ignore[no-untyped-call]


def _down(blocks: _Blocks, in_channels: int, filters: tuple[int, ...], *, depth: int) -> Layers:
    encoder = Layers()
    for before, after in ((in_channels, filters[0]), filters):
        blocks.append(encoder, nn.Conv2d(before, after, 4, stride=2, padding=1, bias=False), down=True)
        blocks.append_depth(encoder, after, depth, down=True)
    return encoder


def _append_up(decoder: Layers, blocks: _Blocks, channels: int, filters: tuple[int, ...], *, depth: int) -> None:
    blocks.append_depth(decoder, filters[1], depth, down=False)
    up = nn.ConvTranspose2d(filters[1], filters[0], 4, stride=2, padding=1, bias=False)
    blocks.append(decoder, up, down=False)
    blocks.append_depth(decoder, filters[0], depth, down=False)
    decoder["deconv2"] = nn.ConvTranspose2d(filters[0], channels, 4, stride=2, padding=1)


@dataclass(frozen=True)
class _Code:
    """What the code of an image is, and the maps next to it.

    Attributes:
        latent: Number of latent dimensions; of channels where the code is a map.
        spatial: Whether it is a map.
        hidden: Units of the hidden layers next to a vector code.
        channels: Channels of the maps.
        side: Height and width of the maps in pixels, a quarter of the image's.
    """

    latent: int
    spatial: bool
    hidden: int
    channels: int
    side: int

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of an image's code: (latent,), or (latent, side, side) where it is a map."""
        return (self.latent, self.side, self.side) if self.spatial else (self.latent,)


def _checked_code(
    *, in_channels: int, image_size: int, latent: int, spatial: bool, filters: tuple[int, ...], hidden: int, usual: str
) -> _Code:
    """Return the code that a VAE's options ask for.

    Args:
        in_channels: Channels of the image.
        image_size: Its height and width in pixels.
        latent: Number of latent dimensions; of channels where the code is a map.
        spatial: Whether the code is a map.
        filters: Channels at half and at a quarter of the height and width.
        hidden: Units of the hidden layers next to a vector code.
        usual: The filters to name as an example.

    Raises:
        InputError: An option has a value that no network of this kind has, or none where the code is a map.
    """
    check_widths("filters", filters, 2, usual)
    check_widths("hidden", (hidden,), 1, str(HIDDEN))
    if spatial and hidden != HIDDEN:
        raise InputError(
            f"hidden is {hidden}, but a spatial code has no hidden layer; leave it out, or give spatial=false."
        )
    code = _Code(latent, spatial, hidden, filters[1], image_size // 4)
    check_image_size(image_size, in_channels, code.shape)
    return code


def _heads(encoder: Layers, code: _Code) -> tuple[nn.Module, nn.Module]:
    """Return the layers that give the code's mean and log-variance; a vector code gets a hidden layer before them.

    Args:
        encoder: Layers up to the maps; the hidden layer is appended here.
        code: The code.
    """
    if code.spatial:
        return nn.Conv2d(code.channels, code.latent, 1), nn.Conv2d(code.channels, code.latent, 1)
    encoder["flatten"] = nn.Flatten()
    encoder["fc1"] = nn.Linear(code.channels * code.side**2, code.hidden, bias=False)
    encoder["bn_fc1"] = nn.BatchNorm1d(code.hidden)
    encoder["act_fc1"] = nn.ReLU()
    return nn.Linear(code.hidden, code.latent), nn.Linear(code.hidden, code.latent)


def _to_maps(code: _Code) -> Layers:
    """Begin a decoder: from a code to maps, with batch-norm and ReLU."""
    decoder = Layers()
    if code.spatial:
        decoder["expand"] = nn.Conv2d(code.latent, code.channels, 3, padding=1, bias=False)
    else:
        decoder["fc2"] = nn.Linear(code.latent, code.hidden, bias=False)
        decoder["bn_fc2"] = nn.BatchNorm1d(code.hidden)
        decoder["act_fc2"] = nn.ReLU()
        decoder["fc3"] = nn.Linear(code.hidden, code.channels * code.side**2, bias=False)
        decoder["unflatten"] = nn.Unflatten(1, (code.channels, code.side, code.side))
    decoder["bn_expand"] = nn.BatchNorm2d(code.channels)
    decoder["act_expand"] = nn.ReLU()
    return decoder
