"""Who may ask: whoever has the token, under the address that is served, from a page of that address."""

from __future__ import annotations

import hmac
import html
import ipaddress
import json
import secrets
import socket
from collections.abc import Iterable
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlencode

from glassnet.console import say

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

LARGEST_BODY = 20_000_000
"""Bytes of an upload, at most."""
EVERY_ADDRESS = ("0.0.0.0", "::", "")
"""Hosts that stand for all addresses of this machine."""
LOCAL = ("localhost", "127.0.0.1", "[::1]")
_NO_TOKEN = "this page needs its token; open the address that `glassnet explore` printed, which ends in ?token=…."

_LEADS_ON = (
    b'<!doctype html><html lang="en"><meta charset="utf-8"><title>glassnet</title>'
    b'<meta http-equiv="refresh" content="0;url=/"><p><a href="/">Open the explorer</a></p></html>'
)
_IN_A_FRAME = (
    b'<!doctype html><html lang="en"><meta charset="utf-8"><title>glassnet</title>'
    b"<p>The explorer cannot be shown here, under another address than its own. "
    b'<a href="" target="_blank">Open it in a tab</a></p></html>'
)


def policy(frames: str) -> str:
    """Return the Content-Security-Policy; `frames` says which pages may show this one in a frame."""
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
        f"worker-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors {frames}"
    )


@dataclass
class Guard:
    """Lets through to an application what comes with the token, from the address served.

    Attributes:
        port: Port that is served; 0 until it is known.
        host: Host that is served.
        app: The application; it is given before anything is asked.
        token: The secret.
        frames: Which pages may show this one in a frame, as the policy has it.
    """

    port: int = 0
    host: str = "127.0.0.1"
    app: ASGIApp | None = None
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    frames: str = "'self'"

    @property
    def cookie(self) -> str:
        """Name of the cookie; cookies are shared by all ports of a host."""
        return f"glassnet-{self.port}"

    @property
    def url(self) -> str:
        """The address to open, with the token."""
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "": "127.0.0.1"}.get(self.host, _bracketed(self.host))
        return f"http://{host}:{self.port}/?{urlencode({'token': self.token})}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, refuse, or pass on with the headers that every answer has."""
        assert self.app is not None
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        begun = False

        async def sending(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                message = {**message, "headers": self._headers(message["headers"])}
            await send(message)

        problem = self._problem(scope)
        if problem is not None:
            await (_page if scope["path"] == "/" else _answer)(sending, *problem)
        elif scope["path"] == "/" and _query(scope).get("token"):
            await self._welcome(
                sending,
                from_elsewhere=_header(scope, b"sec-fetch-site") == "cross-site",
                framed=_header(scope, b"sec-fetch-dest") in ("iframe", "frame", "embed", "object"),
            )
        else:
            try:
                await self.app(scope, receive, sending)
            except Exception as error:  # the application has answered already where it could
                say(f"glassnet: {scope['method']} {scope['path']} failed: {type(error).__name__}: {error}")
                if not begun:
                    await _answer(sending, 500, "the server failed; the terminal shows the error.")

    def _problem(self, scope: Scope) -> tuple[int, str] | None:
        """Return status and sentence of a refusal; None where there is none."""
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        if not self._is_served(headers.get("host", "").lower()):
            return 403, f"the address '{headers.get('host', '')[:100]}' is not served here; open {self._plain()}."
        origin = headers.get("origin")
        scheme, _, of_page = (origin or "").lower().partition("://")
        if origin is not None and not (scheme == "http" and self._is_served(of_page)):
            return 403, f"a page of {origin[:100]} may not ask this server."
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > LARGEST_BODY:
            return 413, f"the upload is larger than {LARGEST_BODY // 1_000_000} MB; give a smaller image."
        given = _query(scope).get("token") if scope["path"] == "/" else None
        if not self._is_token(given or self._sent(headers)):
            return 403, _NO_TOKEN
        return None

    def _hosts(self) -> set[str]:
        names = {*LOCAL, _bracketed(self.host).lower()}
        return {f"{name}:{self.port}" for name in names} | (names if self.port == 80 else set())

    def _is_served(self, host: str) -> bool:
        """Tell whether a host with its port is the address served.

        Where all addresses of this machine are served, any address in numbers is one, and the machine's own name: only
        a name can be made to point elsewhere.
        """
        if host in self._hosts():
            return True
        name, _, port = host.rpartition(":")
        if self.host not in EVERY_ADDRESS or port != str(self.port):
            return False
        return name == socket.gethostname().lower() or _is_address(name.strip("[]"))

    def _plain(self) -> str:
        return self.url.partition("?")[0]

    def _sent(self, headers: dict[str, str]) -> str:
        """Return the token of a header or a cookie; empty for none."""
        kind, _, token = headers.get("authorization", "").partition(" ")
        if kind.lower() == "token":
            return token.strip()
        try:
            cookies = SimpleCookie(headers.get("cookie", ""))
        except CookieError:
            return ""
        return cookies[self.cookie].value if self.cookie in cookies else ""

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode("utf-8", "replace"), self.token.encode())

    async def _welcome(self, send: Send, *, from_elsewhere: bool, framed: bool) -> None:
        """Set the cookie and lead on to the page, so that the token leaves the address.

        Where a link of another site led here, as of a notebook at localhost, a browser sends no such cookie after a
        redirect; it does when a page of this site leads on. In a frame of another site it never does. To lead on there
        would end in a refusal, and would undo what the cell's script does: show the page under the notebook's host.
        """
        if from_elsewhere and framed:
            await _send(send, 200, _IN_A_FRAME, b"text/html; charset=utf-8")
            return
        cookie = f"{self.cookie}={self.token}; HttpOnly; SameSite=Strict; Path=/".encode()
        if from_elsewhere:
            await _send(send, 200, _LEADS_ON, b"text/html; charset=utf-8", (b"set-cookie", cookie))
        else:
            await _send(send, 303, b"", b"text/plain", (b"set-cookie", cookie), (b"location", b"/"))

    def _headers(self, own: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        own = list(own)
        usual = {
            b"content-security-policy": policy(self.frames).encode(),
            b"x-content-type-options": b"nosniff",
            b"referrer-policy": b"no-referrer",
            b"cross-origin-resource-policy": b"same-origin",
            b"cache-control": b"no-store",
        }
        present = {name.lower() for name, _ in own}
        return [*own, *((name, value) for name, value in usual.items() if name not in present)]


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def _header(scope: Scope, name: bytes) -> str:
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), "")


def _query(scope: Scope) -> dict[str, str]:
    try:
        pairs = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True, max_num_fields=50)
    except ValueError:
        return {}
    return {name: values[0] for name, values in pairs.items()}


async def _page(send: Send, status: int, sentence: str) -> None:
    """Say it to a person who opened the address."""
    text = html.escape(f"{sentence[:1].upper()}{sentence[1:]}.".replace("..", "."))
    page = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>glassnet</title><p>{text}</p></html>'
    await _send(send, status, page.encode(), b"text/html; charset=utf-8")


async def _answer(send: Send, status: int, sentence: str) -> None:
    await _send(send, status, json.dumps({"error": sentence}).encode(), b"application/json")


async def _send(send: Send, status: int, body: bytes, media: bytes, *more: tuple[bytes, bytes]) -> None:
    headers = [(b"content-type", media), (b"content-length", str(len(body)).encode()), *more]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
