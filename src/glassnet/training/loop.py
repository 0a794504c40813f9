"""The epochs of a training: what the images look like, the steps, the validation, what is written down."""

from __future__ import annotations

import dataclasses
import functools
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Generator, Tensor
from torch.utils._pytree import tree_map

from glassnet import run
from glassnet.building import memory_format
from glassnet.console import progress, say
from glassnet.data import Split
from glassnet.data.augment import PLAIN
from glassnet.data.batches import shuffled_batches
from glassnet.devices import autocast
from glassnet.errors import WorkError
from glassnet.experiment import Experiment
from glassnet.measuring import run_evaluation
from glassnet.models.references import source_of
from glassnet.rng import PerImageRNG
from glassnet.settings import ResolvedSettings, to_json
from glassnet.settings.train import share_of_epochs
from glassnet.tasks import Records
from glassnet.training.callbacks import EpochRecord, TrainingInfo, Watchers
from glassnet.training.distillation import Teachers
from glassnet.training.fitting import fit_head
from glassnet.training.state import TrainingState
from glassnet.training.transfer import keep_statistics

# Steps between two looks at the loss: often enough to stop a lost training, seldom enough not to wait for a GPU.
_CHECK_EVERY = 50


@dataclasses.dataclass(frozen=True)
class Loop:
    """What stays the same from epoch to epoch."""

    parts: Experiment
    settings: ResolvedSettings
    accelerator: Accelerator
    state: TrainingState
    training: Split
    validation: Split
    precision: str
    path: Path
    started: str
    fingerprint: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    validation_leak: int = 0
    watchers: Watchers = dataclasses.field(default_factory=lambda: Watchers(()))
    teachers: Teachers | None = None


def run_epochs(loop: Loop) -> None:
    """Train until the last epoch is done, from whichever the state stands at.

    Raises:
        WorkError: The loss became NaN or infinite.
    """
    path, state, settings, main = loop.path, loop.state, loop.settings, loop.accelerator.is_main_process
    if main:
        run.truncate_history(path, state.epoch)
        where = f"{loop.precision} on {loop.accelerator.device.type}"
        say(f"training {settings.model} on {settings.data} into {path}, {where}")
    model = loop.accelerator.prepare_model(state.model)
    while state.epoch < settings.epochs:
        begun = time.perf_counter()
        rate = state.optimizer.param_groups[0]["lr"]
        trained = _fitted(loop) if getattr(state.model, "fits_at_once", False) else train_epoch(loop, model)
        train_seconds = time.perf_counter() - begun
        records = evaluate_split(loop, "validation")
        validated = loop.parts.task.measure(records)
        _check(validated["loss"], loop, "after its last step")
        seconds = time.perf_counter() - begun
        state.epoch, state.seconds = state.epoch + 1, state.seconds + seconds
        if main:
            row = _write_epoch(
                loop, trained, validated, {"learning_rate": rate, "seconds": seconds, "train_seconds": train_seconds}
            )
            if loop.watchers:
                loop.watchers.epoch(_epoch_record(loop, row, records))


def training_info(loop: Loop) -> TrainingInfo:
    """Return what callbacks are told at the start."""
    parts, history = loop.parts, run.read_history(loop.path) if loop.state.epoch else []
    done = tuple(row for row in history if row["epoch"] <= loop.state.epoch)
    task, classes = parts.task.name, parts.dataset.classes
    return TrainingInfo(loop.path, loop.settings, task, classes, loop.started, done, loop.validation)


def _epoch_record(loop: Loop, row: Mapping[str, float], records: Records) -> EpochRecord:
    task, classes = loop.parts.task, loop.parts.dataset.classes
    whole = task.val_stats is task.test_stats
    evaluate = functools.partial(task.evaluate, records, classes) if whole else None
    return EpochRecord(loop.state.epoch, row, loop.state.eval_model.eval(), evaluate)


