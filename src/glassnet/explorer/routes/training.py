"""How a subject was trained, its network, and two subjects compared."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from glassnet.explorer.asked import Opened, Part, Wait, all_subjects, as_json, computed
from glassnet.explorer.schemas import Cka, Comparison, Network, Training
from glassnet.explorer.shown import OpenSubject, Refusal
from glassnet.explorer.training import network_of, training_of

ROUTER = APIRouter()
Name = Annotated[str, Query(min_length=1, max_length=200, description="Name of a subject.")]


@ROUTER.get("/subjects/{subject}/training")
def training(request: Request, subject: str) -> Training:
    """Give the curves and settings of a training, also of one that goes on."""
    opened = all_subjects(request).get(subject)
    if opened.path is not None and not opened.path.is_dir():
        raise Refusal(410, f"the run {opened.name} was removed while it was shown; put it back, or close this page.")
    if opened.kind != "unfinished":
        if opened.manifest is None and not opened.problem and opened.path is not None:
            opened.refresh()  # it has just been finished
        opened.check()
    return training_of(opened)


@ROUTER.get("/subjects/{subject}/network")
def network(opened: Opened) -> Network:
    """Give the network, layer by layer."""
    return network_of(opened)


@ROUTER.get("/compare", responses=as_json(Comparison), response_class=Response)
async def compare(request: Request, first: Name, second: Name, part: Part = "test", *, wait: Wait) -> Response:
    """Say where two classifiers disagree on the same images."""
    one, other = _both(request, first, second)
    what = f"{one.name} and {other.name} compared"
    key = ("compare", second, other.version(), part)
    return await computed(one, key, what, lambda: _compare(one, other, part), wait=wait)


def _compare(one: OpenSubject, other: OpenSubject, part: Part) -> Comparison:
    from glassnet.explorer.comparing import compare

    return compare(one, other, part)


@ROUTER.get("/cka", responses=as_json(Cka), response_class=Response)
async def cka(
    request: Request,
    first: Name,
    second: Name,
    part: Part = "test",
    images: Annotated[int, Query(ge=4, le=20_000)] = 1000,
    *,
    wait: Wait,
) -> Response:
    """Say how alike the layers of two subjects see the same images."""
    one, other = _both(request, first, second)
    what = f"layers of {one.name} and {other.name} compared"
    key = ("cka", second, other.version(), part, images)
    return await computed(one, key, what, lambda: _cka(one, other, part, images), wait=wait)


def _cka(one: OpenSubject, other: OpenSubject, part: Part, images: int) -> Cka:
    from glassnet.explorer.comparing import alike

    return alike(one, other, part, images)


def _both(request: Request, first: str, second: str) -> tuple[OpenSubject, OpenSubject]:
    subjects = all_subjects(request)
    one, other = subjects.get(first), subjects.get(second)
    one.check()
    other.check()
    return one, other
