"""What all routes share: the subject that an address names, computed answers, bodies, and what OpenAPI says of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, TypeVar
from weakref import WeakKeyDictionary

from fastapi import Depends, Path, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from glassnet.errors import Cancelled
from glassnet.explorer.arrays import BINARY, Arrays
from glassnet.explorer.described import PartName
from glassnet.explorer.jobs import Job, Work
from glassnet.explorer.schemas import Answer
from glassnet.explorer.schemas import Job as JobAnswer
from glassnet.explorer.security import LARGEST_BODY
from glassnet.explorer.shown import OpenSubject, Refusal
from glassnet.explorer.subjects import Subjects

LONGEST_WAIT = 5.0
LOOKED_SECONDS = 0.1
"""Between two looks at whether a client has gone."""
SMALL_BODY = 1 << 16
"""Bytes that a page may send in any case."""
LARGE_BODIES = 4
"""Files that are received at once."""
_LET_IN: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()
T = TypeVar("T")


def all_subjects(request: Request) -> Subjects:
    """Return all that is shown."""
    subjects: Subjects = request.app.state.subjects
    return subjects


def page_of(request: Request) -> str:
    """Name the page that asks: each draws its own name when it is loaded; empty for other programs."""
    return request.headers.get("x-page", "")[:40]


async def _opened(request: Request, subject: Annotated[str, Path(max_length=200)]) -> OpenSubject:
    opened = all_subjects(request).get(subject)
    opened.check()
    return opened


Opened = Annotated[OpenSubject, Depends(_opened)]
"""The subject that the address names; 404 where there is none, 410 where it is gone."""


@dataclass(frozen=True)
class Waiting:
    """How long a request may be held, and whose it is.

    Attributes:
        request: Is asked whether its client is still there.
        seconds: That it may be held.
    """

    request: Request
    seconds: float

    async def on(self, job: Job) -> None:
        """Wait for a job as long as may be; where the client leaves meanwhile, it no longer asks for it."""
        over = asyncio.create_task(job.wait(self.seconds))
        left = asyncio.create_task(_left(self.request))
        try:
            await asyncio.wait((over, left), return_when=asyncio.FIRST_COMPLETED)
            has_left = not over.done()
        finally:
            over.cancel()
            left.cancel()
            await asyncio.gather(over, left, return_exceptions=True)
        if has_left:
            job.leave()


async def _left(request: Request) -> None:
    """Return once the client has gone."""
    while not await request.is_disconnected():
        await asyncio.sleep(LOOKED_SECONDS)


_Seconds = Annotated[float, Query(ge=0, le=LONGEST_WAIT, description="Seconds that the server may hold the request.")]


def _waiting(request: Request, wait: _Seconds = 0) -> Waiting:
    return Waiting(request, wait)


Wait = Annotated[Waiting, Depends(_waiting)]
Number = Annotated[int, Path(ge=0, lt=2**31, description="Stable number of the image in its part.")]
Part = Annotated[PartName, Query(description="Part of the images.")]


async def computed(
    opened: OpenSubject,
    key: tuple[Hashable, ...],
    what: str,
    run: Callable[[], Arrays | Answer],
    *,
    wait: Waiting,
    short: bool = False,
) -> Response:
    """Answer with a result, or with 202 and how far the work is.

    Args:
        opened: In whose queue it is done.
        key: All that decides the result; two requests with one key share one job.
        what: What is done, in a few words.
        run: Does it, in a thread of the queue.
        wait: How long to wait for it, and for whom.
        short: Whether it is of one image and goes before long work.

    Raises:
        GlassnetError: It failed.
    """
    job = opened.queue.ask(Work((opened.version(), *key), what, run, short), page_of(wait.request))
    if not job.is_over and wait.seconds > 0:
        await wait.on(job)
    if job.reply is not None:
        return job.reply.response()
    if job.error is None or isinstance(job.error, Cancelled):
        answer = job.answer(opened.queue.before(job))
        return Response(answer.model_dump_json(), 202, media_type="application/json")
    opened.check()  # a run that was removed meanwhile says so
    raise job.error


async def pixels_of(request: Request, opened: OpenSubject) -> bytes:
    """Read the body of a request that sends pixels, and a mask perhaps.

    Raises:
        Refusal: It is much larger than an image of the subject.
    """
    channels, height, width = (await run_in_threadpool(lambda: opened.basics)).image_shape
    return await body_of(request, min(LARGEST_BODY, max(2 * (channels + 1) * height * width, SMALL_BODY)))


def few_at_once() -> asyncio.Semaphore:
    """Return what lets few large bodies in at once; the others wait in the network, not in memory."""
    return _LET_IN.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(LARGE_BODIES))


async def alone(run: Callable[[], T]) -> T:
    """Do something large that a page sends in a thread of its own, one after the other, so that memory is bounded."""
    return await asyncio.get_running_loop().run_in_executor(_one_thread(), run)


@cache
def _one_thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, "explorer-alone")


async def body_of(request: Request, most: int = LARGEST_BODY) -> bytes:
    """Read the body of a request.

    Raises:
        Refusal: It is larger than `most` bytes.
    """
    pieces, size = [], 0
    async for piece in request.stream():
        pieces.append(piece)
        size += len(piece)
        if size > most:
            raise Refusal(413, f"the upload is larger than {most:,} bytes; send a smaller one.")
    return b"".join(pieces)


def binary(about: str, *, is_computed: bool = True) -> dict[int | str, dict[str, Any]]:
    """Describe a binary answer for OpenAPI."""
    schema = {"schema": {"type": "string", "format": "binary"}}
    answers: dict[int | str, dict[str, Any]] = {200: {"description": about, "content": {BINARY: schema}}}
    return answers | ({202: {"model": JobAnswer}} if is_computed else {})


def as_json(answer: type[Answer]) -> dict[int | str, dict[str, Any]]:
    """Describe a computed JSON answer for OpenAPI."""
    return {200: {"model": answer}, 202: {"model": JobAnswer}}