def _fitted(loop: Loop) -> dict[str, float]:
    """Fit a model that is not trained step by step; of several processes each does the same."""
    loop.state.model.eval()
    return fit_head(
        loop.state.model,
        loop.training,
        loop.validation,
        loop.parts.objective,
        device=loop.accelerator.device,
        precision=loop.precision,
    )


def train_epoch(loop: Loop, model: torch.nn.Module) -> dict[str, float]:
    """Take one pass over the training images; return their mean loss, and the task's other means, as trained on."""
    settings, state, accelerator = loop.settings, loop.state, loop.accelerator
    generator = Generator().manual_seed(settings.seed * 100_003 + state.epoch)
    torch.manual_seed(settings.seed * 100_003 + state.epoch * 101 + accelerator.process_index)  # for dropout
    batches = shuffled_batches(
        loop.training,
        batch_size=settings.batch_size,
        generator=generator,
        device=accelerator.device,
        augmentation=augmentation_of(loop.parts.dataset.augmentation, settings, state.epoch),
        part=(accelerator.process_index, accelerator.num_processes),
        corruption=loop.parts.corruption,
        size=size_of(loop.parts.low_res_size, settings, state.epoch),
        copy_paste=copy_paste_share(settings, state.epoch),
    )
    model.train()
    keep_statistics(model)
    sums, count, names = torch.zeros(1, device=accelerator.device, dtype=torch.float64), 0, ["loss"]
    total = math.ceil(len(loop.training) / settings.batch_size)
    with progress(f"epoch {state.epoch + 1}/{settings.epochs}", total, announce=False) as advance:
        for step, (images, targets) in enumerate(batches, 1):
            done = (state.epoch + (step - 1) / total) / settings.epochs
            order = memory_format(loop.parts.description)
            # A model may write into what it is given, and the teachers see the same images.
            given = images.contiguous(memory_format=order)
            given = given.clone() if loop.teachers is not None else given
            with autocast(accelerator.device, loop.precision):
                output = model(given)
                loss, others = loop.parts.objective(_widened(output), targets, done)
            whole = loss
            if loop.teachers is not None:
                whole, taught = loop.teachers.mix(loss, _widened(output), images)
                others = {**others, "distillation": taught}
            accelerator.backward(whole)
            state.optimizer.step()
            state.optimizer.zero_grad()
            state.schedule.step()
            if state.average is not None:
                state.average.update_parameters(state.model)
            names = ["loss", *others]
            means = torch.stack([loss.detach().double(), *(mean.double() for mean in others.values())])
            sums = sums + means * len(targets)
            count += len(targets)
            advance()
            if accelerator.device.type == "cpu" or step % _CHECK_EVERY == 0:
                _check(sums[0].item(), loop, f"by step {step}")
    _check(sums[0].item(), loop, f"by step {step}")
    sums = accelerator.reduce(sums) / (count * accelerator.num_processes)
    return dict(zip(names, sums.tolist(), strict=True))


def augmentation_of(usual: str, settings: ResolvedSettings, epoch: int) -> str:
    """Augment as usual but for the last epochs, whose images are distributed as those that the model will meet.

    He et al. 2019, https://arxiv.org/abs/1909.09148, who refine on less augmented images.

    Args:
        usual: The data set's augmentation.
        settings: Whether to augment, and the share of epochs that leave the images as they are but for a mirror.
        epoch: Number of epochs that are done.
    """
    if not settings.augment:
        return "none"
    return PLAIN.get(usual, "none") if _is_plain(settings, epoch) else usual


def size_of(small: int | None, settings: ResolvedSettings, epoch: int) -> int | None:
    """Return the side of the images of an epoch, given how many are done: None for the data set's own.

    Networks that take images of any size learn most of what they will from smaller ones, which cost less (Tan and Le
    2021, https://arxiv.org/abs/2104.00298, section 4).
    """
    return small if epoch < share_of_epochs(settings.epochs, settings.low_res_epochs) else None


