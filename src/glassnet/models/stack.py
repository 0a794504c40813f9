"""The parts that plain stacks of layers are made of, named as in conv1, pool1, bn1, relu1 and fc1."""

from collections import OrderedDict

from torch import nn

from glassnet.errors import InputError
from glassnet.models.normalize import Normalize

Layers = OrderedDict[str, nn.Module]


def begin(in_channels: int) -> Layers:
    """Start with the normalisation, which changes nothing until it is told the data set's mean and deviation."""
    return OrderedDict(normalize=Normalize([0.0] * in_channels, [1.0] * in_channels))


def add_convolution(
    layers: Layers, number: int, channels: int, width: int, *, kernel: int = 3, pool: nn.Module | None = None
) -> None:
    """Append a convolution that keeps the size, a pool if there is one, batch-norm and ReLU.

    Args:
        layers: What to append to.
        number: Number in the layers' names.
        channels: Channels of the convolution's input.
        width: Channels of its output.
        kernel: Odd height and width of the kernel, in pixels.
        pool: The pool; before batch-norm and ReLU it leaves them a quarter of the work.
    """
    # No bias: the batch-norm that follows has its own.
    layers[f"conv{number}"] = nn.Conv2d(channels, width, kernel, padding=kernel // 2, bias=False)
    if pool is not None:
        layers[f"pool{sum(name.startswith('pool') for name in layers) + 1}"] = pool
    layers[f"bn{number}"] = nn.BatchNorm2d(width)
    layers[f"relu{number}"] = nn.ReLU()


def add_classifier(
    layers: Layers, number: int, units: int, hidden: tuple[int, ...], classes: int, dropout: float
) -> None:
    """Append hidden layers fc1, fc2, ... each with batch-norm, ReLU and dropout, and a last one that gives the logits.

    Args:
        layers: What to append to; its output has `units` numbers an image.
        number: Number in the name of the first batch-norm and ReLU.
        units: Inputs of fc1.
        hidden: Units of each hidden layer.
        classes: Length of the logits.
        dropout: Share of each hidden layer's units that training silences.
    """
    layers["flatten"] = nn.Flatten()
    for index, width in enumerate(hidden):
        layers[f"fc{index + 1}"] = nn.Linear(units, width, bias=False)
        layers[f"bn{number + index}"] = nn.BatchNorm1d(width)
        layers[f"relu{number + index}"] = nn.ReLU()
        if dropout:
            layers[f"dropout{index + 1}"] = nn.Dropout(dropout)
        units = width
    layers[f"fc{len(hidden) + 1}"] = nn.Linear(units, classes)


def check_widths(what: str, widths: tuple[int, ...], count: int, example: str) -> None:
    """Refuse anything but `count` positive widths.

    Raises:
        InputError: There are more or fewer, or one is below 1.
    """
    if len(widths) != count or min(widths) < 1:
        raise InputError(f"{what} is {widths}, expected {count} positive numbers, as in {what}={example}.")


def check_size(image_size: int, smallest: int, why: str) -> None:
    """Refuse images that the network's pools would reduce to nothing.

    Raises:
        InputError: The image is smaller than `smallest` pixels.
    """
    if image_size < smallest:
        raise InputError(f"image_size is {image_size}, expected at least {smallest} pixels, which {why}.")


def check_dropout(dropout: float) -> None:
    """Refuse a share of silenced units that is none.

    Raises:
        InputError: It is below 0, or 1 or more.
    """
    if not 0 <= dropout < 1:
        raise InputError(f"dropout is {dropout}, expected a share of at least 0 and below 1.")
