"""The application: routes, errors as one sentence, and the built page."""

from __future__ import annotations

import html
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.staticfiles import StaticFiles

from glassnet import __version__
from glassnet.console import printable, say
from glassnet.errors import GlassnetError, InputError
from glassnet.explorer import schemas
from glassnet.explorer.jobs import without_frames
from glassnet.explorer.routes import ROUTERS
from glassnet.explorer.shown import Refusal
from glassnet.explorer.subjects import Subjects

WARM_AFTER_SECONDS = 2.5
STATIC = Path(__file__).parent / "static"
_SENTENCES = {
    404: "there is nothing at this address; reload the page.",
    405: "this address does not take such a request; reload the page.",
}


def create_app(subjects: Subjects, *, static: Path = STATIC, warm: bool = True) -> FastAPI:
    """Return the application over some subjects.

    Args:
        subjects: What is shown.
        static: Folder of the built page.
        warm: Whether to load torch and data in a thread once the server listens.
    """

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        later = _later(subjects.warm)
        if warm:
            later.start()
        yield
        later.cancel()
        subjects.close()

    app = FastAPI(
        title="glassnet explorer",
        version=__version__,
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.subjects = subjects
    for router in ROUTERS.values():
        app.include_router(router, prefix="/api")
    for kind, handler in _HANDLERS.items():
        app.add_exception_handler(kind, handler)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    app.mount("/", _Page(lambda: subjects.refresh(), directory=static, html=True, check_dir=False))
    return app


def _later(warm: Callable[[], None]) -> threading.Timer:
    """Return what loads torch and data when the page has its first picture: until then it needs all cores itself.

    Whatever a page asks for that needs them is not made to wait: the request loads them.
    """
    timer = threading.Timer(WARM_AFTER_SECONDS, warm)
    timer.daemon, timer.name = True, "explorer-warm"
    return timer


def _openapi(app: FastAPI) -> dict[str, Any]:
    """Describe the routes, and all answers, also those that travel in headers."""
    if app.openapi_schema is None:
        app.openapi_schema = get_openapi(title=app.title, version=app.version, routes=app.routes)
        answers = [one for one in vars(schemas).values() if isinstance(one, type) and issubclass(one, schemas.Answer)]
        described = models_json_schema(
            [(one, "serialization") for one in answers if one is not schemas.Answer],
            ref_template="#/components/schemas/{model}",
        )[1]
        app.openapi_schema.setdefault("components", {}).setdefault("schemas", {}).update(described["$defs"])
    return app.openapi_schema


class _Page(StaticFiles):
    """The built page; where there is none, a page that says how to build it."""

    def __init__(self, opened: Callable[[], None], **options: Any) -> None:
        """Take what is done whenever the page is opened, and what `StaticFiles` takes."""
        super().__init__(**options)
        self._opened = opened

    async def get_response(self, path: str, scope: Any) -> Response:
        """Return a file below the folder."""
        if path in (".", "index.html"):
            await run_in_threadpool(self._opened)
        try:
            response = await super().get_response(path, scope)
        except HTTPException as error:
            if error.status_code == 404 and path in (".", "index.html", "404.html"):
                return HTMLResponse(_NOT_BUILT)
            raise
        named = "/assets/" in scope["path"]  # their names change where they do
        response.headers["Cache-Control"] = "private, max-age=31536000, immutable" if named else "no-cache"
        return response


_NOT_BUILT = f"""<!doctype html><html lang="en"><meta charset="utf-8"><title>glassnet</title>
<h1>The page was not built</h1>
<p>This copy of glassnet {html.escape(__version__)} has the server of the explorer, but not its page.
Build it with Node 20: <code>cd web &amp;&amp; npm ci &amp;&amp; npm run build</code>, and reload.</p></html>"""


def _sentence(status: int, text: str) -> JSONResponse:
    return JSONResponse({"error": printable(text, lines=False)}, status)


async def _failed(_request: Request, error: Exception) -> Response:
    without_frames(error)  # a job keeps it for all who ask
    if isinstance(error, Refusal):
        return _sentence(error.status, str(error))
    return _sentence(400 if isinstance(error, InputError) else 500, str(error))


async def _unusable(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    name = str(first["loc"][-1])
    return _sentence(400, f"{name} cannot be used: {first['msg'][:1].lower()}{first['msg'][1:]}.")


async def _http(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _sentence(error.status_code, _SENTENCES.get(error.status_code, str(error.detail)))


async def _unforeseen(request: Request, error: Exception) -> Response:
    lines = str(error).strip().splitlines()
    text = f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__
    say(f"glassnet: {request.url.path} failed: {text}")
    return _sentence(500, f"the server failed: {text.rstrip('.')}.")


_HANDLERS: dict[type[Exception], Any] = {
    GlassnetError: _failed,
    RequestValidationError: _unusable,
    HTTPException: _http,
    Exception: _unforeseen,
}
