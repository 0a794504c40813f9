"""Networks by name. A new one is one file and one line in MODELS; the contract tests pick it up."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from glassnet.errors import GlassnetError, InputError, is_too_large, unknown_name
from glassnet.models.autoencoder import AutoencoderFC
from glassnet.models.convnets import AlexNetSmall, AllConv, ConvNet, VGGSmall
from glassnet.models.denoiser import UNetDenoiser
from glassnet.models.efficientnet import EfficientNetLite0
from glassnet.models.fcn_lite import FCNLite0
from glassnet.models.probe import Probe
from glassnet.models.references import check_same_source, is_reference, rebuild
from glassnet.models.resnet import ResNetSmall
from glassnet.models.segmentation import FCN8Small, FCN8sVGG16, UNetSmall
from glassnet.models.vae import VAEConv, VAEDeep
from glassnet.models.vgg import VGG16, VGG19, VGG16BatchNorm, VGG19BatchNorm
from glassnet.settings.convert import from_text, to_text, type_of

__all__ = ["MODELS", "build_model", "create_model", "model_options", "model_output", "models_giving", "parse_options"]

MODELS: dict[str, type[nn.Module]] = {
    "alexnet_small": AlexNetSmall,
    "allconv": AllConv,
    "autoencoder_fc": AutoencoderFC,
    "convnet": ConvNet,
    "efficientnet_lite0": EfficientNetLite0,
    "fcn8_small": FCN8Small,
    "fcn8s_vgg16": FCN8sVGG16,
    "fcn_lite0": FCNLite0,
    "probe": Probe,
    "resnet_small": ResNetSmall,
    "unet_denoiser": UNetDenoiser,
    "unet_small": UNetSmall,
    "vae_conv": VAEConv,
    "vae_deep": VAEDeep,
    "vgg16": VGG16,
    "vgg16_bn": VGG16BatchNorm,
    "vgg19": VGG19,
    "vgg19_bn": VGG19BatchNorm,
    "vgg_small": VGGSmall,
}

# What models take from their data set; all other keyword arguments are the model's own options.
_FROM_DATA = ("in_channels", "num_classes", "image_size")


def model_options(name: str) -> dict[str, Any]:
    """Return a model's options by name, with their defaults; a network by reference has none.

    Raises:
        InputError: There is no such model.
    """
    if is_reference(name):
        return {}
    _require_name(name)
    parameters = inspect.signature(MODELS[name]).parameters
    return {key: parameter.default for key, parameter in parameters.items() if key not in _FROM_DATA}


def model_output(name: str) -> str:
    """Return what a model gives: "scores", one for each class; "score maps", these for each pixel; or an "image".

    Raises:
        InputError: There is no such model.
    """
    _require_name(name)
    return getattr(MODELS[name], "output", "scores")


def _require_name(name: str) -> None:
    if name.endswith(".py"):
        raise InputError(
            f"{name} is a Python file; name the function in it that makes the network, as in {name}:factory."
        )
    if name not in MODELS:
        raise unknown_name("model", name, MODELS, noun="models")


def models_giving(output: str) -> list[str]:
    """List the models whose output is of a kind."""
    return [name for name in MODELS if model_output(name) == output]


def create_model(
    name: str, *, in_channels: int, image_size: int, num_classes: int | None = None, **options: Any
) -> nn.Module:
    """Build a network with random weights (of torch's global generator).

    Args:
        name: A key of MODELS.
        in_channels: Channels of the input image.
        image_size: Height and width of the input image in pixels.
        num_classes: Length of the output, or of each pixel's; models that have no classes at their output ignore it.
        options: The model's own options; `model_options` lists them.

    Raises:
        InputError: There is no such model or option, or a size is impossible.
    """
    known = model_options(name)
    for option in options:
        if option not in known:
            raise unknown_name("option", option, known, where=f" in {name}", noun="options")
    takes = inspect.signature(MODELS[name]).parameters
    sizes = {"in_channels": in_channels, "num_classes": num_classes, "image_size": image_size}
    sizes = {what: value for what, value in sizes.items() if what in takes}
    for what, value in sizes.items():
        if not isinstance(value, int) or value < 1:
            raise InputError(f"{what} is {value!r}, expected a whole number of at least 1.")
    try:
        return MODELS[name](**sizes, **options)
    except GlassnetError:
        raise
    except (RuntimeError, MemoryError, OverflowError, ValueError) as error:  # as torch says it of each layer
        with_options = "".join(f", {key}={value}" for key, value in options.items())
        why = "not enough memory" if is_too_large(error) else str(error).partition("\n")[0][:200]
        at = f"at {image_size} pixels{with_options}"[:300]
        raise InputError(f"{name} cannot be built {at} ({why}); give other sizes.") from None


def build_model(description: Mapping[str, Any]) -> nn.Module:
    """Build the model that a description in run.json names; of a reference, from its source, which must be the same."""
    try:
        if description.get("reference"):
            return rebuild(description)
        options = {k: tuple(v) if isinstance(v, list) else v for k, v in description["options"].items()}
        model = create_model(
            description["name"],
            in_channels=description["in_channels"],
            num_classes=description["num_classes"],
            image_size=description["image_size"],
            **options,
        )
        check_same_source(getattr(model, "reference", None), description.get("probed"))
        return model
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"the model's description is damaged ({error!r}); train the run again.") from None


def parse_options(name: str, words: Sequence[str]) -> dict[str, Any]:
    """Read a model's options from NAME=VALUE words, each with the type of the option's default.

    Raises:
        InputError: A word is not NAME=VALUE, the option is unknown, or its value has the wrong type.
    """
    known, options = model_options(name), {}
    if words and is_reference(name):
        raise InputError(
            f"--model-options are for models given by name, but {name} is given by reference; leave them out."
        )
    for word in words:
        option, equals, text = word.partition("=")
        if not equals:
            raise InputError(f"the model option '{word}' has no value; expected NAME=VALUE, as in filters=32,32,64,64.")
        if option not in known:
            raise unknown_name("option", option, known, where=f" in {name}", noun="options")
        default = known[option]
        options[option] = from_text(
            text, type_of(default), f"the model option {option}", expected=f"a value like {to_text(default)}"
        )
    return options
