"""The 2019 report's simple encoder-decoder: one fully connected layer each way."""

from collections import OrderedDict

from torch import nn

from glassnet.models.autoencoder import Autoencoder, check_image_size


class AutoencoderFC(Autoencoder):
    """One fully connected layer to the code, ReLU, and one fully connected layer back; not variational.

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
            latent: Numbers of the code.
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
