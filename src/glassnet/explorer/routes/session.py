"""What is shown, and what is known of each subject; jobs that are not wanted any more."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter, Request, Response

from glassnet import __version__
from glassnet.explorer.asked import Opened, all_subjects, page_of
from glassnet.explorer.schemas import Session, SubjectInfo
from glassnet.tasks.explored import ViewName

ROUTER = APIRouter()


@ROUTER.get("/session")
def session(request: Request) -> Session:
    """List what is shown; runs that were trained again since are opened anew."""
    subjects = all_subjects(request)
    subjects.refresh()
    summaries = [one.summary() for one in subjects.all.values()]
    if sum("compare" in one.views for one in summaries) < 2:
        summaries = [one.model_copy(update={"views": _without_compare(one.views)}) for one in summaries]
    return Session(version=__version__, exported=False, subjects=summaries)


@ROUTER.get("/subjects/{subject}")
def subject_info(request: Request, opened: Opened) -> SubjectInfo:
    """Say all that a page needs to know of a subject at the start."""
    info = opened.info()
    others = [one for one in all_subjects(request).all.values() if one is not opened]
    if not any("compare" in one.summary().views for one in others):
        info = info.model_copy(update={"views": _without_compare(info.views)})
    return info


@ROUTER.delete("/jobs/{job}", status_code=204)
def cancel(request: Request, job: str) -> Response:
    """Cancel a job at once, unless another page wants it; one that is over, as it may be by now, is what was wanted."""
    all_subjects(request).cancel(job, page_of(request))
    return Response(status_code=204)


def _without_compare(views: Sequence[ViewName]) -> list[ViewName]:
    return [view for view in views if view != "compare"]
