"""The page as a static folder: the built page, and the app's own answers for chosen images and layers as files.

    DIR/index.html, assets/   the page as it is built, which a mark in its head tells that it is an export
    DIR/data/index.json       each answer by its request, as in "GET /subjects/digits/labels?part=test"
    DIR/data/*                their bodies; equal ones lie there once

What is not among the answers needs the model, and the page says so.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import shutil
from collections.abc import Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from fastapi import FastAPI

from glassnet.console import printable, progress, say
from glassnet.errors import InputError
from glassnet.explorer.app import STATIC, create_app
from glassnet.explorer.export_plan import (
    Request,
    chosen_numbers,
    comparisons,
    layers_of,
    listed_embeddings,
    opened_first,
    pages_of,
    requests_of,
    requests_of_image,
)
from glassnet.explorer.subjects import Subjects
from glassnet.files import cannot_write, scratch_folder, writable_target, write_json

MARK = '<meta name="glassnet-export" content="data/">'
SUFFIXES = {"application/json": "json", "image/png": "png", "image/webp": "webp"}
_WAIT_SECONDS = 5


@dataclass(frozen=True)
class Exported:
    """What was exported.

    Attributes:
        folder: Where it lies.
        answers: How many answers.
        bytes: That they take.
        left_out: By request, why it is not there.
    """

    folder: Path
    answers: int
    bytes: int
    left_out: Mapping[str, str]


def export(
    subjects: Subjects, folder: Path, *, images: str = "", layers: Sequence[str] = (), static: Path = STATIC
) -> Exported:
    """Write the page over some subjects as a folder that any web server shows; an earlier export there is replaced.

    Args:
        subjects: What is shown.
        folder: Where to.
        images: Test images whose maps and neighbours are there, as `glassnet explain --images` takes them.
        layers: Layers whose embeddings are there; the usual ones if none are named.
        static: Folder of the built page.

    Raises:
        InputError: The page was not built, the folder holds something else, or images and layers are unknown.
    """
    _check_target(folder, static)
    app = create_app(subjects, static=static, warm=False)
    try:
        with scratch_folder(folder.parent, folder.name) as scratch:
            built = scratch / "export"
            shutil.copytree(static, built)
            _mark(built / "index.html")
            exported = _finished(_written(app, subjects, built / "data", images, layers))
            if folder.exists():
                folder.rename(scratch / "before")
            built.rename(folder)
    except OSError as error:
        raise cannot_write(folder, error) from None
    finally:
        subjects.close()
    return Exported(folder, **exported)


def _finished(work: Coroutine[Any, Any, dict[str, Any]]) -> dict[str, Any]:
    """Run a coroutine to its end, in a thread of its own where this thread has a running loop, as a notebook has."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


def _check_target(folder: Path, static: Path) -> None:
    """Refuse a folder that holds anything but an earlier export, and a page that is not there."""
    writable_target(folder, "--export", folder=True)
    if not (static / "index.html").is_file():
        raise InputError("the page was not built, so nothing can be exported: `cd web && npm ci && npm run build`.")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / "data" / "index.json").is_file():
        raise InputError(f"--export is {folder}, which holds other files; give a new folder, or an earlier export.")


def _mark(page: Path) -> None:
    """Tell the page that it is an export."""
    text = page.read_text(encoding="utf-8")
    page.write_text(re.sub("<head[^>]*>", lambda head: head[0] + MARK, text, count=1), encoding="utf-8")


async def _written(app: FastAPI, subjects: Subjects, folder: Path, images: str, asked: Sequence[str]) -> dict[str, Any]:
    """Ask for all that an export holds, and write the answers; return how much there is."""
    folder.mkdir()
    numbers = await asyncio.to_thread(chosen_numbers, subjects, images)
    of_subjects = {name: await asyncio.to_thread(layers_of, one, asked) for name, one in subjects.all.items()}
    wanted = [Request("/session")]
    for name, opened in subjects.all.items():
        wanted += await asyncio.to_thread(lambda *given: list(requests_of(*given)), opened, numbers, of_subjects[name])
    wanted += comparisons(subjects)
    index: dict[str, Any] = {}
    left_out: dict[str, str] = {}
    with progress("exporting", len(wanted)) as advance:
        while wanted:
            request = wanted.pop(0)
            if request.key in index:
                continue
            status, headers, body = await ask(app, request)
            if status == 200:
                body = _as_exported(request, body, of_subjects)
                index[request.key] = _entry(folder, headers, body)
                wanted += [*pages_of(request, body), *listed_embeddings(request, body)]
                for name, number in opened_first(request, body):
                    of = subjects.get(name)
                    wanted += await asyncio.to_thread(
                        lambda *given: list(requests_of_image(*given)), of, number, of_subjects[name]
                    )
            else:
                left_out[request.key] = printable(str(json.loads(body)["error"]), lines=False)
            advance()
    write_json(folder / "index.json", index)
    if left_out:
        say(f"left out: {len(left_out):,} answers, as {next(iter(left_out))}: {next(iter(left_out.values()))}")
    size = sum(file.stat().st_size for file in folder.iterdir())
    return {"answers": len(index), "bytes": size, "left_out": left_out}


def _entry(folder: Path, headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
    """Write a body, unless an equal one lies there, and describe the answer."""
    media = headers.get("content-type", "application/octet-stream").partition(";")[0]
    name = f"{hashlib.blake2b(body, digest_size=12).hexdigest()}.{SUFFIXES.get(media, 'bin')}"
    (folder / name).write_bytes(body)
    arrays, meta = (json.loads(headers[key]) if key in headers else None for key in ("x-arrays", "x-meta"))
    return {"file": name, "type": media, "arrays": arrays, "meta": meta}


def _as_exported(request: Request, body: bytes, layers: Mapping[str, Sequence[str]]) -> bytes:
    """Say that this is an export, and list of the embeddings those that are in it."""
    if request.path == "/session":
        return json.dumps({**json.loads(body), "exported": True}).encode()
    if not request.path.endswith("/embeddings"):
        return body
    names = layers[request.path.split("/")[2]]
    return json.dumps({"embeddings": [one for one in json.loads(body)["embeddings"] if one["layer"] in names]}).encode()


async def ask(app: FastAPI, request: Request) -> tuple[int, dict[str, str], bytes]:
    """Return the application's answer: status, headers by their names in lower case, and body."""
    while True:
        status, headers, body = await _once(app, request)
        if status != 202:
            return status, headers, body


async def _once(app: FastAPI, request: Request) -> tuple[int, dict[str, str], bytes]:
    query = urlencode({**request.params, "wait": _WAIT_SECONDS})
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http",
        "path": f"/api{request.path}", "raw_path": b"", "root_path": "", "query_string": query.encode(),
        "headers": [], "client": ("export", 0), "server": ("export", 80),
    }  # fmt: skip
    status, headers, body = 500, dict[str, str](), bytearray()

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
            headers.update((name.decode().lower(), value.decode()) for name, value in message["headers"])
        body.extend(message.get("body", b""))

    await app(scope, receive, send)
    return status, headers, bytes(body)
