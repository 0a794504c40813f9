"""How good a model is on some images: one pass over them, the task's measures with intervals, its figures."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from glassnet.analysis.base import Context, Kind, Precision
from glassnet.analysis.scores import as_logits
from glassnet.analysis.views import EvaluationView
from glassnet.console import printable
from glassnet.data import Dataset, Split, find_source, load_dataset, read_dataset
from glassnet.data.copies import digests
from glassnet.data.fingerprint import check_fits, images_digest
from glassnet.errors import InputError
from glassnet.experiment import build_corruption
from glassnet.measuring import run_evaluation
from glassnet.models.inference import FlipTTA
from glassnet.rng import PerImageRNG
from glassnet.run.store import Plot
from glassnet.settings import TrainSettings
from glassnet.subject import Part, Subject
from glassnet.tasks import Normal, Recorder, Records


@dataclass(frozen=True)
class EvaluationRequest:
    """What is measured.

    Attributes:
        split: Part of the images.
        data: Another data set; None for the subject's own images.
        flip: Whether to measure the mean of each image and its mirror image, too.
        precision: Of the forward pass.
        nll_samples: Codes an image by which the likelihood is measured; None for not at all.
        nll_images: On how many images, the first ones; None for all.
    """

    split: Part = "test"
    data: str | None = None
    flip: bool = False
    precision: Precision = "fp32"
    nll_samples: int | None = dataclasses.field(default=None, metadata={"later": True})
    nll_images: int | None = dataclasses.field(default=None, metadata={"later": True})


def compute(subject: Subject, request: EvaluationRequest, context: Context) -> Any:
    """Measure a subject's model on a part of its images or of another data set.

    Raises:
        InputError: There are no labels, or the data set does not fit the model.
    """
    if subject.task.compares_classes and not subject.labelled:
        raise InputError(
            f"{subject.name} has images without labels, so nothing can be measured; give labels, or a folder with one "
            "sub-folder per class."
        )
    if request.flip and "flipped" not in {field.name for field in dataclasses.fields(subject.task.result)}:
        raise InputError(f"--flip applies to segmentation only, not to {subject.task.name}; leave it out.")
    likelihood = _likelihood(subject, request, context)
    found = evaluated(subject, request, context)
    result = subject.task.evaluate(found.records, subject.classes)
    if likelihood is not None:
        result = dataclasses.replace(result, importance=likelihood)
    if request.flip:
        mirrored = subject.task.evaluate(_records(found, FlipTTA(found.model), context), subject.classes)
        result = dataclasses.replace(result, flipped=mirrored, flipped_intervals=mirrored.intervals)
    return subject.task.views().complete(found, result)


def _likelihood(subject: Subject, request: EvaluationRequest, context: Context) -> Any:
    """Measure the likelihood where that is asked for; before all else, which would be in vain where it cannot be."""
    for name, value in (("samples", request.nll_samples), ("images", request.nll_images)):
        if value is not None and value < 1:
            raise InputError(f"--nll-{name} is {value}, expected at least 1.")
    if request.nll_samples is None:
        if request.nll_images is not None:
            raise InputError("--nll-images needs --nll-samples; give both, as in --nll-samples 5000.")
        return None
    measure = subject.task.views().likelihood
    if measure is None:
        raise InputError(
            f"--nll-samples applies only to reconstruction by a variational autoencoder, not to {subject.task.name}; "
            "leave it out."
        )
    _, split = images_of(subject, request.data, request.split, context)
    some = split.subset(torch.arange(min(len(split), request.nll_images or len(split))))
    size = min(context.batch_size, subject.task.batch_size)
    return measure(
        subject,
        _model(subject, context),
        some,
        request.split,
        samples=request.nll_samples,
        batch_size=size,
        precision=request.precision,
    )


def _model(subject: Subject, context: Context) -> nn.Module:
    return context.once(("model", id(subject)), lambda: subject.model(context.device))


def evaluated(subject: Subject, request: EvaluationRequest, context: Context) -> EvaluationView:
    """Run the model over the images, once for a context."""

    def run() -> EvaluationView:
        dataset, split = images_of(subject, request.data, request.split, context)
        model = _model(subject, context)
        name = request.data or subject.data or subject.name
        ready = EvaluationView(subject, model, name, dataset, split, request.split, {}, request.precision)
        return dataclasses.replace(ready, records=_records(ready, model, context))

    alike = dataclasses.replace(request, flip=False, nll_samples=None, nll_images=None)
    return context.once(("evaluated", id(subject), alike), run)


def images_of(subject: Subject, data: str | None, part: Part, context: Context) -> tuple[Dataset | None, Split]:
    """Return the data set, where there is one, and the part of it that is asked for."""
    if data is None:
        return (subject.dataset if subject.run else None), subject.part(part)
    if subject.run is None:
        raise InputError(f"--data {data} needs a run, but {subject.name} is a network with images; leave it out.")
    dataset = context.once(("data", data), lambda: _load_other(subject, data, context.data_root))
    return dataset, getattr(dataset, part)


def _load_other(subject: Subject, data: str, data_root: Path | None) -> Dataset:
    """Load another data set that the subject's model can be measured on; its own, by whatever path, is checked as such.

    Raises:
        InputError: Its channels or classes are not those of the model.
    """
    assert subject.run is not None
    if subject.owns(data, data_root):
        return subject.dataset
    model = subject.run.manifest["model"]
    dataset = load_dataset(
        data,
        root=data_root,
        image_size=model["image_size"],
        skip_damaged=subject.skip_damaged,
        task=subject.task.name,
    )
    check_fits(
        dataset,
        data=data,
        of=subject.name,
        channels=model["in_channels"],
        image_size=model["image_size"],
        classes=subject.classes if subject.task.compares_classes else None,
    )
    return dataset


def copies_learned_from(subject: Subject, data: str, part: Part, context: Context) -> int | None:
    """Count the images of another data set whose pixels the run was trained on, or chose its epoch by.

    None where the run's own data cannot be read, or are these.
    """
    own = None if subject.owns(data, context.data_root) else _own_data(subject, context.data_root)
    if own is None:
        return None
    known = {one for name, split in own.parts.items() if name != "test" for one in digests(split)}
    return sum(one in known for one in digests(images_of(subject, data, part, context)[1]))


def _own_data(subject: Subject, data_root: Path | None) -> Dataset | None:
    """Read a run's own data, where they were or where they are now; nothing is fetched for it."""
    assert subject.run is not None
    settings, size = subject.run.settings, subject.run.manifest["model"]["image_size"]
    skip = subject.skip_damaged or settings.skip_damaged
    for name, root in dict.fromkeys((subject.run.source(None), subject.run.source(data_root))):
        try:
            source, where = find_source(name, root)
            if source.find(where) is not None:
                return read_dataset(name, root, size, skip_damaged=skip, task=subject.task.name)
        except InputError:
            continue
    return None


