"""What run.json says of a training, so that it can be understood and done again."""

import os
import platform
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from glassnet import __version__
from glassnet.experiment import Experiment
from glassnet.models.summary import layer_table
from glassnet.run import SCHEMA_VERSION
from glassnet.settings import ResolvedSettings, to_json
from glassnet.versions import versions


def manifest(
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
    described["layers"] = [asdict(layer) for layer in layer_table(parts.model, shape)]
    described["parameters"] = sum(p.numel() for p in parts.model.parameters() if p.requires_grad)
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
