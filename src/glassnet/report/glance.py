"""What the head of a report says of a task: its main numbers, and what they mean in plain words."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Headline:
    """One number that a reader looks for first."""

    name: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Glance:
    """How a task's runs are told of in a few words.

    Attributes:
        headlines: The main numbers, from the manifest's metrics, those of the test from the evaluation if there is one.
        kept: What the kept epoch came to on the validation part, from the same.
        columns: Heading, key of the metrics and way of writing of each number that several runs are compared by.
        judged: Sentences on the evaluation of the test images.
        glanced: The same where there was no evaluation yet, from the metrics.
    """

    headlines: Callable[[dict[str, Any]], tuple[Headline, ...]]
    kept: Callable[[dict[str, Any]], str]
    columns: tuple[tuple[str, str, Callable[[Any], str]], ...]
    judged: Callable[[dict[str, Any]], list[str]]
    glanced: Callable[[dict[str, Any]], list[str]]
