"""Random changes of place: affine maps and elastic distortions, drawn on the CPU and applied on the device."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Generator, Tensor

Images = Float[Tensor, "batch channel height width"]
Affine = Float[Tensor, "batch 2 3"]


@dataclass(frozen=True, eq=False)
class Warp:
    """A change of place for each image of a batch, from output to input coordinates, both from -1 to 1 over the image.

    Attributes:
        affine: One affine map an image.
        elastic: Displacements (x, y) of control points that lie evenly over the image, edge to edge, added to what the
            affine map gives; None for no elastic distortion.
    """

    affine: Affine
    elastic: Float[Tensor, "batch 2 knots knots"] | None = None

    def __getitem__(self, part: slice | Tensor) -> Warp:
        """Return the warps of some of the images."""
        return Warp(self.affine[part], None if self.elastic is None else self.elastic[part])

    def to(self, device: torch.device) -> Warp:
        """Return the warps on a device."""
        return Warp(self.affine.to(device), None if self.elastic is None else self.elastic.to(device))


def random_affine(
    count: int,
    generator: Generator,
    *,
    degrees: float,
    shift: float,
    scale: tuple[float, float],
    shear: float = 0.0,
    flip: bool = False,
) -> Float[Tensor, "count 2 3"]:
    """Draw affine maps from output to input coordinates, both from -1 to 1 over the image.

    Args:
        count: Number of maps.
        generator: Source of randomness, on the CPU.
        degrees: Largest rotation either way.
        shift: Largest shift along each axis, as a share of the image's side.
        scale: Smallest and largest magnification.
        shear: Largest horizontal shear, as a tangent.
        flip: Mirror half of the images left to right.
    """

    def uniform(low: float, high: float) -> Tensor:
        return torch.empty(count).uniform_(low, high, generator=generator)

    angle = uniform(-degrees, degrees).deg2rad()
    size, slant = uniform(*scale), uniform(-shear, shear)
    mirror = (torch.rand(count, generator=generator) < 0.5).float().mul(-2).add(1) if flip else torch.ones(count)
    cosine, sine = angle.cos() / size, angle.sin() / size
    across, down = uniform(-2 * shift, 2 * shift), uniform(-2 * shift, 2 * shift)
    first = torch.stack([mirror * cosine, slant * cosine - sine, across], dim=1)
    second = torch.stack([mirror * sine, slant * sine + cosine, down], dim=1)
    return torch.stack([first, second], dim=1)


def random_elastic(
    count: int, generator: Generator, *, deviation: float, knots: int
) -> Float[Tensor, "count 2 knots knots"]:
    """Draw the displacements of control points, normal and independent.

    Between the control points a cubic B-spline bends the image smoothly, as a hand's own wavering bends a stroke.

    The idea of elastic distortions is of Simard et al. 2003, https://doi.org/10.1109/ICDAR.2003.1227801, section 2; the
    spline in place of a filtered field of Rueckert et al. 1999, https://doi.org/10.1109/42.796284, equation 3.

    Args:
        count: Number of images.
        generator: Source of randomness, on the CPU.
        deviation: Standard deviation of a control point along each axis, as a share of the image's side; pixels are
            displaced by about half of it, since each follows several control points.
        knots: Control points along each side, 4 or more.
    """
    return torch.randn(count, 2, knots, knots, generator=generator).mul_(2 * deviation)


def apply_warp(
    images: Images, warp: Warp | Affine, *, size: int | None = None
) -> Float[Tensor, "batch channel out_height out_width"]:
    """Resample each image bilinearly under its warp; what comes from outside is 0.

    Args:
        images: Squares.
        warp: Where each pixel comes from.
        size: Height and width of the result in pixels; the images' own if not given.
    """
    grid = _grid(images, warp if isinstance(warp, Warp) else Warp(warp), size)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def apply_warp_to_masks(
    masks: UInt8[Tensor, "batch height width"], warp: Warp, *, outside: int, size: int | None = None
) -> UInt8[Tensor, "batch out_height out_width"]:
    """Give each pixel the class of the nearest one under the warp; what comes from outside is `outside`.

    The result has `size` pixels a side, or the masks' own.
    """
    # grid_sample fills with 0, so that is what `outside` has to be while it works.
    shifted = masks.to(warp.affine.dtype).sub_(outside)[:, None]
    moved = F.grid_sample(
        shifted, _grid(shifted, warp, size), mode="nearest", padding_mode="zeros", align_corners=False
    )
    return moved[:, 0].add_(outside).to(torch.uint8)


def _grid(images: Images, warp: Warp, size: int | None) -> Float[Tensor, "batch out_height out_width 2"]:
    height, width = (size, size) if size else images.shape[-2:]
    grid = F.affine_grid(warp.affine, [*images.shape[:2], height, width], align_corners=False)
    if warp.elastic is not None:
        grid = grid + _field(warp.elastic, height, width)
    return grid


def _field(elastic: Tensor, height: int, width: int) -> Float[Tensor, "batch height width 2"]:
    knots = elastic.shape[-1]
    down, across = (spline_basis(side, knots).to(elastic) for side in (height, width))
    return (down @ elastic @ across.T).permute(0, 2, 3, 1)


@cache
def spline_basis(side: int, knots: int) -> Float[Tensor, "side knots"]:
    """Return how far each pixel of a side follows each control point: cubic B-splines, each row with the sum 1.

    Control points lie one unit apart, and the pixels' centres spread over the units in the middle, where four control
    points reach each of them.
    """
    places = (torch.arange(side, dtype=torch.float64) + 0.5) / side * (knots - 3) + 1
    distance = (places[:, None] - torch.arange(knots, dtype=torch.float64)).abs()
    near = 2 / 3 - distance.square() + distance.pow(3) / 2
    far = (2 - distance).clamp(min=0).pow(3) / 6
    return torch.where(distance < 1, near, far).float()
