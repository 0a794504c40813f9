"""Settings in, a finished run directory out: what a training starts from, and what it ends with."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import platform
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Generator

import glassnet
from glassnet import __version__, experiment, run
from glassnet.building import memory_format
from glassnet.console import say
from glassnet.data import OF_A_PATH
from glassnet.data.batches import batch_order
from glassnet.data.copies import held_out_copies
from glassnet.data.fingerprint import changes, check_classes_stay, check_fits, fingerprint
from glassnet.data.split import training_parts
from glassnet.devices import choose_device, choose_precision, versions
from glassnet.errors import InputError
from glassnet.experiment import Experiment, Run
from glassnet.files import WriteError
from glassnet.models.inference import check_memory
from glassnet.models.layer_table import layer_table
from glassnet.models.references import check_same_source, is_reference, short_name, source_of
from glassnet.run import SCHEMA_VERSION
from glassnet.run.store import slug
from glassnet.settings import ResolvedSettings, TrainSettings, to_json
from glassnet.training.callbacks import Callback, Watchers
from glassnet.training.distillation import find_teachers, load_teachers, require_same_teachers
from glassnet.training.distributed import (
    broadcast_from_main,
    check_lost,
    join_processes,
    main_first,
    require_everywhere,
    synchronize_batchnorm,
)
from glassnet.training.loop import Loop, evaluate_split, run_epochs, save_checkpoint, training_info
from glassnet.training.state import TrainingState, new_state
from glassnet.training.transfer import freeze
from glassnet.turns import exact_convolutions


def train(settings: TrainSettings, *, name: str | None = None, callbacks: Sequence[Callback] = ()) -> Run:
    """Train a model and write its run directory.

    The run can be resumed from the end of any epoch. However it was interrupted, `settings.resume` continues it to the
    same weights as without the interruption (exactly so on a CPU, with the same number of threads and processes).

    Args:
        settings: The model, the data set and the training settings.
        name: Name of the folder in runs/ if `settings.out` is not given; by default DATA-MODEL-seedN.
        callbacks: Callbacks besides the loggers that the settings name; see `Callback`.

    Returns:
        The finished run, with the weights of the saved epoch, which the held-out training images chose.

    Raises:
        InputError: A name, option, size or file cannot be used; nothing is written.
        WorkError: The loss became NaN or infinite, or a callback could not start.
    """
    resumed, saved = _resumed(settings)
    watchers = Watchers([*callbacks, *(glassnet.make_loggers(resumed.log) if resumed.log else ())])
    device = choose_device(resumed.device)
    precision = choose_precision(resumed.precision, device)
    accelerator = join_processes(device)
    runs = find_teachers(resumed)
    # The first process downloads; the others find the files there, or stop with it.
    parts = main_first(accelerator, lambda: experiment.build(resumed))
    now = fingerprint(parts.dataset, ((saved or {}).get("data") or {}).get("fingerprint"))
    if saved is not None:
        _require_same_data(saved, parts, now, resumed)
    teachers = load_teachers(runs, resumed, parts.dataset, now, device=accelerator.device, precision=precision)
    if saved is not None:
        require_same_teachers(teachers, saved.get("teachers") or (), resumed)
    training, validation = training_parts(parts.dataset, resumed.validation, seed=resumed.seed)
    copies = held_out_copies(training, validation) if accelerator.is_main_process else 0
    steps = _steps(len(training), resumed, accelerator)
    if saved is None and resumed.steps is not None:
        # Until the images are counted, epochs are the most there may be.
        resumed = dataclasses.replace(resumed, epochs=min(resumed.epochs, max(1, round(resumed.steps / steps))))
    state = _start(parts, resumed, accelerator, steps=steps * resumed.epochs)
    if saved is not None:
        state.restore(saved["state"], source=resumed.out)
    started = saved["started"] if saved else time.strftime("%Y-%m-%dT%H:%M:%S%z")
    with contextlib.ExitStack() as held:
        held.enter_context(exact_convolutions(accelerator.device))  # also of the way back, which autocast does not see
        path = broadcast_from_main(accelerator, lambda: _claim(held, saved, state, resumed, name))
        loop = Loop(
            parts, resumed, accelerator, state, training.to(device), validation, precision, path, started, now, copies
        )
        loop = dataclasses.replace(loop, watchers=watchers, teachers=teachers)
        _require_everywhere(loop, new=saved is None)
        broadcast_from_main(accelerator, lambda: _begin(loop, new=saved is None))
        try:
            with torch.random.fork_rng(devices=[accelerator.device] if accelerator.device.type == "cuda" else []):
                run_epochs(loop)
            return _finish(loop)
        except KeyboardInterrupt:
            done = f"{state.epoch} of {resumed.epochs}"
            say(f"stopped after epoch {done}; continue with `glassnet train --resume {path}`.")
            raise
        except RuntimeError as error:
            check_memory(error, resumed.batch_size)
            check_lost(error, path)
            raise
        except WriteError as error:
            raise WriteError(
                error.problem, f"free some space, then continue with `glassnet train --resume {path}`"
            ) from None


def _claim(
    held: contextlib.ExitStack,
    saved: Mapping[str, Any] | None,
    state: TrainingState,
    settings: ResolvedSettings,
    name: str | None,
) -> Path:
    """Make the run's folder, or take up the one that is resumed; no other process trains in it from here on.

    Raises:
        InputError: Another process does, or what the checkpoint needs is missing or damaged.
    """
    if saved is None:
        path = run.create(settings.out, name or default_name(settings))
        held.enter_context(run.training_lock(path))
        return path
    assert settings.out is not None
    path = settings.out
    held.enter_context(run.training_lock(path))
    if run.checkpoint_stamp(path) != saved["stamp"]:
        raise InputError(f"another process has just continued the run at {path}; run the same command again.")
    run.sweep(path)
    run.truncate_history(path, state.epoch, saved.get("history"))
    run.settle_weights(path, state.best_weights)
    return path


def _require_everywhere(loop: Loop, *, new: bool) -> None:
    """Refuse a folder that other hosts do not see, before any work; no new one stays."""
    try:
        require_everywhere(loop.accelerator, loop.path)
    except InputError:
        if new and loop.accelerator.is_main_process:
            run.discard_start(loop.path)
        raise


def _begin(loop: Loop, *, new: bool) -> None:
    """Write a new training's first checkpoint and tell the callbacks; where either fails, no new folder stays."""
    try:
        if new:
            save_checkpoint(loop)
        if loop.watchers:
            loop.watchers.start(training_info(loop))
    except BaseException:
        if new:
            run.discard_start(loop.path)
        raise


