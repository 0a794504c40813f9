"""What a command says: as text for a person, as one JSON document for a program."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Answer:
    """A command's result on standard output."""

    text: str
    """What a person reads."""
    data: Mapping[str, Any]
    """The same as JSON values, printed by --json."""
