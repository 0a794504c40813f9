"""What `visualize` returns: a picture for each channel, how far it drives it, and how far real images do."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from glassnet.display import Shown, fraction
from glassnet.tables import Table, make_table


@dataclass(frozen=True, eq=False, repr=False)
class Visualized(Shown):
    """Pictures that drive channels, neurons or directions of a layer, n of them.

    Attributes:
        images: The pictures, float32 in [0, 1].
        layer: The layer's name.
        objective: "channel": the mean over the layer's map; "neuron": the value at one place; "direction".
        channels: The channel that each picture drives, or the direction's number.
        activation: What each picture reaches, as the objective measures it, without transformations.
        real_best: The most that any real image reaches: of its mean, or at any place of its map where the objective is
            of one place. None without real images.
        real_index: The number of that image.
        rank: The picture's place among all real images, 1 being above all of them.
        dead: Whether no gradient led from the picture to the channel: it is what it started as.
        place: Row and column of the neuron in the layer's map; None for means.
        seen: First row, first column, height and width in pixels of the part of the picture that the neuron sees, its
            receptive field; None where it sees all, or that is not known.
        seed: Of all that was drawn.
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
        """The activation as a multiple of the best real image's; NaN where that is not above 0."""
        if self.real_best is None:
            return None
        above = self.real_best > 0
        return np.where(above, self.activation / np.where(above, self.real_best, 1), np.nan).astype(np.float32)

    @property
    def share_above_real(self) -> float | None:
        """Share of the pictures of channels that are not dead which drive them above every real image."""
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
        note = "" if share is None else f"{share:.1%} of the live ones are driven above every real image"
        return make_table(f"Pictures of {self.layer}", columns, rows, note=note)