def _require_same_data(
    saved: Mapping[str, Any], parts: Experiment, now: Mapping[str, Any], settings: ResolvedSettings
) -> None:
    """Refuse to go on with other data: the order of the images, and what the classes mean, follow from them.

    Raises:
        InputError: Classes, images or targets are others than those that the run began with.
    """
    check_same_source(source_of(parts.description), saved.get("reference"))
    before, dataset = saved.get("data") or {}, parts.dataset
    check_fits(
        dataset,
        data=settings.data,
        of=str(settings.out),
        channels=dataset.channels,
        image_size=dataset.image_size,
        classes=before.get("classes"),
        targets=before.get("fingerprint", {}).get("targets"),
    )
    if "fingerprint" not in before:  # an early version wrote none
        return
    check_classes_stay(before["fingerprint"], now, data=settings.data, of=str(settings.out))
    if changed := changes(before["fingerprint"], now):
        raise InputError(
            f"the data of {settings.out} have changed since its training began ({', '.join(changed)}); "
            "restore the data, or train a new run."
        )


def default_name(settings: ResolvedSettings) -> str:
    """Return DATA-MODEL-seedN, DATA the name of a data set, or of the folder where it is one of the user's own."""
    kind, _, path = settings.data.partition(":")
    folder = Path(path or settings.data_root or "") if kind in (*OF_A_PATH, "hf") else Path()
    data = re.sub(r"[\W_]+", "-", folder.name.lower()).strip("-") or kind
    model = slug([short_name(settings.model)]) if is_reference(settings.model) else settings.model
    return f"{data}-{model}-seed{settings.seed}"


# What may differ where a run is continued: the place, not the training.
_MOVABLE = ("resume", "data_root", "device", "log", "teachers")


def _resumed(settings: TrainSettings) -> tuple[ResolvedSettings, dict[str, Any] | None]:
    """Return the settings to train with, and the saved state if a run is to be continued."""
    if settings.resume is None:
        return experiment.resolve(settings), None
    for field in dataclasses.fields(TrainSettings):
        if field.name not in _MOVABLE and getattr(settings, field.name) != field.default:
            raise InputError(
                f"--{field.name.replace('_', '-')} cannot be given with --resume: "
                f"the run at {settings.resume} keeps the settings that it was started with."
            )
    stamp = run.checkpoint_stamp(settings.resume)
    saved = run.read_checkpoint(settings.resume) | {"stamp": stamp}
    began = experiment.read_settings(saved["settings"], source=settings.resume)
    kind, _, path = began.data.partition(":")
    data, root = began.data, settings.data_root or began.data_root
    if path and root is not None and root != began.data_root:  # a user's own folder has moved there
        data, root = f"{kind}:{root.expanduser().resolve()}", began.data_root
    device = began.device if settings.device == "auto" else settings.device
    log = settings.log or began.log
    teachers = tuple(path.expanduser().resolve() for path in settings.teachers) or began.teachers
    moved = dataclasses.replace(began, out=settings.resume, data=data, data_root=root, device=device)
    return dataclasses.replace(moved, log=log, teachers=teachers), saved


