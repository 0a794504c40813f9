"""The middle of a variational autoencoder: from maps to the two vectors of the code's distribution, and back."""

from torch import nn

from glassnet.errors import InputError
from glassnet.models.stack import Layers, check_widths

HIDDEN = 256
"""Units of the fully connected layers next to a vector code, if not given."""


def latent_shape(latent: int, spatial: bool, image_size: int) -> tuple[int, ...]:
    """Return the shape of an image's code: (latent,), or (latent, size / 4, size / 4) where it is a map."""
    return (latent, image_size // 4, image_size // 4) if spatial else (latent,)


def check_hidden(hidden: int, spatial: bool) -> None:
    """Refuse a hidden layer without units, and units where a code that is a map has no such layer.

    Raises:
        InputError: The option has such a value.
    """
    check_widths("hidden", (hidden,), 1, str(HIDDEN))
    if spatial and hidden != HIDDEN:
        raise InputError(
            f"hidden is {hidden}, but a code that is a map has no hidden layer; leave it out, or give spatial=false."
        )


def heads(
    encoder: Layers, channels: int, latent: int, hidden: int, side: int, *, spatial: bool
) -> tuple[nn.Module, nn.Module]:
    """Return the layers that give the code's mean and log-variance; a vector code gets a hidden layer before them.

    Args:
        encoder: Layers up to the maps; the hidden layer is appended here.
        channels: Channels of the maps.
        latent: Numbers of the code, or its channels.
        hidden: Units of the hidden layer.
        side: Height and width of the maps in pixels.
        spatial: Whether the code is a map.
    """
    if spatial:
        return nn.Conv2d(channels, latent, 1), nn.Conv2d(channels, latent, 1)
    encoder["flatten"] = nn.Flatten()
    encoder["fc1"] = nn.Linear(channels * side**2, hidden, bias=False)
    encoder["bn_fc1"] = nn.BatchNorm1d(hidden)
    encoder["act_fc1"] = nn.ReLU()
    return nn.Linear(hidden, latent), nn.Linear(hidden, latent)


def to_maps(channels: int, latent: int, hidden: int, side: int, *, spatial: bool) -> Layers:
    """Begin a decoder: from a code to maps of `channels` channels, with batch-norm and ReLU.

    Args:
        channels: Channels of the maps.
        latent: Numbers of the code, or its channels.
        hidden: Units of the hidden layer of a vector code.
        side: Height and width of the maps in pixels.
        spatial: Whether the code is a map.
    """
    decoder = Layers()
    if spatial:
        decoder["expand"] = nn.Conv2d(latent, channels, 3, padding=1, bias=False)
    else:
        decoder["fc2"] = nn.Linear(latent, hidden, bias=False)
        decoder["bn_fc2"] = nn.BatchNorm1d(hidden)
        decoder["act_fc2"] = nn.ReLU()
        decoder["fc3"] = nn.Linear(hidden, channels * side**2, bias=False)
        decoder["unflatten"] = nn.Unflatten(1, (channels, side, side))
    decoder["bn_expand"] = nn.BatchNorm2d(channels)
    decoder["act_expand"] = nn.ReLU()
    return decoder
