"""Networks that give an image back: an encoder, a latent code or its distribution, a decoder; the simplest of them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import ClassVar, Literal, NamedTuple, get_args

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from glassnet.errors import InputError, unknown_name
from glassnet.models.blocks import Normalize

Images = Float[Tensor, "batch channel height width"]
Latent = Float[Tensor, "batch ..."]
Likelihood = Literal["bernoulli", "gaussian", "discretized_gaussian"]


class Posterior(NamedTuple):
    """What the encoder says of the latent code z of an image: z ~ N(mean, exp(log_variance)), or z = mean.

    `log_variance` is None where the code is a point, as in an autoencoder that is not variational.
    """

    mean: Latent
    log_variance: Latent | None


class Reconstruction(NamedTuple):
    """What a reconstructing network returns for a batch.

    Attributes:
        logits: Before the sigmoid; `images` are after it.
        mean: Of the latent code.
        log_variance: Of the latent code; None where the code is a point.
        log_deviation: Logarithm of the Gaussian likelihood's standard deviation, per channel; None for Bernoulli.
        likelihood: What a pixel is taken to be drawn from, given its reconstruction.
        decode: The model's decoder, for codes other than the one that was decoded.
    """

    logits: Images
    mean: Latent
    log_variance: Latent | None
    log_deviation: Float[Tensor, "channel 1 1"] | None
    likelihood: str
    decode: Callable[[Tensor], Tensor]

    @property
    def images(self) -> Images:
        """The reconstructed images, in [0, 1]: the mean of p(x | z), whichever the likelihood."""
        return self.logits.float().sigmoid()


class Autoencoder(nn.Module):
    """An encoder to a code and a decoder back; variational where the encoder has a `log_variance` head.

    In training the code is drawn anew for each image (mean + deviation x standard normal, Kingma and Welling 2014,
    https://arxiv.org/abs/1312.6114, section 2.4); in evaluation mode it is the mean, so that outputs are repeatable.
    """

    output: ClassVar[str] = "image"

    def __init__(
        self,
        *,
        in_channels: int,
        encoder: nn.Module,
        mean: nn.Module,
        log_variance: nn.Module | None,
        decoder: nn.Module,
        latent_shape: tuple[int, ...],
        likelihood: str,
    ) -> None:
        """Join the parts.

        Args:
            in_channels: Channels of the image.
            encoder: Normalised images to features.
            mean: Features to the code's mean.
            log_variance: Features to the logarithm of the code's variance; None for a code that is a point.
            decoder: Codes to logits of the pixels.
            latent_shape: Shape of one image's code.
            likelihood: Distribution of a pixel around its reconstruction.

        Raises:
            InputError: There is no such likelihood.
        """
        super().__init__()
        if likelihood not in get_args(Likelihood):
            raise unknown_name("likelihood", likelihood, get_args(Likelihood), noun="likelihoods")
        self.normalize = Normalize([0.0] * in_channels, [1.0] * in_channels)
        self.encoder, self.mean = encoder, mean
        self.log_variance, self.decoder = log_variance, decoder
        self.latent_shape, self.likelihood = latent_shape, likelihood
        # One deviation a channel, learned with the weights: Rybkin et al. 2021, https://arxiv.org/abs/2006.13202.
        # It is kept as a vector, which weight decay leaves alone: decay would pull the deviation to 1.
        start = torch.full((in_channels,), -2.0)
        self.log_deviation = nn.Parameter(start) if likelihood != "bernoulli" else None

    def encode(self, images: Images) -> Posterior:
        """Return the distribution of the code of images in [0, 1]."""
        features = self.encoder(self.normalize(images))
        return Posterior(self.mean(features), None if self.log_variance is None else self.log_variance(features))

    def decode(self, latent: Latent) -> Images:
        """Return the logits of the pixels for codes (batch, *latent_shape)."""
        return self.decoder(latent)

    def forward(self, images: Images) -> Reconstruction:
        """Reconstruct images in [0, 1]."""
        posterior = self.encode(images)
        latent = draw(posterior) if self.training else posterior.mean
        deviation = None if self.log_deviation is None else self.log_deviation.view(-1, 1, 1)
        return Reconstruction(self.decode(latent), *posterior, deviation, self.likelihood, self.decode)


class AutoencoderFC(Autoencoder):
    """A fully connected autoencoder: one layer to the code, ReLU, one layer back; not variational.

    The code of an image is ReLU(W x + b), the image's logits are V z + c. Takes images in [0, 1] of shape (batch,
    in_channels, image_size, image_size).

    Rumelhart, Hinton and Williams 1986, https://doi.org/10.1038/323533a0; fed with noise it is the denoising
    autoencoder of Vincent et al. 2008, https://doi.org/10.1145/1390156.1390294.
    """

    def __init__(self, *, in_channels: int, image_size: int, latent: int = 256, likelihood: str = "bernoulli") -> None:
        """Build the network with random weights.

        Args:
            in_channels: Channels of the image.
            image_size: Height and width in pixels, a multiple of 4 as for the other models.
            latent: Number of latent dimensions.
            likelihood: bernoulli, gaussian or discretized_gaussian: what the loss takes a pixel to be drawn from.

        Raises:
            InputError: An option has a value that no network of this kind has.
        """
        check_image_size(image_size, in_channels, (latent,))
        shape = (in_channels, image_size, image_size)
        pixels = in_channels * image_size**2
        super().__init__(
            in_channels=in_channels,
            encoder=nn.Flatten(),
            mean=nn.Sequential(OrderedDict(fc1=nn.Linear(pixels, latent), relu1=nn.ReLU())),
            log_variance=None,
            decoder=nn.Sequential(OrderedDict(fc2=nn.Linear(latent, pixels), unflatten=nn.Unflatten(1, shape))),
            latent_shape=(latent,),
            likelihood=likelihood,
        )


def draw(posterior: Posterior, generator: Generator | None = None) -> Latent:
    """Draw a code of each image so that its gradient reaches the encoder: z = mean + exp(log_variance / 2) eps.

    eps is standard normal, Kingma and Welling 2014, https://arxiv.org/abs/1312.6114, section 2.4. A code that is a
    point is returned as it is.

    Args:
        posterior: What the encoder said.
        generator: Source of eps, on the CPU; torch's global one if not given.
    """
    if posterior.log_variance is None:
        return posterior.mean
    mean, log_variance = posterior.mean.float(), posterior.log_variance.float()
    where = mean.device if generator is None else torch.device("cpu")
    eps = torch.randn(mean.shape, generator=generator, device=where).to(mean.device)
    return mean + (log_variance / 2).exp() * eps


def check_image_size(image_size: int, channels: int, latent_shape: tuple[int, ...]) -> None:
    """Refuse an image below 8 pixels or whose sides two halvings do not divide, and a code larger than the image.

    Raises:
        InputError: The image or the code has such a size.
    """
    if image_size % 4 == 0 and image_size < 8:
        raise InputError(
            f"image_size is {image_size}, expected at least 8, because SSIM uses 7 x 7 windows; give --image-size 8."
        )
    if image_size % 4:
        down = image_size - image_size % 4
        near = f"{down} or {down + 4}" if down >= 8 else "8"
        raise InputError(
            f"image_size is {image_size}, expected a multiple of 4, because it is halved twice; give --image-size "
            f"{near}."
        )
    numbers, pixels = torch.Size(latent_shape).numel(), channels * image_size**2
    if not 0 < numbers <= pixels:
        shape = " x ".join(map(str, latent_shape))
        raise InputError(
            f"the latent code has {numbers:,} dimensions ({shape}) for images of {pixels:,} values, expected 1 to "
            f"{pixels:,}; lower the option latent."
        )


def check_training(model: nn.Module, *, beta: float, kl_warmup: float, binarize: bool) -> None:
    """Refuse settings of a training that have no effect on a model, or no meaning for it.

    Raises:
        InputError: A weight of the KL term is set where there is none, or a Gaussian is asked for pixels of 0 and 1.
    """
    given = "--beta" if beta != 1 else "--kl-warmup" if kl_warmup else None
    if given and getattr(model, "log_variance", None) is None:
        raise InputError(
            f"{given} weights a KL term, but {type(model).__name__} has none; leave it out, or train a VAE."
        )
    if binarize and isinstance(model, Autoencoder) and model.likelihood != "bernoulli":
        raise InputError(
            f"--binarize makes all pixels 0 or 1, which needs likelihood=bernoulli, but likelihood is "
            f"{model.likelihood}; leave one of them out."
        )
