"""Layers ranked by how faithful their maps are, the first compared with the next: which layer to look at."""

import html
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from glassnet.attribution.faithfulness.following import Unit
from glassnet.attribution.faithfulness.hiding import Curves
from glassnet.display import Shown
from glassnet.errors import InputError
from glassnet.formats import DASH
from glassnet.measures import MEASURES, with_interval
from glassnet.method_titles import METHOD_TITLES
from glassnet.stats import MeanCI, mean_ci, share_ci
from glassnet.tables import Table, make_table

Key = tuple[str, str]
"""Method and layer."""
GAIN = "faithfulness_gain"
"""What layers are ranked by: insertion area less deletion area, image by image."""
LEAST_SHARE = 0.001
"""A margin below a tenth of a per cent of probability is none, however many images agree on it."""
Values = dict[str, Float[np.ndarray, " n"]]


@dataclass(frozen=True, repr=False)
class RankedLayer(Shown):
    """How faithful one method's maps of one layer are.

    Attributes:
        method: The method.
        layer: The layer.
        numbers: "faithfulness_gain" (insertion less deletion), "insertion", "deletion" and, with a mask,
            "pointing_game", each with its interval over images.
    """

    method: str
    layer: str
    numbers: Mapping[str, MeanCI]


@dataclass(frozen=True)
class LayerRanking:
    """Layers ranked by how faithful their maps are, the best first.

    The best layer is chosen on the same images as its margin is measured on, which makes the margin look larger than it
    is if many layers are alike.

    Attributes:
        layers: Each method at each layer, in decreasing order of insertion minus deletion.
        images: Number of images.
        random: The same numbers for pixels in random order, which a map must beat.
        over_random: By how much the best beats random order, paired over images.
        margin: By how much the best beats the next layer, paired over images; None if there is no other layer.
        runner_up: Method and layer that come next, at another layer.
        alike: Layers that the best does not clearly beat: its paired margin is within chance, or below 0.1%.
        unit: What the areas measure: "probability", or the "score" of a callable target.
    """

    layers: tuple[RankedLayer, ...]
    images: int
    random: Mapping[str, MeanCI]
    over_random: MeanCI
    margin: MeanCI | None
    runner_up: tuple[str, str] | None
    alike: tuple[str, ...]
    unit: Unit = "probability"

    @property
    def best(self) -> RankedLayer:
        """The best method and layer."""
        return self.layers[0]

    @property
    def beats_random(self) -> bool:
        """Whether the best beats pixels in random order by more than chance."""
        return _is_above(self.over_random, self.unit)

    @property
    def clear(self) -> bool:
        """Whether the best beats random order and the next layer, each by more than chance."""
        return self.beats_random and self.margin is not None and _is_above(self.margin, self.unit)

    def recommendation(self) -> str:
        """Return a sentence that says which layer to look at, with its margin and the number of images."""
        best, where = self.best, f"on {self.images:,} image{'s' if self.images != 1 else ''}"
        title = METHOD_TITLES.get(best.method, best.method)
        gain = self._with_interval(best.numbers[GAIN])
        if not self.beats_random:
            return (
                f"No layer's maps are clearly more faithful than pixels in random order {where}: the best, {title} at "
                f"{best.layer}, scores {self._with_interval(self.over_random)} more; use more images or another "
                "method."
            )
        if self.margin is None or self.runner_up is None:
            return f"{best.layer} is the only layer measured: insertion minus deletion of {title} is {gain} {where}."
        margin = self._with_interval(self.margin)
        if self.clear:
            return (
                f"Look at {best.layer}: of all layers measured, its {title} maps are the most faithful {where}. "
                f"Insertion minus deletion is {gain}, {margin} more than {_at(self.runner_up, best)}."
            )
        others = [layer for layer in self.alike if layer != self.runner_up[1]]
        further = f"; nor is it clearly better than {_listed(others)}" if others else ""
        return (
            f"No layer is clearly best {where}: insertion minus deletion is {gain} for {title} at {best.layer}, only "
            f"{margin} more than {_at(self.runner_up, best)}{further}."
        )

    def table(self) -> Table:
        """Return the ranking as a table."""
        keys = [GAIN, "insertion", "deletion", "pointing_game"]
        keys = [key for key in keys if any(key in one.numbers for one in self.layers)]
        rows = [
            (METHOD_TITLES.get(one.method, one.method), one.layer, *self._cells(one.numbers, keys))
            for one in self.layers
        ]
        rows.append(("pixels in random order", "", *self._cells(self.random, keys)))
        heads = [f"{MEASURES[key].title} ({MEASURES[key].better} is better)" for key in keys]
        caption = f"Layers ranked by how faithful their maps are: mean and 95% interval over {self.images:,} images"
        return make_table(caption, ("Method", "Layer", *heads), rows, words=(0, 1), names=2)

    def _cells(self, numbers: Mapping[str, MeanCI], keys: Sequence[str]) -> Iterator[str]:
        for key in keys:
            one = numbers.get(key)
            yield DASH if one is None or one.mean is None else self._with_interval(one, key)

    def _with_interval(self, value: MeanCI, key: str = GAIN) -> str:
        bounds = None if value.low is None or value.high is None else (value.low, value.high)
        if self.unit == "probability" or key == "pointing_game":
            return with_interval(key, value.mean, bounds)
        return f"{value.mean:.3g}" + (f" ({bounds[0]:.3g} to {bounds[1]:.3g})" if bounds else "")

    def __repr__(self) -> str:
        """Say in one line which layer to look at."""
        best = self.best
        verdict = "clearly best" if self.clear else "not clearly best"
        return f"LayerRanking({len(self.layers)} on {self.images:,} images: {best.method} at {best.layer}, {verdict})"

    def _repr_html_(self) -> str:
        """Show the recommendation and the table in a notebook."""
        return f"<p>{html.escape(self.recommendation())}</p><pre>{html.escape(self.table().text(160))}</pre>"


