"""The training loop: one read of this file tells all that happens to a model."""

from __future__ import annotations

import dataclasses
import math
import time
from pathlib import Path
from typing import Any, Literal

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import gather_object
from torch import Generator, Tensor
from torch.utils._pytree import tree_map

from glassnet import experiment, run
from glassnet.console import progress, say
from glassnet.data import Split
from glassnet.data.batches import batch_order, shuffled_batches
from glassnet.data.split import hold_out
from glassnet.devices import autocast, choose_device, choose_precision
from glassnet.errors import InputError, WorkError
from glassnet.experiment import Experiment, Run
from glassnet.measuring import run_evaluation
from glassnet.rng import PerImageRNG
from glassnet.settings import TrainSettings, to_json
from glassnet.tasks import Records
from glassnet.training.curriculum import augmentation_of, copy_paste_share, size_of
from glassnet.training.manifest import manifest
from glassnet.training.processes import main_first, told_by_main
from glassnet.training.state import TrainingState, new_state
from glassnet.training.synchronize import synchronize_batchnorm

# Steps between two looks at the loss: often enough to stop a lost training, seldom enough not to wait for a GPU.
_CHECK_EVERY = 50


def train(settings: TrainSettings, *, name: str | None = None) -> Run:
    """Train a model and write its run directory.

    The run is resumable from the end of each epoch: interrupted in whatever way, `settings.resume` continues it to the
    very weights that it would have had (on a CPU, with as many threads and processes).

    Args:
        settings: What to train on what, and how.
        name: Folder below runs/ where `settings.out` is not given; by default DATA-MODEL-seedN.

    Returns:
        The finished run, with the weights of the kept epoch on the held-out part of the training images.

    Raises:
        InputError: A name, option, size or file cannot be used; nothing has been written.
        WorkError: The loss became NaN or infinite.
    """
    resumed, saved = _resumed(settings)
    device = choose_device(resumed.device)
    precision = choose_precision(resumed.precision, device)
    AcceleratorState._reset_state(reset_partial_state=True)  # a training before this one may have used another device
    accelerator = Accelerator(cpu=device.type == "cpu")
    # The first process downloads; the others find the files there, or stop with it.
    parts = main_first(accelerator, lambda: experiment.build(resumed))
    training, validation = hold_out(parts.dataset.train, resumed.validation, seed=resumed.seed)
    steps = _steps(len(training), resumed, accelerator)
    state = _start(parts, resumed, accelerator, steps=steps * resumed.recipe.epochs)
    if saved is not None:
        state.restore(saved["state"], source=resumed.out)
    started = saved["started"] if saved else time.strftime("%Y-%m-%dT%H:%M:%S%z")
    default = f"{resumed.names.data.partition(':')[0]}-{resumed.names.model}-seed{resumed.seed}"
    path = settings.resume or told_by_main(accelerator, lambda: run.create(resumed.out, name or default))
    loop = _Loop(parts, resumed, accelerator, state, training.to(device), validation, precision, path, started)
    if saved is None and accelerator.is_main_process:
        _save(loop)
    try:
        with torch.random.fork_rng(devices=[accelerator.device] if accelerator.device.type == "cuda" else []):
            _epochs(loop)
    except KeyboardInterrupt:
        done = f"{state.epoch} of {resumed.recipe.epochs}"
        say(f"stopped after epoch {done}; continue with `glassnet train --resume {path}`.")
        raise
    return _finish(loop)


@dataclasses.dataclass(frozen=True)
class _Loop:
    """What stays the same from epoch to epoch."""

    parts: Experiment
    settings: TrainSettings
    accelerator: Accelerator
    state: TrainingState
    training: Split
    validation: Split
    precision: str
    path: Path
    started: str


# What may differ where a run is continued: the place, not the training.
_MOVABLE = ("resume", "data_root", "device")


