"""Where the blocks and tiles of a grid of attributions stand, in inches."""

from __future__ import annotations

from dataclasses import dataclass

COLUMNS = 8
"""Layers side by side; more of them go on below."""
MARGIN, GAP, CAPTION, LINE, HEADER, FOOT = 0.12, 0.06, 0.32, 0.18, 0.2, 0.62
"""Inches."""
TOP, NUMBER = 0.68, 0.17
"""Inches: above the first block, and for a number below each map."""


@dataclass(frozen=True)
class Plan:
    """Where the blocks and tiles stand, in inches."""

    layers: int
    methods: int
    alone: int
    """Maps below the image, of methods that explain the input alone."""
    lines: int
    """Lines of the captions beyond the first."""
    number: float
    """Height of the number below each map; 0 without numbers."""

    @property
    def columns(self) -> int:
        """Layers side by side, so that the lines are equally full."""
        return -(-self.layers // max(-(-self.layers // COLUMNS), 1))

    @property
    def side(self) -> float:
        """Side of a tile."""
        return 0.98 if self.columns <= 5 else 0.86

    @property
    def step(self) -> float:
        """Height of one tile in the image's column, with its name."""
        return HEADER + self.side + GAP

    @property
    def pitch(self) -> float:
        """Height of one of the methods' lines."""
        return self.side + self.number + GAP

    @property
    def group(self) -> float:
        """Height of one line of layers with all its methods."""
        return HEADER + self.methods * self.pitch

    @property
    def width(self) -> float:
        """Width of the figure."""
        return max(self.tile(0, self.columns - 1, 0)[0] + self.side + MARGIN, 5.4)

    def block(self, image: int) -> float:
        """Top of an image's block; that of the image behind the last is where the foot begins."""
        beside, below = -(-self.layers // max(self.columns, 1)) * self.group, (1 + self.alone) * self.step
        return TOP + image * (CAPTION + LINE * self.lines + max(beside, below) + 0.12)

    def below(self, image: int, place: int) -> tuple[float, float]:
        """Top left corner of the image (place 0) and of the maps of the input alone."""
        return MARGIN, self.block(image) + CAPTION + LINE * self.lines + HEADER + place * self.step

    def tile(self, image: int, layer: int, method: int) -> tuple[float, float]:
        """Top left corner of a layer's map."""
        line, column = divmod(layer, max(self.columns, 1))
        x = MARGIN + self.side + 0.45 + column * (self.side + GAP)
        y = self.block(image) + CAPTION + LINE * self.lines + line * self.group + HEADER
        return x, y + method * self.pitch
