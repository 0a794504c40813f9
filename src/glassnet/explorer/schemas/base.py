"""What all answers share: their base, errors, arrays, work that goes on, and a number with what it means."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

Dtype = Literal["float32", "int32", "uint8"]


class Answer(BaseModel):
    """Base of all answers; a field that is not described is a mistake."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Problem(Answer):
    """What went wrong, as one sentence that says what to do."""

    error: str


class ArrayMeta(Answer):
    """An array of a binary answer, little-endian and in C order."""

    name: str
    dtype: Dtype
    shape: list[int]


class Job(Answer):
    """Work that goes on; the same request again answers it, or the result.

    Attributes:
        id: For DELETE /jobs/{id}.
        what: A few words, such as "t-SNE of fc1".
        done: Steps done.
        total: Steps in all; 0 while unknown.
        seconds: Since it was asked for.
        queue: How many come before it; 0 once it runs.
    """

    id: str
    what: str
    done: int
    total: int
    seconds: float
    queue: int


class Measure(Answer):
    """A number with what it means.

    Attributes:
        key: As in analysis.json.
        text: As it is written.
        chance: What it would be by chance, as text; empty where that means nothing.
    """

    key: str
    title: str
    value: float | None
    text: str
    interval: str
    chance: str
    about: str
