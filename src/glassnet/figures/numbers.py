"""The numbers that go with an embedding: what each is called, and how many of them fit on a line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from glassnet.errors import unknown_name

BY_CLASS = {
    "explained_variance": ("variance explained", ".1%"),
    "knn_accuracy": ("kNN accuracy", ".1%"),
    "trustworthiness": ("trustworthiness", ".3f"),
    "continuity": ("continuity", ".3f"),
    "neighbours_kept": ("neighbours kept", ".1%"),
    "distance_correlation": ("rank correlation of distances", ".3f"),
    "kl_divergence": ("KL divergence (nats)", ".3f"),
    "class_silhouette": ("silhouette of the classes", ".3f"),
}
"""What tells how well the points keep the features and the classes."""
BY_CLUSTER = {
    "ari": ("adjusted Rand index", ".3f"),
    "accuracy": ("matched accuracy", ".1%"),
    "nmi": ("normalised mutual information", ".3f"),
    "silhouette": ("silhouette", ".3f"),
    "noise_share": ("noise", ".1%"),
}
"""What tells how well the clusters fit the classes."""
NUMBERS = BY_CLASS | BY_CLUSTER
CHARACTERS = 56
"""As many fit below a panel in one line."""


def check_numbers(numbers: Mapping[str, float | None]) -> None:
    """Refuse a number that has no name here.

    Raises:
        InputError: There is one; the known ones are listed.
    """
    for key in numbers:
        if key not in NUMBERS:
            raise unknown_name("number", key, NUMBERS, noun="numbers")


def number_lines(numbers: Mapping[str, float | None], keys: Iterable[str]) -> list[str]:
    """Write those of the numbers `keys` that there are, as many on a line as a panel is wide."""
    lines: list[str] = []
    for key in keys:
        value = numbers.get(key)
        if value is None:
            continue
        name, form = NUMBERS[key]
        number = f"{name} {value:{form}}".replace("-", "−")
        longer = f"{lines[-1]},   {number}" if lines else ""
        if lines and len(longer) <= CHARACTERS:
            lines[-1] = longer
        else:
            lines.append(number)
    return lines
