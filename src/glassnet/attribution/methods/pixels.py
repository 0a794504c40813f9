"""Methods that explain the image's pixels: gradients (plain, guided, averaged over noise, along a path), and occlusion.

Saliency shows which pixels change the score fastest; input x gradient what each pixel adds to the score, were the model
linear; guided backpropagation which pixels excite it through excited ReLUs only; SmoothGrad averages any method over
noisy copies of the image; integrated gradients divide the score's rise from a baseline to the image among the pixels;
occlusion shows how much the score falls where a gray square covers the image.
"""

from collections.abc import Iterator

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


def integrated_gradients(
    images: Float[Tensor, "batch channel height width"],
    rerun: Rerun,
    *,
    steps: int = 32,
    baseline: float = 0,
) -> Float[Tensor, "batch channel height width"]:
    """Average the gradient on the straight way from a uniform image to the image, times the way.

    R = (x - b) 1/N sum_i dy/dx at b + (i - 1/2) / N (x - b): the paper's integral by the midpoint rule. It adds up to
    y(x) - y(b), up to the rule's error.

    Sundararajan et al. 2017, https://arxiv.org/abs/1703.01365, equation 1.

    Args:
        images: (n, channel, height, width), values in the model's own range.
        rerun: Gives the gradients.
        steps: Points N on the way.
        baseline: The value b of the uniform image; 0 is black.

    Raises:
        InputError: There is no step.
    """
    if steps < 1:
        raise InputError(f"steps is {steps}, expected at least 1.")
    way = images - baseline

    def points() -> Iterator[Tensor]:
        for step in range(steps):
            yield baseline + (step + 0.5) / steps * way

    total = images.new_zeros(images.shape)
    for gradient in rerun("input_gradient", points()):
        total += gradient
    return way * total / steps


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
        InputError: The square or its stride has no pixel.
    """
    window = max(min(images.shape[2:]) // 8, 1) if window is None else window
    stride = max(window // 2, 1) if stride is None else stride
    if window < 1 or stride < 1:
        raise InputError(f"window is {window} and stride {stride}, expected at least 1 pixel each.")
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
    return torch.where(count > 0, fall / count, 0)


def _starts(side: int, window: int, stride: int) -> range:
    return range(0, max(side - window, 0) + stride, stride)
