"""`glassnet.explore`: the explorer from a script, which waits, or from a notebook, which shows it in a cell."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glassnet.console import say
from glassnet.drawings import in_notebook
from glassnet.errors import InputError
from glassnet.explorer.serving import NOTEBOOK_FRAMES, Server, require_packages, serve

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

    from glassnet.experiment import Run
    from glassnet.images import Images
    from glassnet.subject import Subject

_FRAME_PIXELS = 800


class Explorer:
    """The explorer in a notebook: shown in the cell, served from a thread until `close`."""

    def __init__(self, server: Server) -> None:
        """Take a server that runs."""
        self._server = server

    @property
    def url(self) -> str:
        """The address, with its token, to open in a browser of this machine."""
        return self._server.url

    def close(self) -> None:
        """End the server."""
        self._server.close()

    def __repr__(self) -> str:
        """Say where it is."""
        return f"Explorer({self.url})"

    def _repr_html_(self) -> str:
        """Show the page in a frame, under the host's name that the notebook has: cookies are of one host.

        The script alone gives the frame its address, once: of two addresses in turn, the first may win.
        """
        url, port = html.escape(self.url), self._server.guard.port
        frame = f"glassnet-{port}"
        query = html.escape(self.url.partition("?")[2])
        return (
            f'<iframe id="{frame}" title="glassnet explorer" width="100%" height="{_FRAME_PIXELS}" '
            f'style="border:1px solid #ccc"></iframe><p><a href="{url}" target="_blank">Open it in a tab</a></p>'
            f'<script>(function(){{var h=location.hostname,local=h==="localhost"||h==="127.0.0.1";'
            f'document.getElementById("{frame}").src=local?"http://"+h+":{port}/?{query}":"{self.url}";}})();</script>'
        )


def explore(
    what: nn.Module | str | Path | Run | Subject | Iterable[str | Path | Run | Subject],
    images: Images | str | Path | None = None,
    labels: Sequence[int] | np.ndarray | Tensor | None = None,
    classes: Sequence[str] | None = None,
    *,
    task: str | None = None,
    name: str | None = None,
    out: str | Path | None = None,
    host: str = "127.0.0.1",
    port: int = 0,
    browser: bool = True,
    data_root: str | Path | None = None,
    device: str = "auto",
) -> Explorer | None:
    """Open the explorer on runs, or on a network with images, in the browser.

    A script waits here until Ctrl-C. A notebook continues, and shows the page if this is the last value in a cell.

    Args:
        what: A run or its path, a `Subject`, several of these, or any network, which needs `images`.
        images: Images for a network, as `Subject` takes them.
        labels: Their labels, if there are any.
        classes: Names of the classes.
        task: What the network does, as `Subject` takes it.
        name: Name of a network on the page.
        out: Folder for a network's analyses; without it they are kept in memory only.
        host: Address to listen on; any address other than 127.0.0.1 lets other machines in, which need the token.
        port: Port to listen on; 0 picks a free one.
        browser: Whether a script opens the page in a browser, if there is a display.
        data_root: Folder that holds the data sets; default: the one used when a run was trained.
        device: Where to compute: "auto", "cpu" or "cuda".

    Returns:
        In a notebook the handle, with `.url` and `.close()`; otherwise None, after Ctrl-C.

    Raises:
        InputError: fastapi or uvicorn is missing, there is no such run, or model and images do not fit each other.
    """
    require_packages()
    from glassnet.explorer.subjects import Subjects

    if images is not None:
        from glassnet.subject import Subject

        options: dict[str, Any] = {"labels": labels, "classes": classes, "task": task, "name": name, "out": out}
        given: list[Any] = [Subject(what, images, **options)]  # type: ignore[arg-type]
    else:
        given = _listed(what)
    subjects = Subjects(given, data_root=None if data_root is None else Path(data_root), device=device)
    if not in_notebook():
        serve(subjects, host=host, port=port, browser=browser)
        return None
    server = Server(subjects, host=host, port=port, frames=NOTEBOOK_FRAMES)
    server.start()
    say(f"The explorer is at {server.url}")
    return Explorer(server)


def _listed(what: Any) -> list[Any]:
    """Return runs by their paths, and subjects as they are.

    Raises:
        InputError: It is a network without images, or nothing that can be shown.
    """
    from glassnet.experiment import Run
    from glassnet.subject import Subject

    several = list(what) if isinstance(what, list | tuple | set) else [what]
    wrong = [one for one in several if not isinstance(one, str | Path | Run | Subject)]
    if wrong:
        raise InputError(
            f"got a {type(wrong[0]).__name__}, expected a run, its path, or a subject; a network needs images, as in "
            "glassnet.explore(model, images)."
        )
    return [one if isinstance(one, Subject) else Path(getattr(one, "path", one)) for one in several]
