"""The evidence lower bound of a variational autoencoder, in its two terms, and what its latent dimensions do.

-log p(x) <= E_q[-log p(x | z)] + KL(q(z | x) || p(z)), Kingma and Welling 2014, https://arxiv.org/abs/1312.6114,
equation 3. With noise on the input, q sees the noisy image and p(x | z) the clean one: Im et al. 2017,
https://arxiv.org/abs/1511.06406.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

Pixels = Float[Tensor, "batch channel height width"]
PerImage = Float[Tensor, " batch"]
LogDeviation = Float[Tensor, "channel 1 1"]

EXPLODED = 10.0
"""Standard deviation of a code, ten times the prior's, from which on it counts as exploded."""
LEVELS = 255
"""Steps between the grey levels 0 and 1 of 8-bit images."""
SHARPEST = 0.5 / LEVELS
"""Half a grey level: a Gaussian likelihood of a smaller deviation claims to know pixels finer than they are given."""
ACTIVE_VARIANCE = 0.01
"""Variance of its mean over images above which a latent dimension counts as active: Burda et al. 2016."""


def bernoulli(logits: Pixels, targets: Pixels, _log_deviation: LogDeviation | None = None) -> PerImage:
    """Cross-entropy of each image's pixels: -sum x log m + (1 - x) log(1 - m), m = sigmoid(logits), in nats.

    For pixels 0 and 1 that is -log p(x | z). Grey targets are taken as means of pixels, and the result is then no
    probability of the grey image.

    Kingma and Welling 2014, https://arxiv.org/abs/1312.6114, appendix C.1.
    """
    return F.binary_cross_entropy_with_logits(logits, targets, reduction="none").flatten(1).sum(dim=1)


def gaussian(logits: Pixels, targets: Pixels, log_deviation: LogDeviation) -> PerImage:
    """-log N(x; m, s²) of each image: sum ((x - m) / s)² / 2 + log s + log(2 pi) / 2, m = sigmoid(logits), in nats.

    A density over [0, 1], which may be below 0 nats; not comparable with that of whole grey levels.

    Kingma and Welling 2014, https://arxiv.org/abs/1312.6114, appendix C.2.
    """
    scaled = (targets - logits.sigmoid()) * (-log_deviation).exp()
    terms = scaled.square() / 2 + log_deviation + math.log(2 * math.pi) / 2
    return terms.flatten(1).sum(dim=1)


def discretized_gaussian(logits: Pixels, targets: Pixels, log_deviation: LogDeviation) -> PerImage:
    """-log P(x) of each image's grey levels: the Gaussian's mass within half a level of x, in nats.

    P(x) = Phi((x + h - m) / s) - Phi((x - h - m) / s), h = 1/510; the mass beyond 0 and 1 goes to these levels, so
    that the 256 probabilities of a pixel add up to 1. Targets are levels k / 255.

    Ho, Jain and Abbeel 2020, https://arxiv.org/abs/2006.11239, equation 13.
    """
    half, precision = 0.5 / LEVELS, (-log_deviation).exp()
    distance = targets - logits.sigmoid()
    below = torch.where(targets < half, -torch.inf, (distance - half) * precision)
    above = torch.where(targets > 1 - half, torch.inf, (distance + half) * precision)
    # The mass is taken on the lower side of the mean, where a difference of two small numbers keeps its digits.
    flip = below > -above
    low, high = torch.where(flip, -above, below), torch.where(flip, -below, above)
    return -_log_mass(low, high).flatten(1).sum(dim=1)


def _log_mass(low: Tensor, high: Tensor) -> Tensor:
    """log(Phi(high) - Phi(low)) for low < high with low + high <= 0, by the difference of logarithms."""
    log_high = torch.special.log_ndtr(high)
    log_low = torch.special.log_ndtr(low.clamp(min=-1e4))
    return log_high + torch.log(-torch.expm1((log_low - log_high).clamp(max=-1e-6)))


