"""What a command says: as text for a person, as one JSON document for a program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from glassnet.analysis import Analysis


@dataclass(frozen=True)
class Answer:
    """A command's result on standard output."""

    text: str
    """What a person reads."""
    data: Mapping[str, Any]
    """The same as JSON values, printed by --json."""


def kept_at(done: Sequence[Analysis]) -> str:
    """Say where the analyses of a command lie."""
    return "\n".join(f"{one.name}: {one.entry.path}" for one in done if one.entry)
