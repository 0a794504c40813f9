"""The model-randomisation check: a map that explains the model must change when the model's weights are lost."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from glassnet.attribution.engine.outputs import Output, model_call
from glassnet.attribution.engine.targets import Target, check_target
from glassnet.attribution.explain import explain
from glassnet.attribution.explanation import Explanation
from glassnet.attribution.faithfulness.comparison import rank_correlation, refuse_several, structural_similarity
from glassnet.attribution.faithfulness.following import fixed_target
from glassnet.attribution.faithfulness.randomising import copy_model, randomise, weights_in_order
from glassnet.console import no_repeats
from glassnet.display import Shown, fraction
from glassnet.errors import InputError
from glassnet.images import Images, check_images
from glassnet.models.inference import ModelCall
from glassnet.models.layers import LayerChoice, choice_in_copy
from glassnet.stats import MeanCI, mean_ci
from glassnet.tables import Table, make_table

Mapper = Callable[[nn.Module], Float[np.ndarray, "n ..."]]
"""A method of one's own: from the model to maps of the images, (n, h, w) or (n, c, h, w)."""

LINE = 0.5
"""A method that still ranks the pixels so much alike when weights are random explains the image, not the model."""


@dataclass(frozen=True, eq=False, repr=False)
class SanityCheck(Shown):
    """How similar maps stay to those of the trained model while its layers are randomised from the output down.

    Attributes:
        layers: The layer randomised at each step; the first entry is "trained", where nothing is random yet.
        rank_correlation: By method, Spearman's correlation with the trained model's map, one row per step.
        similarity: By method, the structural similarity with it, one row per step.
        seed: Seed of the random weights and of the bootstrap.
    """

    layers: tuple[str, ...]
    rank_correlation: Mapping[str, Float[np.ndarray, "steps n"]]
    similarity: Mapping[str, Float[np.ndarray, "steps n"]]
    seed: int

    def steps(self, method: str) -> list[MeanCI]:
        """Return the rank correlation of each step with its interval over images."""
        return [mean_ci(row, seed=self.seed) for row in self.rank_correlation[method]]

    def passes(self, method: str) -> bool | None:
        """Tell whether a method notices that weights are random, half-way and at the end; None if undecided.

        Half-way means that half of the layers with weights are random, from the output down. A method that only redraws
        what the first layers pass on differs only at the end. A method passes if the intervals of both steps lie below
        `LINE`, and fails if the interval of either step lies above it; otherwise the result is undecided. If several
        images all have the same value, that value decides; a single image decides nothing.
        """
        steps = self.steps(method)
        asked = [_bounds(steps[step]) for step in (len(steps) // 2, -1)]
        if any(low >= LINE for low, _ in asked):
            return False
        return True if all(high < LINE for _, high in asked) else None

    def _table(self) -> Table:
        says = {True: "notices", False: "does not notice", None: "undecided"}
        rows = []
        for method in self.rank_correlation:
            steps = self.steps(method)
            middle, end = steps[len(steps) // 2], steps[-1]
            rows.append((method, fraction(middle.mean), fraction(end.mean), says[self.passes(method)]))
        caption = "Rank correlation with the trained model's maps while weights are randomised"
        return make_table(caption, ("method", "half-way", "end", "the randomisation of the weights"), rows)


def _bounds(step: MeanCI) -> tuple[float, float]:
    """Return how low and how high the mean may be: anywhere where there are too few images to say."""
    if step.low is not None and step.high is not None:
        return step.low, step.high
    return (step.mean, step.mean) if step.mean is not None and step.count > 1 else (-np.inf, np.inf)


def sanity_check(
    model: nn.Module,
    images: Images,
    *,
    methods: str | Sequence[str] = ("gradcam", "guided_backpropagation"),
    layers: LayerChoice = "last-conv",
    target: Target = "predicted",
    own: Mapping[str, Mapper] | None = None,
    seed: int = 0,
    batch_size: int = 16,
    output: Output = None,
    forward: ModelCall | None = None,
) -> SanityCheck:
    """Randomise a copy of the model layer by layer, from the output to the input, and compare the maps.

    Each layer's weights are redrawn from a normal distribution with the mean and standard deviation that they had, so
    that signals keep their size; running statistics stay. In the end all weights are random, including those of modules
    that are never called, such as an attention's output projection, and of the model itself, such as a class token. The
    explained classes stay those of the trained model, even if a callable takes the highest class. Maps are compared by
    magnitude, at the images' size.

    Adebayo et al. 2018, https://arxiv.org/abs/1810.03292, section 3.1 (cascading randomisation).

    Args:
        model: Any module; it is not changed.
        images: As in `explain`.
        methods: Methods of `explain`; may be empty if `own` is given.
        layers: One layer for the methods to explain, as in `explain`; the last one if several match.
        target: As in `explain`, but one class per image.
        own: Your own methods by name: functions from a model to maps of the images, (n, h, w) or (n, c, h, w).
        seed: Seed of the random weights.
        batch_size: Images per pass.
        output: As in `explain`.
        forward: As in `explain`; it is called with the copy.

    Raises:
        InputError: As for `explain`; or the model has no weights or cannot be copied, there is no method, or there are
            several classes per image.
    """
    check_images(images, batch_size)
    wanted = check_target(target, len(images))
    refuse_several(wanted if isinstance(wanted, Tensor) else None)
    names = [methods] if isinstance(methods, str) else list(methods)
    if not names and not own:
        raise InputError("methods is empty and no maps of your own are given, expected at least one of them.")
    lost = copy_model(model)
    weights = weights_in_order(lost, images, model_call(forward))
    order = list(weights)[::-1]
    with no_repeats():  # each step explains anew
        fixed = fixed_target(lost, images, target, output=output, forward=forward, batch_size=batch_size)
        explained = partial(
            explain,
            lost,
            images,
            target=fixed,
            layers=choice_in_copy(model, layers, lost),
            batch_size=batch_size,
            output=output,
            forward=forward,
        )
        steps = list(_cascade([weights[name] for name in order], _maps_of(lost, names, own or {}, explained), seed))
    return SanityCheck(
        layers=("trained", *order),
        rank_correlation=_compared(steps, rank_correlation),
        similarity=_compared(steps, structural_similarity),
        seed=seed,
    )


def _maps_of(
    model: nn.Module, methods: Sequence[str], own: Mapping[str, Mapper], explained: Callable[..., Explanation]
) -> Callable[[], dict[str, np.ndarray]]:
    """Return what makes the maps of a model as it then is, by method."""
    applying = list(methods)

    def maps() -> dict[str, np.ndarray]:
        made = {name: mapper(model) for name, mapper in own.items()}
        if applying:
            explanation = explained(methods=applying)
            applying[:] = explanation.methods  # what does not apply to the model is left out, and said, once
            # Of several layers the last stays.
            made |= {method: array for (method, _), array in explanation.maps.items()}
        return made

    return maps


def _cascade(
    order: Sequence[Sequence[Tensor]], maps: Callable[[], dict[str, np.ndarray]], seed: int
) -> Iterator[dict[str, np.ndarray]]:
    """Yield the maps of the model as it is, and after each layer's weights have been drawn anew, one after another."""
    yield maps()
    generator = torch.Generator().manual_seed(seed)
    for weights in order:
        randomise(weights, generator)
        yield maps()


def _compared(
    steps: Sequence[Mapping[str, np.ndarray]], measure: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> dict[str, np.ndarray]:
    """Return by method how much the maps of each step (row) are like the first, image by image (column)."""
    return {method: np.stack([measure(first, step[method]) for step in steps]) for method, first in steps[0].items()}