def _records(found: EvaluationView, model: nn.Module, context: Context) -> Records:
    subject = found.subject
    settings = subject.settings or TrainSettings()
    return run_evaluation(
        model,
        found.split,
        _of_numbers(subject, subject.task.test_stats(settings, len(subject.classes))),
        task=subject.task,
        batch_size=context.batch_size,
        precision=found.precision,
        corruption=build_corruption(settings, subject.task),
        rng=PerImageRNG(subject.seed, found.part),
    )


def _of_numbers(subject: Subject, recorder: Recorder) -> Recorder:
    """Refuse what is no number, of which the largest, a class, would be measured all the same.

    The probabilities that a network which glassnet did not train may give become the logits that they stand for.
    """

    def record(output: Any, targets: Tensor, normal: Normal) -> Records:
        bad = int(output.isnan().flatten(1).any(dim=1).sum()) if isinstance(output, Tensor) else 0
        if bad:
            where = f"{bad} of {len(output)} images"
            raise InputError(
                f"the model gives NaN for {where}; look for NaN in its weights, or for inputs that are too large."
            )
        if subject.task.compares_classes and isinstance(output, Tensor):
            output = as_logits(subject, output)
        return recorder(output, targets, normal)

    return record


def made_of(subject: Subject, request: EvaluationRequest, context: Context) -> dict[str, Any]:
    """Digests of the model, of the images measured, and of those learned from where the task measures by them."""
    dataset, split = images_of(subject, request.data, request.split, context)
    made = subject.made_of(request.split, split=None if request.data is None else split)
    if dataset is None or not subject.task.views().reads_training:
        return made
    training = subject.made_of("train")["images"] if request.data is None else images_digest(dataset.train)
    return made | {"training": training}


def _words(_subject: Subject, request: EvaluationRequest) -> Iterable[str]:
    where = [] if request.data is None else [request.data.replace("/", "-")[-40:]]
    flips, precision = ["flip"] if request.flip else [], [request.precision] if request.precision != "fp32" else []
    samples = [] if request.nll_samples is None else [f"nll{request.nll_samples}"]
    return [*where, request.split, *flips, *precision, *samples]


def _plots(subject: Subject, request: EvaluationRequest, result: Any, context: Context) -> Iterable[Plot]:
    return subject.task.views().plots(evaluated(subject, request, context), result)


def _tables(subject: Subject, request: EvaluationRequest, result: Any, context: Context) -> Mapping[str, str]:
    listed = subject.task.views().predictions(evaluated(subject, request, context), result)
    if listed is None:
        return {}
    written = io.StringIO()
    csv.writer(written, lineterminator="\n").writerows([listed[0], *listed[1]])
    return {"predictions.csv": written.getvalue()}


def _about(subject: Subject, request: EvaluationRequest, _result: Any, context: Context) -> dict[str, Any]:
    split = images_of(subject, request.data, request.split, context)[1]
    return {"images": listed_images(subject, split)}


def listed_images(subject: Subject, split: Split) -> dict[str, Any]:
    """Name images for later: how many, their numbers as in 0-9,12, and where they are files, these and their folder."""
    numbers = split.numbers.numpy()
    runs = np.split(numbers, np.flatnonzero(np.diff(numbers) != 1) + 1)
    ranges = [str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs if len(run)]
    listed: dict[str, Any] = {"count": len(split), "numbers": ",".join(ranges)}
    if split.files is None:
        return listed
    of_network = subject.run is None and subject.data is not None
    folder = {"folder": printable(str(Path(str(subject.data)).resolve()), lines=False)} if of_network else {}
    return {**listed, **folder, "files": [printable(file, lines=False) for file in split.files]}


EVALUATION = Kind(
    name="evaluation",
    request=EvaluationRequest,
    result=lambda subject: subject.task.result,
    compute=compute,
    words=_words,
    plots=_plots,
    made_of=made_of,
    elsewhere=lambda request: request.data is not None,
    tables=_tables,
    about=_about,
    packages=("torch", "numpy", "matplotlib"),
    code=("analysis", "models", "tasks", "data"),
)
