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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from fastapi import FastAPI

from glassnet.console import printable, progress, say
from glassnet.errors import InputError
from glassnet.explorer.app import STATIC, create_app
from glassnet.explorer.shown import OpenSubject, Subjects
from glassnet.files import cannot_write, scratch_folder, writable_target, write_json

Params = Mapping[str, str | int]
MARK = '<meta name="glassnet-export" content="data/">'
SUFFIXES = {"application/json": "json", "image/png": "png", "image/webp": "webp"}
PICTURES = (("tsne", 2), ("pca", 2), ("pca", 3))
"""Methods and dimensions of the embeddings of each layer."""
CHOSEN_IMAGES, NEIGHBOURS = 24, 24
_WAIT_SECONDS = 5
_RESERVED = re.compile("[;/?:@&=+$,#]")


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


@dataclass(frozen=True)
class Request:
    """A request that the page makes of a subject, or of all.

    Attributes:
        path: Below /api, with the subject's name as it is.
        params: Its query.
        aligned: Of a list of embeddings, the layer that the others are turned onto.
    """

    path: str
    params: Params = field(default_factory=dict)
    aligned: str = ""

    @property
    def key(self) -> str:
        """Its name in the index, as `keyOf` in web/src/api/exported.ts makes it."""
        pieces = [_RESERVED.sub(lambda one: quote(one[0], safe=""), piece) for piece in self.path.split("/")]
        query = "&".join(f"{name}={self.params[name]}" for name in sorted(self.params))
        return f"GET {'/'.join(pieces)}{f'?{query}' if query else ''}"


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
            exported = asyncio.run(_written(app, subjects, built / "data", images, layers))
            if folder.exists():
                folder.rename(scratch / "before")
            built.rename(folder)
    except OSError as error:
        raise cannot_write(folder, error) from None
    finally:
        subjects.close()
    return Exported(folder, **exported)


def _check_target(folder: Path, static: Path) -> None:
    """Refuse a folder that holds anything but an earlier export, and a page that is not there."""
    writable_target(folder, "--export", folder=True)
    if not (static / "index.html").is_file():
        raise InputError(
            "the page was not built, so that nothing can be exported: `cd web && npm ci && npm run build`."
        )
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
    of_subjects = {name: await asyncio.to_thread(_layers, one, asked) for name, one in subjects.all.items()}
    wanted = [Request("/session")]
    for name, opened in subjects.all.items():
        wanted += await asyncio.to_thread(lambda *given: list(requests_of(*given)), opened, numbers, of_subjects[name])
    wanted += _comparisons(subjects)
    index: dict[str, Any] = {}
    left_out: dict[str, str] = {}
    with progress("exporting", len(wanted)) as advance:
        while wanted:
            request = wanted.pop(0)
            status, headers, body = await ask(app, request)
            if status == 200:
                body = _as_exported(request, body, of_subjects)
                index[request.key] = _entry(folder, headers, body)
                wanted += _pages(request, body) + _sizes(request, body)
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


def _pages(request: Request, body: bytes) -> list[Request]:
    """Return the pages of thumbnails that an atlas names."""
    if not request.path.endswith("/atlas"):
        return []
    atlas = json.loads(body)
    return [
        Request(f"{request.path}/{page}", {**request.params, "digest": atlas["digest"]})
        for page in range(atlas["pages"])
    ]


def _sizes(request: Request, body: bytes) -> list[Request]:
    """Return the embeddings that are listed, as the page asks for them: with all their settings."""
    if not request.path.endswith("/embeddings"):
        return []
    base = request.path.removesuffix("s")
    keys = ("layer", "method", "dims", "images", "seed", "perplexity")
    found = []
    for one in json.loads(body)["embeddings"]:
        params = {**request.params, **{key: _plain(one[key]) for key in keys if one[key] is not None}}
        onto = request.aligned if one["layer"] != request.aligned else ""
        found += [Request(base, params), *([Request(base, {**params, "align": onto})] if onto else [])]
    return found


