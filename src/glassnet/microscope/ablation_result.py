"""What a network loses with each channel of a layer: figures, intervals, the order of the channels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from jaxtyping import Float64, Int64

from glassnet.display import Shown
from glassnet.errors import InputError
from glassnet.measures import MEASURES, show
from glassnet.microscope.outcomes import HIGHER_IS_WORSE, Kind
from glassnet.stats import Interval
from glassnet.tables import Table, make_table

Value = Literal["zero", "mean"]
NORMAL = 1.959964
"""Quantile 0.975 of the normal distribution."""
SHOWN_CHANNELS = 12


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Ablation(Shown):
    """What a network loses when each channel of a layer is removed.

    Attributes:
        layer: The layer, named as in the call.
        value: What replaced the channel: "zero" or "mean".
        channels: Numbers of the ablated channels (m,); all other arrays are in this order.
        images: Number of images.
        kind: What was judged: classification, multilabel, segmentation, reconstruction or metric.
        baseline: For each measure, the value without ablation.
        ablated: For each measure, the value with each channel ablated (m,).
        baseline_by_class: For each measure, the value for each class (k,); NaN for a class without images.
        ablated_by_class: The same with each channel ablated (m, k).
        standard_errors: For each measure that is a mean over images, the standard error of its change, paired by image
            (m,): s(d) / sqrt(n). NaN for a single image.
        replayed: Whether the part before the layer ran once per batch; False if the network cannot be traced, so that
            every channel took a full pass.
    """

    layer: str
    value: Value
    channels: Int64[np.ndarray, " m"]
    images: int
    kind: Kind
    baseline: Mapping[str, float]
    ablated: Mapping[str, Float64[np.ndarray, " m"]]
    baseline_by_class: Mapping[str, Float64[np.ndarray, " k"]] = field(repr=False)
    ablated_by_class: Mapping[str, Float64[np.ndarray, "m k"]] = field(repr=False)
    standard_errors: Mapping[str, Float64[np.ndarray, " m"]] = field(repr=False)
    replayed: bool = True

    @property
    def measure(self) -> str:
        """Name of the first measure: accuracy, exact_match, mean_iou, psnr or metric."""
        return next(iter(self.baseline))

    def lost(self, measure: str | None = None) -> Float64[np.ndarray, " m"]:
        """Return what each channel's ablation costs (m,): positive is worse, a fall in accuracy or a rise in loss.

        Args:
            measure: Name of the measure; the first by default.
        """
        key = measure or self.measure
        return _sign(key) * (self._known(self.ablated, key) - self.baseline[key]) + 0.0  # no -0

    def lost_by_class(self, measure: str | None = None) -> Float64[np.ndarray, "m k"]:
        """Return what each class loses (m, k); positive values mean that the network is worse without the channel.

        Raises:
            InputError: There are no classes.
        """
        key = measure or next(iter(self.ablated_by_class), self.measure)
        return _sign(key) * (self._known(self.ablated_by_class, key) - self.baseline_by_class[key]) + 0.0

    def loses_most(self, channel: int, measure: str | None = None) -> tuple[int, float] | None:
        """Return the class that loses most without a channel, and how much; the first class if several are equal.

        Args:
            channel: The channel's number.
            measure: Name of a measure by class; the first by default.

        Returns:
            None if no class loses or there are no classes.

        Raises:
            InputError: The channel was not ablated.
        """
        place = self._place(channel)
        if not self.ablated_by_class:
            return None
        lost = self.lost_by_class(measure)[place]
        if not (lost > 0).any():
            return None
        worst = int(np.nanargmax(lost))
        return worst, float(lost[worst])

    def interval(self, channel: int, measure: str | None = None) -> Interval | None:
        """Return the 95% interval of what a channel's ablation costs: d ± 1.96 s(d) / sqrt(n), d each image's change.

        Args:
            channel: The channel's number.
            measure: Name of the measure; the first by default.

        Returns:
            None if no image changes, or if the measure is not a mean over images, such as mean IoU.

        Raises:
            InputError: The channel was not ablated.
        """
        key, place = measure or self.measure, self._place(channel)
        error = float(self.standard_errors[key][place]) if key in self.standard_errors else 0.0
        lost = float(self.lost(key)[place])
        return (lost - NORMAL * error, lost + NORMAL * error) if error > 0 else None

    def order(self, measure: str | None = None) -> Int64[np.ndarray, " m"]:
        """Return the channels' numbers, the most costly first; ties by number, NaN last."""
        lost = self.lost(measure)
        return self.channels[np.lexsort((self.channels, -np.nan_to_num(lost, nan=-np.inf)))]

    def _place(self, channel: int) -> int:
        places = np.flatnonzero(self.channels == channel)
        if not len(places):
            raise InputError(f"channel {channel} of {self.layer} was not ablated; call ablate with channels=….")
        return int(places[0])

    def _known(self, figures: Mapping[str, np.ndarray], measure: str) -> np.ndarray:
        if measure not in figures:
            raise InputError(f"no measure '{measure}' here, expected one of {', '.join(figures) or 'none'}.")
        return figures[measure]

    def __repr__(self) -> str:
        """Say in one line what was ablated, and which channel costs most."""
        key, first = self.measure, int(self.order()[0])
        return (
            f"Ablation({len(self.channels)} channels of {self.layer} set to {self.value}, {self.images:,} images, "
            f"{key} {_show(key, self.baseline[key])}, channel {first} costs most: "
            f"{_show(key, float(self.lost()[self.channels == first][0]))})"
        )

    def table(self, most: int | None = None) -> Table:
        """Return a table of the channels, the most costly first."""
        heads = [f"{key.replace('_', ' ')} lost" for key in self.baseline]
        lost = {key: self.lost(key) for key in self.baseline}
        place = {int(channel): row for row, channel in enumerate(self.channels)}
        rows = []
        for channel in self.order()[:most].tolist():
            low_high = self.interval(channel)
            bounds = "–" if low_high is None else " to ".join(_show(self.measure, one) for one in low_high)
            rows.append((str(channel), *(_show(key, lost[key][place[channel]]) for key in lost), bounds))
        caption = f"{self.layer}: channels set to {self.value}, over {self.images:,} images"
        return make_table(caption, ("channel", *heads, "95% interval"), rows)

    def _table(self) -> Table:
        return self.table(SHOWN_CHANNELS)

    def to_json(self) -> dict[str, Any]:
        """Return all values as JSON; None where there is no value."""
        return {
            "layer": self.layer,
            "value": self.value,
            "kind": self.kind,
            "images": self.images,
            "replayed": self.replayed,
            "channels": self.channels.tolist(),
            "baseline": {key: _plain(np.float64(value)) for key, value in self.baseline.items()},
            **{
                name: {key: _plain(one) for key, one in getattr(self, name).items()}
                for name in ("ablated", "baseline_by_class", "ablated_by_class", "standard_errors")
            },
        }


def _sign(measure: str) -> int:
    return 1 if measure in HIGHER_IS_WORSE else -1


def _show(measure: str, figure: float) -> str:
    return show(measure if measure in MEASURES else "score", figure)


def _plain(values: Any) -> Any:
    """Return an array as nested lists, with None for NaN and infinity."""
    return np.asarray(np.where(np.isfinite(values), values, None)).tolist()