LIKELIHOODS: dict[str, Callable[..., PerImage]] = {
    "bernoulli": bernoulli,
    "gaussian": gaussian,
    "discretized_gaussian": discretized_gaussian,
}


def kl_per_dimension(mean: Tensor, log_variance: Tensor) -> Float[Tensor, "batch latent"]:
    """KL(N(mean, exp(log_variance)) || N(0, 1)) of each latent dimension: (m² + v - 1 - log v) / 2, in nats.

    Kingma and Welling 2014, https://arxiv.org/abs/1312.6114, appendix B.
    """
    mean, log_variance = mean.float().flatten(1), log_variance.float().flatten(1)
    return (mean.square() + torch.expm1(log_variance) - log_variance) / 2


def warm_up(progress: float, share: float) -> float:
    """Weight of the KL term while it warms up: in a straight line from 0 to 1 over a share of the training.

    Bowman et al. 2016, https://arxiv.org/abs/1511.06349, section 3.1; Sønderby et al. 2016,
    https://arxiv.org/abs/1602.02282.

    Args:
        progress: How far the training is, 0 to 1.
        share: Share of the training that the warm-up takes; 0 for none.
    """
    return min(1.0, progress / share) if share > 0 else 1.0


def bits_per_dimension(nats: float, dimensions: int) -> float:
    """Turn nats per image into bits per pixel and channel: nats / (dimensions log 2)."""
    return nats / (dimensions * math.log(2))


@dataclass(frozen=True, eq=False)
class LatentUse:
    """What the dimensions of a latent code do, over many images.

    Attributes:
        kl: Mean KL of each dimension in nats.
        active: Whether its mean varies over images by more than ACTIVE_VARIANCE.
        largest_deviation: Largest standard deviation that the encoder gave any code; the prior's is 1.
    """

    kl: Float[Tensor, " latent"]
    active: Bool[Tensor, " latent"]
    largest_deviation: float

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader must know: a code that carries nothing, or deviations that left all bounds."""
        sentences = []
        if not self.active.any():
            sentences.append(
                "The KL term collapsed: no latent dimension depends on the image, so all images are reconstructed "
                "alike. Train with a smaller --beta, or with --kl-warmup."
            )
        elif self.active.float().mean() < 0.5:
            count, total = int(self.active.sum()), len(self.active)
            sentences.append(f"Only {count} of {total} latent dimensions depend on the image.")
        if not self.largest_deviation < EXPLODED:
            sentences.append(
                f"The variance exploded: a code has a standard deviation of {self.largest_deviation:.3g}, while the "
                "prior's is 1."
            )
        return tuple(sentences)


def deviation_warnings(deviation: Sequence[float], density: bool) -> tuple[str, ...]:
    """Say that a Gaussian likelihood was learned so sharp that its density has no bound.

    Args:
        deviation: Of the likelihood, per channel.
        density: Whether nats are those of the density; those of whole grey levels are bounded by 0.
    """
    if not density or not deviation or min(deviation) >= SHARPEST:
        return ()
    return (
        f"The likelihood's standard deviation fell to {min(deviation):.2g}, less than half a grey level: its density "
        "grows without bound and its nats mean little. Train with likelihood=discretized_gaussian.",
    )


def latent_use(kl: Tensor, variance: Tensor, largest_log_variance: float) -> LatentUse:
    """Say what each latent dimension does over the images.

    A dimension is active where Var_x(E_q[z | x]) > 0.01: Burda et al. 2016, https://arxiv.org/abs/1509.00519,
    appendix C.

    Args:
        kl: Mean KL of each dimension in nats.
        variance: Variance of each dimension's mean over the images.
        largest_log_variance: Of any code.
    """
    deviation = torch.tensor(largest_log_variance / 2, dtype=torch.float64).exp()  # infinite where math.exp would fail
    return LatentUse(kl, variance > ACTIVE_VARIANCE, float(deviation))
