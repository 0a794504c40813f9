"""`glassnet eval`: how good a model is, in numbers and pictures."""

from __future__ import annotations

from glassnet.analysis import analyse
from glassnet.commands.answer import Answer, kept_at
from glassnet.commands.subjects import context_of, open_subject, precision_of
from glassnet.settings import EvalSettings


def evaluate(settings: EvalSettings) -> Answer:
    """Measure a run or a network on images, and keep the evaluation."""
    subject = open_subject(settings, settings.run, images=settings.data, out=settings.out)
    done = analyse(
        subject,
        "evaluation",
        split=settings.split,
        data=settings.data if subject.run else None,
        flip=settings.flip,
        precision=precision_of(settings),
        name=settings.name,
        context=context_of(settings, batch_size=settings.batch_size),
    )
    data = settings.data or subject.data or subject.name
    told = subject.task.views().text(done.result)
    text = f"{subject.name} on {data} ({settings.split}, {done.result.images:,} images): {told}\n\n{kept_at([done])}"
    return Answer(text, {"run": str(subject.path), "data": data, "split": settings.split, **done.to_json()})
