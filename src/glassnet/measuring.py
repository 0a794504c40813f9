"""A model run over images in order, and what its task remembers of each."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

from glassnet.data import Split
from glassnet.data.augment.warps import Images
from glassnet.data.batches import Batch, Corruption, ordered_batches, ordered_places
from glassnet.images import device_of
from glassnet.models.inference import outputs
from glassnet.rng import PerImageRNG
from glassnet.tasks import Normal, Recorder, Records, Task
from glassnet.turns import evaluating


def run_evaluation(
    model: nn.Module,
    split: Split,
    recorder: Recorder,
    *,
    task: Task,
    rng: PerImageRNG,
    batch_size: int = 512,
    precision: str = "fp32",
    corruption: Corruption | None = None,
    part: tuple[int, int] = (0, 1),
) -> Records:
    """Run a model over a split in order, and join what is remembered of each batch.

    Args:
        model: On its device.
        split: Images and targets.
        recorder: From a batch's output and targets to what is remembered.
        task: What the model was made for.
        rng: What the corruption, and what is drawn to measure, come from, image by image.
        batch_size: Images per forward pass, at most; the task may allow less.
        precision: "fp32" or "bf16".
        corruption: What is done to the images first.
        part: (rank, processes): which part of the images this process takes.

    Returns:
        What is remembered; nothing where there are fewer images than processes, and none for this one.
    """
    size, device = min(batch_size, task.batch_size), device_of(model)
    places = ordered_places(len(split), batch_size=size, part=part)
    batches = ordered_batches(split, batch_size=size, device=device, part=part, corruption=corruption, rng=rng)
    wanted: deque[Tensor] = deque()  # not itertools.tee, which keeps 57 batches until all of them are passed
    given = outputs(model, _images(batches, wanted), precision=precision)
    with evaluating(model):  # between batches too, when a recorder decodes codes by the model
        pieces = [
            {key: value.cpu() for key, value in recorder(output, wanted.popleft(), _normal(rng, batch)).items()}
            for output, batch in zip(given, places, strict=True)
        ]
    return {key: torch.cat([one[key] for one in pieces]) for key in (pieces[0] if pieces else ())}


def _images(batches: Iterable[Batch], wanted: deque[Tensor]) -> Iterator[Images]:
    """Yield the images of batches, and put aside what is wanted of each."""
    for images, targets in batches:
        wanted.append(targets)
        yield images


def _normal(rng: PerImageRNG, places: range) -> Normal:
    return lambda shape: rng.normal(places, shape, "code")
