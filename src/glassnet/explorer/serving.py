"""The server: a free port on this machine, an address with a token, and a browser where there is a display."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import sys
import threading
import webbrowser
from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING

from glassnet.console import say
from glassnet.errors import InputError
from glassnet.explorer.security import Guard

if TYPE_CHECKING:
    import uvicorn

    from glassnet.explorer.subjects import Subjects

LOCAL_HOSTS = ("127.0.0.1", "localhost", "::1")
_CLOSING_SECONDS = 1
NOTEBOOK_FRAMES = "'self' http://localhost:* http://127.0.0.1:* https://localhost:*"
"""Pages that may show the explorer in a frame where a notebook has opened it."""


def require_packages() -> None:
    """Refuse to start without the packages of the extra.

    Raises:
        InputError: One is missing.
    """
    for name in ("fastapi", "uvicorn"):
        if find_spec(name) is None:
            raise InputError(f"the explorer needs {name}; install it with `pip install 'glassnet[explore]'`.")


class Server:
    """A server that listens: its address, and how it runs and ends."""

    def __init__(self, subjects: Subjects, *, host: str, port: int, frames: str = "'self'") -> None:
        """Listen at a port; what is asked from now on waits until it runs.

        Raises:
            InputError: The port is taken, or the host is none of this machine's.
        """
        self._socket = _listening(host, port)
        self._subjects = subjects
        self.guard = Guard(self._socket.getsockname()[1], host, frames=frames)
        self._server: uvicorn.Server | None = None
        self._is_closed = False
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """The address to open, with its token."""
        return self.guard.url

    def run(self) -> None:
        """Serve until Ctrl-C."""
        log = logging.getLogger("uvicorn.error")
        log.addFilter(self._unless_closing)
        try:
            with contextlib.suppress(KeyboardInterrupt):
                self._server = self._server or self._built()
                self._server.should_exit = self._is_closed
                self._server.run(sockets=[self._socket])
        finally:
            log.removeFilter(self._unless_closing)
            self._socket.close()

    def _built(self) -> uvicorn.Server:
        """Build the application, when the address is known: a browser starts meanwhile."""
        import uvicorn

        from glassnet.explorer.app import create_app

        self.guard.app = create_app(self._subjects)
        config = uvicorn.Config(
            self.guard,
            log_level="warning",
            access_log=False,
            lifespan="on",
            ws="none",
            timeout_graceful_shutdown=_CLOSING_SECONDS,
            server_header=False,
        )
        return uvicorn.Server(config)

    def _unless_closing(self, _record: logging.LogRecord) -> bool:
        """Keep a message to itself once it ends: uvicorn reports each request dropped then with a traceback."""
        return self._server is None or not self._server.should_exit

    def start(self) -> None:
        """Serve in a thread, until `close`.

        The application is built here: FastAPI silences warnings while it is, which is of no use from another thread.
        """
        self._server = self._built()
        self._thread = threading.Thread(target=self.run, daemon=True, name="explorer-server")
        self._thread.start()

    def close(self) -> None:
        """End serving."""
        self._is_closed = True
        if self._server is not None:
            self._server.should_exit = True
        if self._thread is not None:
            self._thread.join(_CLOSING_SECONDS + 4)


def serve(
    subjects: Subjects,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    browser: bool = True,
    started: Callable[[str], None] = lambda _url: None,
) -> str:
    """Serve some subjects until Ctrl-C, and return the address.

    Args:
        subjects: What is shown.
        host: Address of this machine that is listened at.
        port: Port; 0 takes a free one.
        browser: Whether to open the page in a browser, where there is a display.
        started: Is called with the address once it listens.

    Raises:
        InputError: The port is taken, or the host is none of this machine's.
    """
    server = Server(subjects, host=host, port=port)
    say(f"The explorer is at {server.url}")
    if host not in LOCAL_HOSTS:
        say(f"Other machines that reach {host} can open it with this token; the connection is not encrypted.")
    say("Ctrl-C ends it.")
    started(server.url)
    if browser and has_display():
        threading.Thread(target=webbrowser.open, args=(server.url,), daemon=True).start()
    server.run()
    say("The explorer is closed.")
    return server.url


def has_display() -> bool:
    """Tell whether a browser window can be seen."""
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _listening(host: str, port: int) -> socket.socket:
    """Return a socket that listens at a port, or at a free one for 0.

    Raises:
        InputError: It cannot be had.
    """
    listening = None
    try:
        place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listening = socket.socket(
            *place[:3]
        )  # named as TCP, or asyncio leaves out TCP_NODELAY, and an answer waits 40 ms
        if os.name == "posix":
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(place[4])
        listening.listen(128)
    except (OSError, OverflowError, UnicodeError) as error:
        if listening is not None:
            listening.close()
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(
            f"cannot listen at {host}, port {port} ({reason}); give another --port, or leave it out for a free one."
        ) from None
    return listening
