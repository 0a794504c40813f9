"""What `visualize` returns: a picture for each channel, how far it drives it, and how far real images do."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from glassnet.display import Shown, fraction
from glassnet.tables import Table, make_table


@dataclass(frozen=True, eq=False, repr=False)
class Visualized(Shown):
    """n pictures that activate channels, neurons or directions of a layer most.

    Attributes:
        images: The pictures, float32 in [0, 1].
        layer: The layer's name.
        objective: "channel": the mean over the layer's map; "neuron": the value at one place; "direction".
        channels: The channel that each picture activates, or the direction's number.
        activation: The value of the objective for each picture, without transformations.
        real_best: The highest value for any real image: its mean, or, if the objective is at one place, the highest at
            any place of its map. None without real images.
        real_index: The number of that image.
        rank: The picture's rank among all real images; 1 is above all of them.
        dead: Whether no gradient led from the channel to the picture, so that the picture stayed as it started.
        place: Row and column of the neuron in the layer's map; None for means.
        seen: The neuron's receptive-field box: first row, first column, height and width in pixels; None if it sees the
            whole picture, or the box is not known.
        seed: Seed of all random draws.
    """

    images: Float[np.ndarray, "n channel height width"]
    layer: str
    objective: str
    channels: Int[np.ndarray, " n"]
    activation: Float[np.ndarray, " n"]
    real_best: Float[np.ndarray, " n"] | None
    real_index: Int[np.ndarray, " n"] | None
    rank: Int[np.ndarray, " n"] | None
    dead: Bool[np.ndarray, " n"]
    place: tuple[int, int] | None
    seen: tuple[int, int, int, int] | None
    seed: int

    @property
    def multiple(self) -> Float[np.ndarray, " n"] | None:
        """The activation as a multiple of the best real image's; NaN where the latter is not above 0."""
        if self.real_best is None:
            return None
        above = self.real_best > 0
        return np.where(above, self.activation / np.where(above, self.real_best, 1), np.nan).astype(np.float32)

    @property
    def share_above_real(self) -> float | None:
        """Share of the pictures, dead channels left out, that activate their channel more than every real image."""
        if self.rank is None or self.dead.all():
            return None
        return float((self.rank[~self.dead] == 1).mean())

    def _table(self) -> Table:
        """Return what a notebook shows of it: a row a picture."""
        multiple, known = self.multiple, self.real_best is not None
        columns = (self.objective, "activation", *(("best real", "multiple", "rank") if known else ()))
        rows = []
        for number, channel in enumerate(self.channels):
            row = [f"{channel}{' (dead)' * bool(self.dead[number])}", fraction(float(self.activation[number]))]
            if multiple is not None and self.real_best is not None and self.rank is not None:
                real = fraction(float(self.real_best[number]))
                row += [real, fraction(float(multiple[number])), f"{self.rank[number]:,}"]
            rows.append(tuple(row))
        share = self.share_above_real
        note = "" if share is None else f"{share:.1%} of the live ones activate more than every real image"
        return make_table(f"Pictures of {self.layer}", columns, rows, note=note)
