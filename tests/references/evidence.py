"""The evidence lower bound, value by value in plain Python, as Kingma and Welling 2014 write it down."""

import math


def sigmoid(value):
    return 1 / (1 + math.exp(-value))


def normal_mass(value):
    """Phi(value), to the digits that a difference in the far tail needs."""
    return 0.5 * math.erfc(-value / math.sqrt(2))


def bernoulli(logits, pixels):
    """Appendix C.1: the negative logarithm, summed over pixels."""
    means = [sigmoid(value) for value in logits]
    return -sum(x * math.log(m) + (1 - x) * math.log(1 - m) for x, m in zip(pixels, means, strict=True))


def gaussian(logits, pixels, deviation):
    """Appendix C.2: the density of a normal distribution."""
    density = [
        math.exp(-(((x - sigmoid(v)) / deviation) ** 2) / 2) / (deviation * math.sqrt(2 * math.pi))
        for x, v in zip(pixels, logits, strict=True)
    ]
    return -sum(map(math.log, density))


def discretized_gaussian(logit, level, deviation):
    """Probability of one of the 256 grey levels."""
    mean, x = sigmoid(logit), level / 255
    low = -math.inf if level == 0 else (x - 1 / 510 - mean) / deviation
    high = math.inf if level == 255 else (x + 1 / 510 - mean) / deviation
    return normal_mass(high) - normal_mass(low)


def kl_by_integration(mean, deviation, *, steps=20_000, reach=12.0):
    """KL(N(mean, deviation²) || N(0, 1)) as the integral of q log(q / p), by the midpoint rule."""
    width = 2 * reach * deviation / steps
    total = 0.0
    for step in range(steps):
        z = mean - reach * deviation + (step + 0.5) * width
        log_q = -(((z - mean) / deviation) ** 2) / 2 - math.log(deviation * math.sqrt(2 * math.pi))
        log_p = -(z**2) / 2 - math.log(math.sqrt(2 * math.pi))
        total += math.exp(log_q) * (log_q - log_p) * width
    return total
