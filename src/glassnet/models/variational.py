"""The middle of a variational autoencoder: from maps to the two vectors of the code's distribution, and back."""

from dataclasses import dataclass

from torch import nn

from glassnet.errors import InputError
from glassnet.models.autoencoder import check_image_size
from glassnet.models.stack import Layers, check_widths

HIDDEN = 256
"""Units of the fully connected layers next to a vector code, if not given."""


@dataclass(frozen=True)
class Code:
    """What the code of an image is, and the maps next to it.

    Attributes:
        latent: Numbers of the code, or its channels where it is a map.
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


def checked_code(
    *, in_channels: int, image_size: int, latent: int, spatial: bool, filters: tuple[int, ...], hidden: int, usual: str
) -> Code:
    """Return the code that a VAE's options ask for.

    Args:
        in_channels: Channels of the image.
        image_size: Its height and width in pixels.
        latent: Numbers of the code, or its channels.
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
            f"hidden is {hidden}, but a code that is a map has no hidden layer; leave it out, or give spatial=false."
        )
    code = Code(latent, spatial, hidden, filters[1], image_size // 4)
    check_image_size(image_size, in_channels, code.shape)
    return code


def heads(encoder: Layers, code: Code) -> tuple[nn.Module, nn.Module]:
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


def to_maps(code: Code) -> Layers:
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
