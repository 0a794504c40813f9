"""What a network that names several labels an image missed and invented."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Query, Response

from glassnet.explorer.arrays import Arrays
from glassnet.explorer.asked import Opened, Part, Wait, as_json, binary, computed
from glassnet.explorer.schemas import JudgedLabels
from glassnet.explorer.shown import OpenSubject, Refusal
from glassnet.tasks.explored import explored

if TYPE_CHECKING:
    from glassnet.tasks.multilabel.result import MultiLabel

ROUTER = APIRouter(prefix="/subjects/{subject}")
LabelIndex = Annotated[int | None, Query(ge=0, description="Index of the label; of all labels if not given.")]


@ROUTER.get("/judged-labels", responses=as_json(JudgedLabels), response_model=None)
async def judged_labels(opened: Opened, part: Part = "test", *, wait: Wait) -> Response:
    """Count of each label how often it is missed and invented."""

    def run() -> JudgedLabels:
        from glassnet.explorer.judging import judged

        return judged(_result(opened, part))

    return await computed(opened, ("judged-labels", part), _what(part), run, wait=wait)


@ROUTER.get(
    "/wrong-labels", responses=binary("numbers i4, label i4, probability f4, missed u1 (n)"), response_class=Response
)
async def wrong_labels(opened: Opened, part: Part = "test", label: LabelIndex = None, *, wait: Wait) -> Response:
    """List the wrong answers, the most confident first."""

    def run() -> Arrays:
        from glassnet.explorer.judging import wrong_answers

        if label is not None and label >= len(opened.subject.classes):
            raise Refusal(404, f"there is no label {label}, only {len(opened.subject.classes)}; reload the page.")
        return wrong_answers(_result(opened, part), opened.part(part), label)

    return await computed(opened, ("wrong-labels", part, label), _what(part), run, wait=wait)


def _what(part: Part) -> str:
    return f"predictions of the {part} images"


def _result(opened: OpenSubject, part: Part) -> MultiLabel:
    """Return the evaluation.

    Raises:
        Refusal: The subject has no such mistakes.
    """
    if explored(opened.subject.task.name).label_of != "labels" or not opened.subject.labelled:
        raise Refusal(404, f"{opened.name} has no images with several labels; this is for these alone.")
    result: MultiLabel = opened.analysis("evaluation", split=part).result
    return result