def _resumed(settings: TrainSettings) -> tuple[TrainSettings, dict[str, Any] | None]:
    """Return the settings to train with, and the saved state if a run is to be continued."""
    if settings.resume is None:
        return experiment.resolve(settings), None
    for field in dataclasses.fields(settings):
        if field.name not in _MOVABLE and getattr(settings, field.name) != field.default:
            raise InputError(
                f"--{field.name.replace('_', '-')} cannot be given with --resume: "
                f"the run at {settings.resume} goes on with the settings it was started with."
            )
    saved = run.read_checkpoint(settings.resume)
    began = experiment.read_settings(saved["settings"], source=settings.resume)
    root = settings.data_root or began.data_root
    device = began.device if settings.device == "auto" else settings.device
    return dataclasses.replace(began, out=settings.resume, data_root=root, device=device), saved


def _steps(images: int, settings: TrainSettings, accelerator: Accelerator) -> int:
    """Count the optimizer steps of one epoch."""
    batches = batch_order(images, settings.recipe.batch_size, Generator(), accelerator.num_processes)
    if len(batches[0]) < 2 * accelerator.num_processes:
        raise InputError(
            f"a batch has {len(batches[0])} images for {accelerator.num_processes} processes; expected at least 2 for "
            "each, which batch-norm needs: raise --batch-size or add images."
        )
    return len(batches)


