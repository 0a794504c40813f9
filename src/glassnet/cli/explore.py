"""`glassnet explore`: the local web app over runs, or over a network with images."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from glassnet.cli import Answer
from glassnet.explorer.serving import require_packages, serve
from glassnet.settings import ExploreSettings

if TYPE_CHECKING:
    from glassnet.explorer.subjects import Subjects
    from glassnet.subject import Subject


def explore(settings: ExploreSettings) -> Answer:
    """Serve the page until Ctrl-C, or write it as a folder.

    Raises:
        InputError: There is no such run or network, the port is taken, or nothing can be written to the folder.
    """
    require_packages()
    from glassnet.explorer.subjects import Subjects

    given = [one for name in settings.run for one in _given(settings, name)]
    subjects = Subjects(given, data_root=settings.data_root, device=settings.device)
    if settings.export is not None:
        return _exported(settings, subjects, settings.export)
    url = serve(subjects, host=settings.host, port=settings.port, browser=settings.browser)
    return Answer("", {"url": url.partition("?")[0], "subjects": list(subjects.all)})


def _given(settings: ExploreSettings, name: Path) -> list[Path | Subject]:
    """Return a run by its path, as it is: the page is served before torch is loaded, which a network needs at once."""
    if name.is_dir():
        return [name]
    from glassnet.cli.subjects import open_subject

    return [open_subject(settings, name, images=settings.data, out=settings.out)]


def _exported(settings: ExploreSettings, subjects: Subjects, folder: Path) -> Answer:
    from glassnet.explorer.export import export

    made = export(subjects, folder, images=settings.images or "", layers=settings.layers)
    about = {"export": str(folder.resolve()), "answers": made.answers, "bytes": made.bytes, "left_out": made.left_out}
    text = f"export: {folder.resolve()}, {made.answers:,} answers, {made.bytes / 1e6:.1f} MB\n"
    return Answer(f"{text}To see it: `python -m http.server -d {shlex.quote(str(folder))}`, or any web server.", about)
