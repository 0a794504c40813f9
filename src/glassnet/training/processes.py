"""Several processes that stop together: what fails in the first one fails in all, with the same sentence."""

from collections.abc import Callable
from typing import TypeVar

from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from glassnet.errors import GlassnetError

T = TypeVar("T")


def told_by_main(accelerator: Accelerator, work: Callable[[], T]) -> T:
    """Do the work in the main process alone and give its result, or its error, to all."""
    outcome: list[T | GlassnetError | None] = [None]
    if accelerator.is_main_process:
        try:
            outcome = [work()]
        except GlassnetError as error:
            outcome = [error]
    if accelerator.num_processes > 1:
        broadcast_object_list(outcome)
    if isinstance(outcome[0], GlassnetError):
        raise outcome[0]
    return outcome[0]  # type: ignore[return-value]


def main_first(accelerator: Accelerator, work: Callable[[], T]) -> T:
    """Do the work in every process, in the main one first; where that one fails, the others do not begin."""
    done: list[T] = []
    told_by_main(accelerator, lambda: done.append(work()))
    return done[0] if done else work()
