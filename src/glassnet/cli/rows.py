"""`glassnet features --engine`, `--rows` and `--format`: where features are extracted, and what is kept of them."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from glassnet.analysis.base import Context, Precision
from glassnet.analysis.features import Extract, FeaturesRequest, drawn, image_labels
from glassnet.console import say
from glassnet.files import writable_target
from glassnet.images import ImageRows, Images
from glassnet.scale.engines import Engine
from glassnet.scale.features import extract_features, shards_of
from glassnet.scale.parquet import require_pyarrow, write_parquet
from glassnet.settings import FeaturesSettings
from glassnet.subject import Subject


@contextlib.contextmanager
def rows_of(settings: FeaturesSettings, subject: Subject, context: Context) -> Iterator[Extract | None]:
    """Yield what extracts features as the settings say, or None where nothing is said.

    Raises:
        InputError: The engine or pyarrow is not installed, or nothing can be written to the folder.
    """
    if settings.engine == "local" and settings.rows is None:
        yield None
        return
    Engine(settings.engine, settings.workers, settings.address, settings.worker_cpus)  # refuses before any work
    if settings.format == "parquet":
        require_pyarrow()
    with _folder(settings, subject) as folder:

        def extract(
            model: nn.Module, images: Images | ImageRows, layers: Sequence[str], precision: Precision, batch_size: int
        ) -> dict[str, np.ndarray]:
            rows = extract_features(
                model,
                images,
                list(layers),
                precision=precision,
                batch_size=batch_size,
                out=folder,
                engine=settings.engine,
                workers=settings.workers,
                address=settings.address,
                worker_cpus=settings.worker_cpus,
            )
            if settings.format == "parquet":
                write_parquet(folder, rows, shards_of(len(images), batch_size), _beside(settings, subject, context))
            return rows

        yield extract
    if settings.rows is not None:
        say(f"rows: {settings.rows}")


@contextlib.contextmanager
def _folder(settings: FeaturesSettings, subject: Subject) -> Iterator[Path]:
    """Yield the folder of the rows: one that is given, or one that is gone when the analyses are kept.

    Where the command is killed, that one stays, and the next one goes on from it.
    """
    if settings.rows is not None:
        yield writable_target(settings.rows, "--rows", folder=True)
        return
    if subject.store is None or not subject.store.writable:
        with tempfile.TemporaryDirectory(prefix="glassnet-features-") as passing:
            yield Path(passing)
        return
    folder = subject.store.root / "features" / ".rows"
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def _beside(settings: FeaturesSettings, subject: Subject, context: Context) -> dict[str, list[Any]]:
    """Return what Parquet has beside each image's row: its stable number, its label in words, its file."""
    asked = FeaturesRequest("", settings.most, settings.split, settings.seed)
    part = subject.part(settings.split).subset(drawn(subject, asked, context))
    columns: dict[str, list[Any]] = {"image": part.numbers.tolist()}
    if subject.labelled:
        names = [*subject.classes, None]
        columns["label"] = [names[label] for label in image_labels(part.targets)]
    if part.files is not None:
        columns["file"] = list(part.files)
    return columns
