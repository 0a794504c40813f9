"""Methods that explain the image's pixels: gradients (plain, guided, averaged over noise, along a path), and occlusion.

Saliency shows which pixels change the score fastest; input x gradient what each pixel adds to the score, were the model
linear; guided backpropagation which pixels excite it through excited ReLUs only; SmoothGrad averages any method over
noisy copies of the image; integrated gradients divide the score's rise from a baseline to the image among the pixels;
occlusion shows how much the score falls where a gray square covers the image.
"""

from collections.abc import Callable, Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from glassnet.attribution.engine.budget import Rerun
from glassnet.errors import InputError


def saliency(input_gradient: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch height width"]:
    """Return the magnitude of the score's gradient at each pixel, of the channels the greatest.

    M = max_c |dy/dx_c|.

    Simonyan et al. 2013, https://arxiv.org/abs/1312.6034, section 3.1.
    """
    return input_gradient.abs().amax(dim=1)


def input_x_gradient(
    images: Float[Tensor, "batch channel height width"],
    input_gradient: Float[Tensor, "batch channel height width"],
) -> Float[Tensor, "batch channel height width"]:
    """Multiply the image with the score's gradient there.

    R = x * dy/dx. Black pixels, being 0, get nothing.

    Shrikumar et al. 2016, https://arxiv.org/abs/1605.01713, section 2.
    """
    return images * input_gradient


def guided_backpropagation(
    guided_gradient: Float[Tensor, "batch channel height width"],
) -> Float[Tensor, "batch channel height width"]:
    """Return the gradient dy/dx of the score by the input, with each ReLU's backward pass guided.

    R_in = R_out [f > 0] [R_out > 0]: a ReLU passes a gradient where its input f was positive, as always, and where
    the gradient R_out itself is positive. The engine's second backward pass does it (`engine/passes.py`).

    Springenberg et al. 2015, https://arxiv.org/abs/1412.6806, section 3.4 and figure 1.
    """
    return guided_gradient


def smoothgrad(
    images: Float[Tensor, "batch channel height width"],
    rerun: Rerun,
    *,
    of: str = "saliency",
    samples: int = 25,
    noise: float = 0.15,
    seed: int = 0,
) -> Float[Tensor, "batch ..."]:
    """Average a method over copies of each image with Gaussian noise.

    M = 1/N sum_i M_of(x + e_i), e_i ~ N(0, s²), with s the noise level times the image's range, max x - min x.

    Smilkov et al. 2017, https://arxiv.org/abs/1706.03825, section 3.

    Args:
        images: (n, channel, height, width), values in the model's own range.
        rerun: Runs the method again.
        of: The method that is averaged; one of a layer makes this one of a layer.
        samples: Noisy copies N.
        noise: The noise level, a share of the image's range.
        seed: Of the noise, which is the same for all images: so maps differ by their images, and chunks do not matter.

    Raises:
        InputError: There is no sample.
    """
    if samples < 1:
        raise InputError(f"samples is {samples}, expected at least 1.")

    def noisy() -> Iterator[Tensor]:
        # On the CPU, so that every device draws the same.
        generator = torch.Generator().manual_seed(seed)
        for _ in range(samples):
            yield images + deviation * torch.randn(images.shape[1:], generator=generator).to(images)

    deviation = noise * (images.amax(dim=(1, 2, 3), keepdim=True) - images.amin(dim=(1, 2, 3), keepdim=True))
    maps = rerun(of, noisy())
    total = next(maps)
    for each in maps:
        total = total + each
    return total / samples


GAP_AIM = 0.05
"""The part of the score's rise that integrated gradients may leave unexplained."""

_FIRST_POINTS, _MOST_POINTS = 32, 288
_ROUNDING = 1e-5  # of a score: less than float32 says of two of them


def integrated_gradients(
    images: Float[Tensor, "batch channel height width"],
    score: Float[Tensor, " batch"],
    rerun: Rerun,
    report_gap: Callable[[Tensor], None],
    *,
    steps: int | None = None,
    baseline: float = 0,
) -> Float[Tensor, "batch channel height width"]:
    """Average the gradient on the straight way from a uniform image to the image, times the way.

    R = (x - b) 1/N sum_i dy/dx at b + (i - 1/2) / N (x - b): the paper's integral by the midpoint rule. It adds up to
    y(x) - y(b), up to the rule's error, which is measured: g = |sum R - (y(x) - y(b))| / |y(x) - y(b)|. An image starts
    with 32 points and gets three times as many, 96 and then 288, until g is at most 5%; the points of a third of the
    rule are among those of the whole, and are not computed again. What gap is left goes to
    `Explanation.completeness`, and is said where it is above the aim: a gradient that explodes near the baseline, as a
    normalisation layer's near a black image, may leave one at any number.

    Sundararajan et al. 2017, https://arxiv.org/abs/1703.01365, equation 1 and proposition 1.

    Args:
        images: (n, channel, height, width), values in the model's own range.
        score: y(x).
        rerun: Gives the gradients.
        report_gap: Takes g of each image; differences within rounding, 1e-5 of the scores, count as 0.
        steps: Points N on the way, the same for every image, whatever gap is left; as many as it takes if not given.
        baseline: The value b of the uniform image; 0 is black.

    Raises:
        InputError: There is no step.
    """
    if steps is not None and steps < 1:
        raise InputError(f"steps is {steps}, expected at least 1.")
    way, points = images - baseline, steps or _FIRST_POINTS
    (low,) = rerun("score", [torch.full_like(images, baseline)])
    total = _sum_of_gradients(rerun, way, baseline, _midpoints(points))
    attribution = way * total / points
    gap = completeness_gap(attribution, score, low)
    while steps is None and points < _MOST_POINTS and (rows := (gap > GAP_AIM).nonzero().flatten()).numel():
        points *= 3
        total[rows] += _sum_of_gradients(rerun, way[rows], baseline, _midpoints(points, new=True), rows)
        attribution[rows] = way[rows] * total[rows] / points
        gap[rows] = completeness_gap(attribution[rows], score[rows], low[rows])
    report_gap(gap)
    return attribution


def completeness_gap(
    attribution: Float[Tensor, "batch channel height width"],
    score: Float[Tensor, " batch"],
    low: Float[Tensor, " batch"],
) -> Float[Tensor, " batch"]:
    """Return which part of a score's rise attributions do not add up to: |sum R - (y - y_b)| / |y - y_b|.

    A difference that is no more than rounding, 1e-5 of the larger score, counts as 0.
    """
    rise = score.double() - low.double()
    missed = (attribution.double().sum(dim=(1, 2, 3)) - rise).abs()
    noise = _ROUNDING * torch.maximum(score.abs(), low.abs())
    return torch.where(missed <= noise, 0, missed / rise.abs()).to(score.dtype)


def _midpoints(count: int, *, new: bool = False) -> list[float]:
    """Return the middles of so many parts of 0 to 1; if `new`, without those that a third as many parts have, too."""
    return [(number + 0.5) / count for number in range(count) if not new or number % 3 != 1]


def _sum_of_gradients(
    rerun: Rerun, way: Tensor, baseline: float, points: Sequence[float], rows: Tensor | None = None
) -> Float[Tensor, "batch channel height width"]:
    total = torch.zeros_like(way)
    for gradient in rerun("input_gradient", (baseline + point * way for point in points), rows):
        total += gradient
    return total


def occlusion(
    images: Float[Tensor, "batch channel height width"],
    rerun: Rerun,
    *,
    window: int | None = None,
    stride: int | None = None,
    fill: float = 0.5,
) -> Float[Tensor, "batch height width"]:
    """Cover the image by a square at every place, and give each pixel the mean fall of the score below it.

    M_p = mean over the squares w that cover p of y(x) - y(x with w filled). Negative where covering raises the score.

    Zeiler & Fergus 2013, https://arxiv.org/abs/1311.2901, section 4.2.

    Args:
        images: (n, channel, height, width), values in the model's own range.
        rerun: Gives the scores.
        window: Side of the square in pixels; an eighth of the image's shorter side if not given.
        stride: Pixels between squares; half a square if not given. The last ones may end at the border.
        fill: What covers; 0.5 is gray where images are in [0, 1].

    Raises:
        InputError: The square or its stride has no pixel, or the squares leave pixels between them uncovered.
    """
    window = max(min(images.shape[2:]) // 8, 1) if window is None else window
    stride = max(window // 2, 1) if stride is None else stride
    if window < 1 or stride < 1:
        raise InputError(f"window is {window} and stride {stride}, expected at least 1 pixel each.")
    if stride > window < max(images.shape[2:]):
        raise InputError(
            f"stride is {stride} and window {window}, so some pixels are never covered; pass a stride of at most "
            f"{window}."
        )
    places = [
        (y, x) for y in _starts(images.shape[2], window, stride) for x in _starts(images.shape[3], window, stride)
    ]

    def covered() -> Iterator[Tensor]:
        yield images
        for y, x in places:
            changed = images.clone()
            changed[:, :, y : y + window, x : x + window] = fill
            yield changed

    scores = rerun("score", covered())
    whole = next(scores)
    fall, count = images.new_zeros(len(images), *images.shape[2:]), images.new_zeros(images.shape[2:])
    for (y, x), score in zip(places, scores, strict=True):
        fall[:, y : y + window, x : x + window] += (whole - score).view(-1, 1, 1)
        count[y : y + window, x : x + window] += 1
    return fall / count


def _starts(side: int, window: int, stride: int) -> range:
    return range(0, max(side - window, 0) + stride, stride)
