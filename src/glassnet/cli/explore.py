"""`glassnet explore`: the local web app over runs, or over a network with images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from glassnet.cli import Answer
from glassnet.explorer.serving import require_packages, serve
from glassnet.settings import ExploreSettings

if TYPE_CHECKING:
    from glassnet.subject import Subject


def explore(settings: ExploreSettings) -> Answer:
    """Serve the page until Ctrl-C.

    Raises:
        InputError: There is no such run or network, or the port is taken.
    """
    require_packages()
    from glassnet.explorer.shown import Subjects

    given = [one for name in settings.run for one in _given(settings, name)]
    subjects = Subjects(given, data_root=settings.data_root, device=settings.device)
    url = serve(subjects, host=settings.host, port=settings.port, browser=settings.browser)
    return Answer("", {"url": url.partition("?")[0], "subjects": list(subjects.all)})


def _given(settings: ExploreSettings, name: Path) -> list[Path | Subject]:
    """Return a run by its path, as it is: the page is served before torch is loaded, which a network needs at once."""
    if name.is_dir():
        return [name]
    from glassnet.cli.subjects import open_subject

    return [open_subject(settings, name, images=settings.data, out=settings.out)]
