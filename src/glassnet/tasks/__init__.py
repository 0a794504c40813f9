"""What a model can learn. A task is a folder and one line in TASKS (registry.py).

TASKS and the types are loaded, with torch, when they are asked for: what the explorer says of a task needs neither.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from glassnet.tasks.base import Measures, Normal, Objective, Recorder, Records, Task
    from glassnet.tasks.registry import TASKS

__all__ = ["TASKS", "Measures", "Normal", "Objective", "Recorder", "Records", "Task"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    return getattr(import_module(f"{__name__}.{'registry' if name == 'TASKS' else 'base'}"), name)