def copy_paste_share(settings: ResolvedSettings, epoch: int) -> float:
    """Return the share of images that objects are pasted onto in an epoch, given how many are done; 0 in plain ones."""
    return 0.0 if _is_plain(settings, epoch) else settings.copy_paste


def _is_plain(settings: ResolvedSettings, epoch: int) -> bool:
    return epoch >= settings.epochs - share_of_epochs(settings.epochs, settings.plain_epochs)


def _widened(output: Any) -> Any:
    """Take the tensors of an output out of half precision, which a loss would lose digits in."""
    if isinstance(output, Tensor):
        return output.float() if output.dtype == torch.bfloat16 else output
    return tree_map(lambda one: _widened(one) if isinstance(one, Tensor) else one, output)


def _check(loss: float, loop: Loop, when: str) -> None:
    if not math.isfinite(loss):
        raise WorkError(
            f"the loss became {loss} in epoch {loop.state.epoch + 1} {when}, expected a finite number; "
            f"lower --learning-rate (now {loop.settings.learning_rate}) or try --precision fp32."
        )


def evaluate_split(loop: Loop, name: Literal["validation", "test"]) -> Records:
    """Run the evaluation on the split of that name, each process its part of it, and join what is remembered.

    Test images are measured in fp32, as `glassnet eval` and the report measure them, whatever the training computes in:
    so a run has one test result.
    """
    tested = name == "test"
    records = run_evaluation(
        loop.state.eval_model,
        loop.parts.dataset.test if tested else loop.validation,
        loop.parts.test_stats if tested else loop.parts.val_stats,
        task=loop.parts.task,
        precision="fp32" if tested else loop.precision,
        corruption=loop.parts.corruption,
        rng=PerImageRNG(loop.settings.seed, name),
        part=(loop.accelerator.process_index, loop.accelerator.num_processes),
    )
    if loop.accelerator.num_processes == 1:
        return records
    parts = [one for one in gather_object([records]) if one]  # a process that had no image remembers nothing
    return {key: torch.cat([one[key] for one in parts]) for key in parts[0]}


def _write_epoch(
    loop: Loop, trained: dict[str, float], validated: dict[str, float], rest: dict[str, float]
) -> dict[str, float]:
    """Write the epoch down: its line, the weights if the task takes them for the best, the checkpoint that names them.

    Only then do they take the place of the old ones: a process that is killed leaves the weights of its checkpoint.
    """
    path, state = loop.path, loop.state
    row = {f"train_{k}": v for k, v in trained.items()} | {f"validation_{k}": v for k, v in validated.items()}
    run.append_history(path, {"epoch": state.epoch, **row, **rest})
    if not state.reference or loop.parts.task.is_best(validated, state.reference):
        state.reference = validated
    if loop.parts.task.should_checkpoint(validated, state.reference):
        state.best = {"epoch": state.epoch, **validated}
        weights = state.eval_model.state_dict()
        state.best_weights = run.write_weights(path, weights, epoch=state.epoch, file=run.NEXT)
    save_checkpoint(loop)
    run.settle_weights(path, state.best_weights)
    figures = ", ".join(f"{k.replace('_', ' ')} {v:.4f}" for k, v in row.items() if not k.endswith("_error"))
    say(f"epoch {state.epoch}/{loop.settings.epochs}: {figures} ({rest['seconds']:.1f} s)")
    return row | rest


def save_checkpoint(loop: Loop) -> None:
    """Write the state down, so that the training can go on from here."""
    state = {"settings": to_json(loop.settings), "started": loop.started, "state": loop.state.state_dict()}
    data = {"classes": list(loop.parts.dataset.classes), "fingerprint": dict(loop.fingerprint)}
    made = {"data": data, "reference": source_of(loop.parts.description)}
    taught = {} if loop.teachers is None else {"teachers": list(loop.teachers.digests)}
    run.write_checkpoint(loop.path, state | made | taught | {"history": run.history_digest(loop.path)})