def _plain(value: Any) -> str | int:
    """Write a number as JavaScript does."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else value


def chosen_numbers(subjects: Subjects, images: str) -> list[int]:
    """Return the numbers of the test images that are shown one by one: of all subjects together, each once.

    Raises:
        InputError: The words are no indices and no rule.
    """
    from glassnet.analysis.selection import is_file, select

    numbers: dict[int, None] = {}
    for opened in _finished(subjects):
        subject = opened.subject
        if images and is_file(images):
            raise InputError(f"--images is {images}, expected indices as in 3,14,15, or a rule as in first:24.")
        explain = subject.task.views().explain
        usual = f"{explain.images.partition(':')[0]}:{CHOSEN_IMAGES}" if subject.labelled else f"first:{CHOSEN_IMAGES}"
        for group in select(subject, images or usual, "test", "fp32", opened.context()):
            numbers |= dict.fromkeys(group.split.numbers.tolist())
    return list(numbers)


def _finished(subjects: Subjects) -> Iterator[OpenSubject]:
    return (one for one in subjects.all.values() if one.kind != "unfinished" and not one.problem)


def requests_of(opened: OpenSubject, numbers: Iterable[int], names: Sequence[str]) -> Iterator[Request]:
    """Yield what the page asks of a subject, for the test part, these images and these layers."""
    base, part = f"/subjects/{opened.id}", {"part": "test"}
    yield from (Request(base), Request(f"{base}/training"))
    if opened.kind == "unfinished" or opened.problem:
        return
    info = opened.info()
    yield from (Request(f"{base}/{route}", part) for route in ("labels", "atlas", "names", "columns"))
    yield Request(f"{base}/network")
    if "mistakes" in info.views:
        yield from (Request(f"{base}/label-errors", {**part, "layer": name}) for name in names)
    if "embedding" in info.views:
        yield Request(f"{base}/scores", part)
        yield from _embeddings(base, names, info.default_layer)
        yield Request(f"{base}/embeddings", part, info.default_layer or "")  # when all of them are there
    if info.task == "reconstruction":
        yield Request(f"{base}/latents", part)
    known = set(opened.part("test").numbers.tolist())
    for number in numbers:
        if number in known:
            yield from _of_image(opened, base, number, names)


def _layers(opened: OpenSubject, layers: Sequence[str]) -> list[str]:
    """Return the layers of an export: those that are named, or the default one and those whose maps are shown.

    Raises:
        InputError: There is no such layer.
    """
    if opened.kind == "unfinished" or opened.problem:
        return []
    info = opened.info()
    if layers:
        from glassnet.models.layers import select_layers

        asked = set(select_layers(opened.model(), list(layers)))
    else:
        asked = {*info.map_layers, *([info.default_layer] if info.default_layer else [])}
    return [layer.name for layer in info.layers if layer.name in asked]


def _embeddings(base: str, names: Sequence[str], default: str | None) -> Iterator[Request]:
    """Yield the pictures of the layers, each as it is, and turned onto the default layer's."""
    for name in names:
        for method, dims in PICTURES:
            params: dict[str, str | int] = {"part": "test", "layer": name, "method": method, "dims": dims}
            yield Request(f"{base}/embedding", params)
            if default is not None and name != default:
                yield Request(f"{base}/embedding", {**params, "align": default})


def _of_image(opened: OpenSubject, base: str, number: int, names: Sequence[str]) -> Iterator[Request]:
    """Yield what the page asks of one image."""
    info, part = opened.info(), {"part": "test"}
    yield from (Request(f"{base}/{route}/{number}", part) for route in ("picture", "pixels", "image"))
    for layers, methods, target in _maps(opened):
        asked = {**part, "layers": layers, "methods": methods, "target": target}
        yield Request(f"{base}/maps/{number}", asked)
    mapped = [layer.name for layer in info.layers if layer.map and layer.name in names]
    yield from (Request(f"{base}/channels/{number}", {**part, "layer": name}) for name in mapped)
    count: dict[str, str | int] = {**part, "count": NEIGHBOURS}
    yield from (Request(f"{base}/neighbours/{number}", {**count, "layer": name}) for name in names)
    if info.task == "segmentation":
        yield Request(f"{base}/segmentation/{number}", part)
    if info.task == "reconstruction":
        from glassnet.explorer.reconstructed import strengths

        yield Request(f"{base}/reconstruction/{number}", part)
        noises = strengths(opened.subject)
        yield from (Request(f"{base}/reconstruction/{number}", {**part, "noise": noise}) for noise in noises)


def _maps(opened: OpenSubject) -> Iterator[tuple[str, str, str]]:
    """Yield layers, methods and target of the maps that the page asks for: all at once, and each alone."""
    info = opened.info()
    layers, methods = info.map_layers, info.default_methods
    target = info.targets[0] if info.targets else "predicted"
    yield ",".join(layers), ",".join(methods), target
    for layer in layers:
        yield from ((layer, method, target) for method in methods)
    if info.task == "segmentation":
        yield from ((layer, methods[0], name) for layer in layers[-1:] for name in info.classes)


def _comparisons(subjects: Subjects) -> list[Request]:
    """Return the comparisons of each two subjects that have such a view."""
    compared = [one.id for one in _finished(subjects) if "compare" in one.info().views]
    pairs = [(first, second) for first in compared for second in compared if first != second]
    return [
        Request(route, {"first": first, "second": second, "part": "test"})
        for first, second in pairs
        for route in ("/compare", "/cka")
    ]


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