def _start(parts: Experiment, settings: TrainSettings, accelerator: Accelerator, *, steps: int) -> TrainingState:
    model = parts.model.to(device=accelerator.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if accelerator.num_processes > 1:
        model = synchronize_batchnorm(model)
    return new_state(model, settings, steps=steps)


def _epochs(loop: _Loop) -> None:
    path, state, settings, main = loop.path, loop.state, loop.settings, loop.accelerator.is_main_process
    if main:
        run.truncate_history(path, state.epoch)
        where = f"{loop.precision} on {loop.accelerator.device.type}"
        say(f"training {settings.names.model} on {settings.names.data} into {path}, {where}")
    model = loop.accelerator.prepare_model(state.model)
    while state.epoch < settings.recipe.epochs:
        begun = time.perf_counter()
        rate = state.optimizer.param_groups[0]["lr"]
        trained = _train_epoch(loop, model)
        train_seconds = time.perf_counter() - begun
        validated = loop.parts.task.measure(_records(loop, "validation"))
        _check(validated["loss"], loop, "after its last step")
        seconds = time.perf_counter() - begun
        state.epoch, state.seconds = state.epoch + 1, state.seconds + seconds
        if main:
            _keep(loop, trained, validated, {"learning_rate": rate, "seconds": seconds, "train_seconds": train_seconds})


def _train_epoch(loop: _Loop, model: torch.nn.Module) -> dict[str, float]:
    """Take one pass over the training images; return their mean loss, and the task's other means, as trained on."""
    settings, state, accelerator = loop.settings, loop.state, loop.accelerator
    generator = Generator().manual_seed(settings.seed * 100_003 + state.epoch)
    torch.manual_seed(settings.seed * 100_003 + state.epoch * 101 + accelerator.process_index)  # for dropout
    batches = shuffled_batches(
        loop.training,
        batch_size=settings.recipe.batch_size,
        generator=generator,
        device=accelerator.device,
        augmentation=augmentation_of(loop.parts.dataset.augmentation, settings, state.epoch),
        part=(accelerator.process_index, accelerator.num_processes),
        corruption=loop.parts.corruption,
        size=size_of(loop.parts.low_res_size, settings, state.epoch),
        copy_paste=copy_paste_share(settings, state.epoch),
    )
    model.train()
    sums, count, names = torch.zeros(1, device=accelerator.device, dtype=torch.float64), 0, ["loss"]
    total = math.ceil(len(loop.training) / settings.recipe.batch_size)
    with progress(f"epoch {state.epoch + 1}/{settings.recipe.epochs}", total, announce=False) as advance:
        for step, (images, targets) in enumerate(batches, 1):
            done = (state.epoch + (step - 1) / total) / settings.recipe.epochs
            with autocast(accelerator.device, loop.precision):
                output = model(images.contiguous(memory_format=torch.channels_last))
                loss, others = loop.parts.objective(_widened(output), targets, done)
            accelerator.backward(loss)
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


def _widened(output: Any) -> Any:
    """Take the tensors of an output out of half precision, which a loss would lose digits in."""
    if isinstance(output, Tensor):
        return output.float() if output.dtype == torch.bfloat16 else output
    return tree_map(lambda one: _widened(one) if isinstance(one, Tensor) else one, output)


def _check(loss: float, loop: _Loop, when: str) -> None:
    if not math.isfinite(loss):
        raise WorkError(
            f"the loss became {loss} in epoch {loop.state.epoch + 1} {when}, expected a finite number; "
            f"lower --learning-rate (now {loop.settings.recipe.learning_rate}) or try --precision fp32."
        )


def _records(loop: _Loop, name: Literal["validation", "test"]) -> Records:
    """Run the evaluation on the split of that name, each process its part of it, and join what is remembered."""
    tested = name == "test"
    found = run_evaluation(
        loop.state.eval_model,
        loop.parts.dataset.test if tested else loop.validation,
        loop.parts.test_stats if tested else loop.parts.val_stats,
        task=loop.parts.task,
        precision=loop.precision,
        corruption=loop.parts.corruption,
        rng=PerImageRNG(loop.settings.seed, name),
        part=(loop.accelerator.process_index, loop.accelerator.num_processes),
    )
    if loop.accelerator.num_processes == 1:
        return found
    parts = [one for one in gather_object([found]) if one]  # a process that had no image remembers nothing
    return {key: torch.cat([one[key] for one in parts]) for key in parts[0]}


def _keep(loop: _Loop, trained: dict[str, float], validated: dict[str, float], rest: dict[str, float]) -> None:
    """Write the epoch down: its line, the weights if the task keeps them, and last the checkpoint."""
    path, state = loop.path, loop.state
    row = {f"train_{k}": v for k, v in trained.items()} | {f"validation_{k}": v for k, v in validated.items()}
    run.append_history(path, {"epoch": state.epoch, **row, **rest})
    if not state.reference or loop.parts.task.is_best(validated, state.reference):
        state.reference = validated
    if loop.parts.task.should_checkpoint(validated, state.reference):
        state.best = {"epoch": state.epoch, **validated}
        run.write_weights(path, state.eval_model.state_dict())
    _save(loop)
    shown = ", ".join(f"{k.replace('_', ' ')} {v:.4f}" for k, v in row.items() if not k.endswith("_error"))
    say(f"epoch {state.epoch}/{loop.settings.recipe.epochs}: {shown} ({rest['seconds']:.1f} s)")


def _save(loop: _Loop) -> None:
    state = {"settings": to_json(loop.settings), "started": loop.started, "state": loop.state.state_dict()}
    run.write_checkpoint(loop.path, state)


def _finish(loop: _Loop) -> Run:
    """Measure the best weights on the test images, once, and write the manifest, which makes the run a finished one."""
    accelerator, state, path = loop.accelerator, loop.state, loop.path
    accelerator.wait_for_everyone()
    state.eval_model.load_state_dict(run.read_weights(path))
    test = loop.parts.dataset.test
    tested = loop.parts.task.evaluate(_records(loop, "test"), loop.parts.dataset.classes)
    if accelerator.is_main_process:
        metrics = {
            "epoch": state.best["epoch"],
            **{f"validation_{k}": v for k, v in state.best.items() if k != "epoch"},
            **{f"test_{k}": tested[k] for k in loop.parts.task.saved_metrics},
        }
        sizes = {"train": loop.training, "validation": loop.validation, "test": test}
        how = {"device": accelerator.device.type, "precision": loop.precision, "processes": accelerator.num_processes}
        counts = {name: len(split) for name, split in sizes.items()}
        times = {"started": loop.started, "seconds": state.seconds}
        run.write_manifest(path, manifest(loop.parts, loop.settings, how | times, counts, metrics))
    accelerator.wait_for_everyone()
    return Run.open(path)
