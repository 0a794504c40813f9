"""The 2019 report's modified VAE: more convolutions, LeakyReLU on the way down, batch-norm after each."""

from collections import Counter

from torch import nn

from glassnet.models.autoencoder import Autoencoder
from glassnet.models.stack import Layers, check_widths
from glassnet.models.variational import HIDDEN, checked_code, heads, to_maps

SLOPE = 0.2


class VAEDeep(Autoencoder):
    """Deeper VAE: down by conv1 and conv4, up by deconv1 and deconv2, with `depth` 3x3 convolutions (2) beside each.

    Each convolution is followed by batch-norm, and by LeakyReLU in the encoder, ReLU in the decoder. The code is by
    default a map of a quarter of the image's height and width, else a vector. Takes images in [0, 1] of shape (batch,
    in_channels, image_size, image_size).

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
        hidden: int = HIDDEN,
        likelihood: str = "bernoulli",
    ) -> None:
        """Build the network with random weights.

        Args:
            in_channels: Channels of the image.
            image_size: Height and width in pixels, a multiple of 4.
            latent: Channels of the code, or its numbers where it is a vector.
            spatial: Whether the code is a map.
            filters: Channels at half and at a quarter of the height and width.
            depth: 3x3 convolutions at each of the two sizes, in the encoder and in the decoder.
            hidden: Units of the fully connected layers next to a vector code.
            likelihood: bernoulli, gaussian or discretized_gaussian: distribution of a pixel around its mean.

        Raises:
            InputError: An option has a value that no network of this kind has.
        """
        check_widths("depth", (depth,), 1, "2")
        code = checked_code(
            in_channels=in_channels, image_size=image_size, latent=latent, spatial=spatial, filters=filters,
            hidden=hidden, usual="48,96",
        )  # fmt: skip
        count = Counter[str]()
        encoder = _down(in_channels, filters, depth, count)
        decoder = to_maps(code)
        _append_up(decoder, in_channels, filters, depth, count)
        mean, log_variance = heads(encoder, code)
        super().__init__(
            in_channels=in_channels,
            encoder=nn.Sequential(encoder),
            mean=mean,
            log_variance=log_variance,
            decoder=nn.Sequential(decoder),
            latent_shape=code.shape,
            likelihood=likelihood,
        )


def _down(in_channels: int, filters: tuple[int, ...], depth: int, count: Counter[str]) -> Layers:
    encoder = Layers()
    for before, after in ((in_channels, filters[0]), filters):
        _append(encoder, count, nn.Conv2d(before, after, 4, stride=2, padding=1, bias=False), leaky=True)
        for _ in range(depth):
            _append(encoder, count, nn.Conv2d(after, after, 3, padding=1, bias=False), leaky=True)
    return encoder


def _append_up(decoder: Layers, channels: int, filters: tuple[int, ...], depth: int, count: Counter[str]) -> None:
    for _ in range(depth):
        _append(decoder, count, nn.Conv2d(filters[1], filters[1], 3, padding=1, bias=False), leaky=False)
    up = nn.ConvTranspose2d(filters[1], filters[0], 4, stride=2, padding=1, bias=False)
    _append(decoder, count, up, leaky=False)
    for _ in range(depth):
        _append(decoder, count, nn.Conv2d(filters[0], filters[0], 3, padding=1, bias=False), leaky=False)
    decoder["deconv2"] = nn.ConvTranspose2d(filters[0], channels, 4, stride=2, padding=1)


def _append(layers: Layers, count: Counter[str], convolution: nn.Conv2d | nn.ConvTranspose2d, *, leaky: bool) -> None:
    """Append a convolution with its batch-norm and activation, numbered by kind through encoder and decoder."""
    kind = "deconv" if isinstance(convolution, nn.ConvTranspose2d) else "conv"
    count[kind] += 1
    name = f"{kind}{count[kind]}"
    layers[name] = convolution
    layers[f"bn_{name}"] = nn.BatchNorm2d(convolution.out_channels)
    layers[f"act_{name}"] = nn.LeakyReLU(SLOPE) if leaky else nn.ReLU()
