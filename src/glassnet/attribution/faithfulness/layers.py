"""Which layer to look at: the maps of all layers measured on the same images."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Literal

import numpy as np
from jaxtyping import Bool
from torch import Tensor, nn

from glassnet.attribution.engine.maps import Reshapes
from glassnet.attribution.engine.outputs import Output
from glassnet.attribution.engine.targets import Target
from glassnet.attribution.explain import explain
from glassnet.attribution.faithfulness.comparison import check_mask, pointing_game
from glassnet.attribution.faithfulness.following import Followed, Unit, following
from glassnet.attribution.faithfulness.hiding import followed_curves
from glassnet.attribution.faithfulness.ranking import Key, LayerRanking, Values, areas_of, ranked
from glassnet.attribution.methods import choose_methods, is_of_a_layer
from glassnet.console import no_repeats
from glassnet.errors import InputError
from glassnet.images import Images, check_images
from glassnet.models.inference import ModelCall
from glassnet.models.layers import LayerChoice
from glassnet.subject import Subject

USUAL_IMAGES = 100
"""Of a subject, where none are given."""
MAP_BYTES = 2**29
"""Maps of so many layers at once as fill this."""


def rank_layers(
    model: nn.Module | Subject,
    images: Images | None = None,
    *,
    target: Target = "predicted",
    layers: LayerChoice = "conv",
    methods: str | Sequence[str] = "gradcam",
    mask: np.ndarray | Tensor | None = None,
    steps: int = 28,
    batch_size: int = 128,
    seed: int = 0,
    reshape: Reshapes | None = None,
    output: Output = None,
    forward: ModelCall | None = None,
) -> LayerRanking:
    """Measure the maps of all layers on the same images, and say which layer to look at.

    Layers are ranked by insertion area minus deletion area (Petsiuk et al. 2018): high if a map's highest pixels alone
    are enough for the class, and the class is lost without them. The first is compared with all others image by image,
    by a bootstrap of its mean margin. The cost is 2 (steps + 1) forward passes per image, method and layer.

    Args:
        model: Any module; or a `Subject`, whose first 100 test images are used by default.
        images: As `explain` takes them. The ranking holds for such images, so use those you want to explain.
        target: As `explain` takes it: one class per image, or a callable.
        layers: As `explain` takes them.
        methods: Layer methods; all of them are ranked together.
        mask: bool (n, height, width), where attribution should lie; adds the pointing game, which does not affect the
            ranking.
        steps: Points of the deletion and insertion curves, minus one.
        batch_size: Images per forward pass.
        seed: Seed for the order of equal pixels, and for the bootstrap.
        reshape: As `explain` takes it.
        output: As `faithfulness` takes it.
        forward: As `explain` takes it.

    Raises:
        InputError: A method explains the input, not layers; or for the reasons given by `explain` and `faithfulness`.
    """
    network, pixels = _of_subject(model, images) if isinstance(model, Subject) else (model, images)
    if pixels is None:
        raise InputError("images is missing, expected the images to rank the layers on.")
    values, random, unit = measure_layers(
        network,
        pixels,
        target=target,
        layers=layers,
        methods=methods,
        mask=mask,
        steps=steps,
        batch_size=batch_size,
        seed=seed,
        reshape=reshape,
        output=output,
        forward=forward,
    )
    return ranked(values, random, seed=seed, unit=unit)


def _of_subject(subject: Subject, images: Images | None) -> tuple[nn.Module, Images]:
    return subject.model(), subject.part("test").images[:USUAL_IMAGES] if images is None else images


@no_repeats()  # each portion of layers explains anew
def measure_layers(
    model: nn.Module,
    images: Images,
    *,
    target: Target,
    layers: LayerChoice,
    methods: str | Sequence[str],
    mask: np.ndarray | Tensor | None = None,
    steps: int = 28,
    batch_size: int = 128,
    seed: int = 0,
    precision: Literal["auto", "fp32", "bf16"] = "fp32",
    reshape: Reshapes | None = None,
    output: Output = None,
    forward: ModelCall | None = None,
) -> tuple[dict[Key, Values], Values, Unit]:
    """Measure every layer's maps image by image; those of a few layers are held at once.

    Returns:
        By method and layer the values of the images; those of pixels in random order; what the areas are of.

    Raises:
        InputError: As `rank_layers` says.
    """
    check_images(images, batch_size)
    check_of_layers(methods)
    marked = None if mask is None else check_mask(mask, (len(images), *images.shape[-2:]))
    explain_some = partial(
        explain, model, methods=methods, reshape=reshape, precision=precision, output=output, forward=forward
    )
    # One image tells which layers can be explained; a callable may know how many it scores, and gets all of them.
    few = (
        explain_some(images, target=target, layers=layers)
        if callable(target)
        else explain_some(images[:1], layers=layers)
    )
    values: dict[Key, Values] = {}
    random: Values = {}
    unit: Unit = "probability"
    for names in _portions(few.layers, images):
        maps = explain_some(images, target=target, layers=names)
        followed_target = maps.targets if maps.targets is not None else maps.asked.get("target")
        with following(
            model, images, followed_target, output=output, forward=forward, batch_size=batch_size
        ) as followed:
            areas = partial(_areas, followed, images, steps=steps, seed=seed)
            unit, random = followed.unit, random or areas(np.zeros((len(images), *images.shape[-2:])))
            values |= {key: areas(one) | _pointing(one, marked) for key, one in maps.maps.items()}
    return values, random, unit


def check_of_layers(methods: str | Sequence[str]) -> None:
    """Refuse methods that explain the input, whatever the layer.

    Raises:
        InputError: One does.
    """
    for method in choose_methods(methods)[0]:
        if not is_of_a_layer(method):
            raise InputError(
                f"{method} explains the input, not layers, so there is nothing to rank; use layer methods such as "
                "gradcam."
            )


def _portions(layers: Sequence[str], images: Images) -> Iterator[list[str]]:
    """Share the layers out, so that their maps fit in memory."""
    at_once = max(1, MAP_BYTES // (len(images) * images.shape[-2] * images.shape[-1] * 4))
    for start in range(0, len(layers), at_once):
        yield list(layers[start : start + at_once])


def _areas(followed: Followed, images: Images, maps: np.ndarray, *, steps: int, seed: int) -> Values:
    curves = followed_curves(followed, images, maps, steps=steps, seed=seed)
    return areas_of(curves)


def _pointing(maps: np.ndarray, mask: Bool[np.ndarray, "n height width"] | None) -> Values:
    return {} if mask is None else {"pointing_game": pointing_game(maps, mask)}