def _steps(images: int, settings: ResolvedSettings, accelerator: Accelerator) -> int:
    """Count the optimizer steps of one epoch."""
    batches = batch_order(images, settings.batch_size, Generator(), accelerator.num_processes)
    if len(batches[0]) < 2 * accelerator.num_processes:
        raise InputError(
            f"a batch has {len(batches[0])} images for {accelerator.num_processes} processes, expected at least 2 "
            "images per process, because of batch-norm; raise --batch-size or add images."
        )
    return len(batches)


def _start(parts: Experiment, settings: ResolvedSettings, accelerator: Accelerator, *, steps: int) -> TrainingState:
    order = memory_format(parts.description)
    model = parts.model.to(device=accelerator.device, memory_format=order)  # type: ignore[call-overload]
    freeze(model, settings.freeze)
    if accelerator.num_processes > 1:
        model = synchronize_batchnorm(model)
    return new_state(model, settings, steps=steps)


def _finish(loop: Loop) -> Run:
    """Measure the best weights on the test images, once, and write the manifest, which makes the run a finished one."""
    accelerator, state, path = loop.accelerator, loop.state, loop.path
    accelerator.wait_for_everyone()
    state.eval_model.load_state_dict(run.read_weights(path))
    test = loop.parts.dataset.test
    tested = loop.parts.task.evaluate(evaluate_split(loop, "test"), loop.parts.dataset.classes)
    if accelerator.is_main_process:
        metrics = {
            "epoch": state.best["epoch"],
            **{f"validation_{k}": v for k, v in state.best.items() if k != "epoch"},
            **{f"test_{k}": to_json(getattr(tested, k)) for k in loop.parts.task.saved_metrics},
        }
        sizes = {"train": loop.training, "validation": loop.validation, "test": test}
        how = {"device": accelerator.device.type, "precision": loop.precision, "processes": accelerator.num_processes}
        counts = {name: len(split) for name, split in sizes.items()}
        times = {"started": loop.started, "seconds": state.seconds}
        described = _manifest(loop.parts, loop.settings, how | times, counts, metrics)
        described["data"] |= {"fingerprint": dict(loop.fingerprint), "validation_leak": loop.validation_leak}
        if state.best_weights is not None:
            described["weights"] = {"epoch": state.best["epoch"], "digest": state.best_weights}
        if loop.teachers is not None:
            described["teachers"] = list(loop.teachers.digests)
        run.write_manifest(path, described)
        loop.watchers.end(metrics)
    accelerator.wait_for_everyone()
    return Run.open(path)


def _manifest(
    parts: Experiment,
    settings: ResolvedSettings,
    how: Mapping[str, Any],
    counts: Mapping[str, int],
    metrics: Mapping[str, Any],
) -> dict[str, Any]:
    """Put together run.json: settings as resolved, versions, machine, data, model with its layer table, final metrics.

    Args:
        parts: Data set, model and task.
        settings: As they were used.
        how: Device, precision and number of processes, as resolved; the start (local time, ISO 8601) and the seconds
            spent in training and validation, over all sessions of a resumed run.
        counts: Images in the training, validation and test part.
        metrics: Of the epoch whose weights are saved, on the validation and test parts.
    """
    described = dict(parts.description)
    shape = (1, described["in_channels"], described["image_size"], described["image_size"])
    described["layers"] = [dataclasses.asdict(layer) for layer in layer_table(parts.model, shape)]
    described["parameters"] = sum(p.numel() for p in parts.model.parameters())
    dataset = parts.dataset
    return {
        "schema_version": SCHEMA_VERSION,
        "glassnet": __version__,
        "settings": to_json(settings),
        "seed": settings.seed,
        **how,
        "versions": versions("torch", "accelerate", "numpy", "safetensors"),
        "machine": {"processor": _processor(), "cores": os.cpu_count(), "system": platform.platform()},
        "data": {
            "name": dataset.name,
            "note": dataset.note,
            "classes": list(dataset.classes),
            "channels": dataset.channels,
            "image_size": dataset.image_size,
            "leak": dataset.leak,
            **counts,
        },
        "model": described,
        "metrics": dict(metrics),
    }


def _processor() -> str:
    """Name the processor as Linux tells it, else as Python does."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())
