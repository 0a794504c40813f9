"""All subjects that are shown, by name; runs that change on disk are opened anew."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glassnet.console import say
from glassnet.errors import InputError
from glassnet.explorer.shown import OpenSubject, Refusal, is_unfinished, stamp_of
from glassnet.run.directory import RunDirectory
from glassnet.run.store import slug

if TYPE_CHECKING:
    from glassnet.subject import Subject


class Subjects:
    """All that is shown, by name."""

    def __init__(self, given: Iterable[Path | Subject], *, data_root: Path | None = None, device: str = "auto") -> None:
        """Take runs by path, and subjects.

        Raises:
            InputError: There is nothing, or no run at a path.
        """
        self._make: dict[str, Callable[[], OpenSubject]] = {}
        self._lock = threading.Lock()
        self.all: dict[str, OpenSubject] = {}
        for one in given:
            if isinstance(one, Path):
                _check_run(one)
            name = one.resolve().name if isinstance(one, Path) else one.name
            self._add(_free(slug([name]), self._make), one, data_root, device)
        if not self._make:
            raise InputError("there is nothing to show, expected a run or a network with images.")

    def _add(self, key: str, one: Path | Subject, data_root: Path | None, device: str) -> None:
        run = None if isinstance(one, Path) else one.run
        place: dict[str, Any] = {"path": one} if isinstance(one, Path) else {"subject": one}
        if run is not None:
            place = {"path": run.path}  # opened anew, once it has changed
        self._make[key] = lambda: OpenSubject(key, **place, data_root=data_root, device=device)
        first = {**place, "subject": one} if run is not None else place
        self.all[key] = OpenSubject(key, **first, data_root=data_root, device=device)

    def get(self, name: str) -> OpenSubject:
        """Return a subject by its name.

        Raises:
            Refusal: There is none.
        """
        if name not in self.all:
            raise Refusal(404, f"there is no subject '{name[:60]}'; those shown are {', '.join(self.all)}.")
        return self.all[name]

    def refresh(self) -> None:
        """Open anew what has changed on disk since it was opened."""
        with self._lock:
            for key, one in self.all.items():
                if one.path is not None and stamp_of(one.path) != one.stamp:
                    one.queue.close(seconds=0)
                    self.all[key] = self._make[key]()

    def cancel(self, job: str, page: str = "") -> bool:
        """Cancel a job, of whatever subject, for a page."""
        return any(one.queue.cancel(job, page) for one in self.all.values())

    def warm(self) -> None:
        """Load torch, the data and the models, before they are asked for; what fails is said when it is asked for."""
        for one in list(self.all.values()):
            try:
                if one.kind != "unfinished" and not one.problem:
                    one.warm()
            except Exception as error:
                say(f"glassnet: {one.name} cannot be shown in full: {error}")

    def close(self) -> None:
        """End all work."""
        for one in self.all.values():
            one.queue.close()


def _check_run(path: Path) -> None:
    if not is_unfinished(path):
        RunDirectory.open(path)


def _free(name: str, taken: Iterable[str]) -> str:
    """Return the name, or the first of name-2, name-3 … that is free."""
    used = set(taken)
    return next(one for one in itertools.chain([name], (f"{name}-{i}" for i in itertools.count(2))) if one not in used)
