"""The 2019 report's VAE: two convolutions down, a normal distribution of the code, two transposed ones up."""

from torch import nn

from glassnet.models.autoencoder import Autoencoder
from glassnet.models.stack import Layers
from glassnet.models.variational import HIDDEN, checked_code, heads, to_maps


class VAEConv(Autoencoder):
    """Convolutional VAE: conv1 conv2, mean and log_variance, deconv1 deconv2; batch-norm and ReLU between them.

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
            latent: Numbers of the code, or its channels where it is spatial.
            spatial: Whether the code is a map.
            filters: Channels of conv1 and conv2; the decoder has them the other way round.
            hidden: Units of the fully connected layers next to a vector code.
            likelihood: bernoulli, gaussian or discretized_gaussian: distribution of a pixel around its mean.

        Raises:
            InputError: An option has a value that no network of this kind has.
        """
        code = checked_code(
            in_channels=in_channels, image_size=image_size, latent=latent, spatial=spatial, filters=filters,
            hidden=hidden, usual="32,64",
        )  # fmt: skip
        decoder, encoder = to_maps(code), _down(in_channels, filters)
        _append_up(decoder, in_channels, filters)
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


def _down(in_channels: int, filters: tuple[int, ...]) -> Layers:
    encoder = Layers()
    for number, (before, after) in enumerate(((in_channels, filters[0]), filters), 1):
        encoder[f"conv{number}"] = nn.Conv2d(before, after, 4, stride=2, padding=1, bias=False)
        encoder[f"bn{number}"] = nn.BatchNorm2d(after)
        encoder[f"relu{number}"] = nn.ReLU()
    return encoder


def _append_up(decoder: Layers, channels: int, filters: tuple[int, ...]) -> None:
    decoder["deconv1"] = nn.ConvTranspose2d(filters[1], filters[0], 4, stride=2, padding=1, bias=False)
    decoder["bn3"] = nn.BatchNorm2d(filters[0])
    decoder["relu3"] = nn.ReLU()
    decoder["deconv2"] = nn.ConvTranspose2d(filters[0], channels, 4, stride=2, padding=1)