def areas_of(curves: Curves) -> Values:
    """Return what layers are ranked by, of each image."""
    deletion, insertion = curves.deletion_area, curves.insertion_area
    return {GAIN: insertion - deletion, "insertion": insertion, "deletion": deletion}


def ranked(
    values: Mapping[Key, Mapping[str, np.ndarray]],
    random: Mapping[str, np.ndarray],
    *,
    seed: int = 0,
    unit: Unit = "probability",
) -> LayerRanking:
    """Rank layers by what was measured of their maps, image by image.

    Args:
        values: By method and layer, what `measure_layers` returns.
        random: The same of pixels in random order.
        seed: Of the bootstrap.
        unit: What the areas are of.

    Raises:
        InputError: There is no layer.
    """
    if not values:
        raise InputError("got no maps to rank, expected those of at least one layer.")
    order = sorted(values, key=lambda key: -float(values[key][GAIN].mean()))  # equal ones in the model's order
    best = values[order[0]][GAIN]
    others = list({layer: (method, layer) for method, layer in reversed(order) if layer != order[0][1]}.values())[::-1]
    margins = {key: mean_ci(best - values[key][GAIN], seed=seed) for key in others}
    return LayerRanking(
        layers=tuple(RankedLayer(*key, _means(values[key], seed)) for key in order),
        images=len(best),
        random=_means(random, seed),
        over_random=mean_ci(best - random[GAIN], seed=seed),
        margin=margins[others[0]] if others else None,
        runner_up=others[0] if others else None,
        alike=tuple(layer for (method, layer) in others if not _is_above(margins[method, layer], unit)),
        unit=unit,
    )


def _means(values: Mapping[str, np.ndarray], seed: int) -> dict[str, MeanCI]:
    return {
        name: share_ci(each) if name == "pointing_game" else mean_ci(each, seed=seed) for name, each in values.items()
    }


def _is_above(margin: MeanCI, unit: Unit) -> bool:
    least = LEAST_SHARE if unit == "probability" else 0
    return margin.mean is not None and margin.mean >= least and margin.low is not None and margin.low > 0


def _at(key: Key, best: RankedLayer) -> str:
    method, layer = key
    return layer if method == best.method else f"{METHOD_TITLES.get(method, method)} at {layer}"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"
