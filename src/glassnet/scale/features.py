"""Features over an engine's workers: shards of the images to processes that hold the model once each, rows to files."""

from __future__ import annotations

import hashlib
import mmap
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import nn

from glassnet.console import progress
from glassnet.errors import InputError
from glassnet.images import ImageRows, Images, check_images
from glassnet.models.features import extract_features as extract_here
from glassnet.models.inference import ModelCall
from glassnet.models.layers import LayerChoice
from glassnet.models.parts import Part
from glassnet.run.training_files import tensors_digest
from glassnet.scale.engines import Engine, open_workers
from glassnet.scale.parquet import require_pyarrow, write_parquet
from glassnet.scale.shards import Shard, ShardFiles, split
from glassnet.scale.workers import Failure, Task

MOST_BATCHES, FEWEST_SHARDS = 8, 16
"""A shard has so many batches at most: less is lost with a worker; but images enough for so many workers are shared."""
SAMPLED_IMAGES = 1024
"""Of more images than these, so many are digested, evenly spread, to know them again."""


def extract_features(
    model: nn.Module,
    images: Images | ImageRows,
    layers: LayerChoice,
    *,
    pool: Literal["mean", "none"] = "mean",
    batch_size: int = 512,
    precision: Literal["auto", "fp32", "bf16"] = "fp32",
    out: str | os.PathLike[str] | None = None,
    output: Part | None = None,
    forward: ModelCall | None = None,
    engine: str = "local",
    workers: int | None = None,
    address: str | None = None,
    worker_cpus: int = 1,
    format: Literal["npy", "parquet"] = "npy",
) -> dict[str, Float[np.ndarray, "n d"]]:
    """Return the features that layers compute for each image: one float32 row of d numbers per image.

    The model stays on its device and is left as it was found, even after an error.

    Args:
        model: Any module that takes one image batch, or what `forward` gives it.
        images: (n, channel, height, width): uint8 (scaled to [0, 1] here, batch by batch) or float as the model takes
            it; a tensor or a NumPy array, which may be a memory map larger than memory.
        layers: What `select_layers` takes: names, patterns, kinds or modules (listed under their names). A layer that
            runs twice gives "relu:0" and "relu:1".
        pool: "mean" averages each channel over all other axes: pixels or tokens, the class token included. "none" keeps
            every number, so d is the size of the flattened output. A trace of the forward pass finds which axis holds
            channels and which one images: (n, d, height, width), (n, height, width, d), (n, tokens, d),
            (tokens, n, d), windows.
        batch_size: Images per forward pass; affects memory and time, not the result.
        precision: "bf16" runs under autocast, "auto" does so where the hardware gains from it; rows are always float32.
        out: Folder to stream the rows to, as one file LAYER.npy per layer, so that memory does not grow with the number
            of images. The returned arrays are read-only memory maps of these files. A file gets its name once all its
            rows are there, and replaces an older file of that name. With an engine other than "local", a call that was
            killed continues where it stopped: rows listed in the folder's features.jsonl are not computed again.
        output: Which part of a layer's output to take if it is a tuple or a dict, as for an LSTM or a transformer
            block: a name, an index, or a callable from the layer's output to a tensor. Default: the only tensor in it.
        forward: How to call the model on a batch; see `explain`.
        engine: "local" computes in this process, "processes" in several processes on this machine, "ray" on a Ray
            cluster. Each worker holds the model once. Batches are the same as here, and so are the rows, to the last
            bit on processors of the same kind with as many threads.
        workers: Number of workers for an engine other than "local"; None for as many as the CPUs allow.
        address: The Ray cluster: "auto" or HOST:PORT; None starts one on this machine.
        worker_cpus: Threads per worker, and CPUs that Ray reserves for it.
        format: "parquet" also writes LAYER.parquet/00000.parquet and so on to `out`, with the columns number and
            vector.

    Raises:
        InputError: An image is NaN; the shape is wrong; a layer is unknown, did not run, gives no tensor, or gives one
            whose channel axis is unclear; `out` cannot be written; or the engine is not installed.
        WorkError: A shard killed three workers; finished shards stay in `out`.
    """
    chosen = Engine(engine, workers, address, worker_cpus)
    if format not in ("npy", "parquet"):
        raise InputError(f"format is '{format}', expected npy or parquet.")
    if format == "parquet":
        require_pyarrow()
        if out is None:
            raise InputError("format is 'parquet', which needs a folder to write to; pass out=….")
    check_images(images, batch_size)
    shards = shards_of(len(images), batch_size)
    if engine == "local":
        rows = extract_here(
            model,
            images,
            layers,
            pool=pool,
            batch_size=batch_size,
            precision=precision,
            out=out,
            output=output,
            forward=forward,
        )
    else:
        job = Job(model, layers, pool, batch_size, precision, output, forward)
        rows = _over_workers(job, images, shards, chosen, out)
    if format == "parquet" and out is not None:
        write_parquet(Path(out), rows, shards)
    return rows


def shards_of(images: int, batch_size: int) -> list[Shard]:
    """Cut images into shards of whole batches, the same whatever the number of workers, which may change on the way."""
    batches = -(-images // batch_size)
    return split(images, batch_size * min(MOST_BATCHES, max(1, batches // FEWEST_SHARDS)))


@dataclass(frozen=True)
class Job:
    """What every worker needs: the model, and how features are taken from it."""

    model: nn.Module
    layers: LayerChoice
    pool: Literal["mean", "none"]
    batch_size: int
    precision: Literal["auto", "fp32", "bf16"]
    output: Part | None
    forward: ModelCall | None

    def about(self, images: Images | ImageRows) -> dict[str, Any]:
        """Return what decides the rows, as JSON values, to know an extraction again that was stopped."""
        layers = [self.layers] if isinstance(self.layers, str | nn.Module) else list(self.layers)
        names = {id(module): name for name, module in self.model.named_modules()}
        return {
            "model": tensors_digest(self.model.state_dict()),
            "network": hashlib.sha256(repr(self.model).encode()).hexdigest()[:16],
            "images": {"shape": list(images.shape), "type": _part(images, 0, 1).dtype.name, "digest": _digest(images)},
            "layers": [names.get(id(one), str(one)) for one in layers],
            "pool": self.pool,
            "batch_size": self.batch_size,
            "precision": self.precision,
            "output": getattr(self.output, "__qualname__", self.output),
            "forward": getattr(self.forward, "__qualname__", None),
        }


def _digest(images: Images | ImageRows) -> str:
    """Digest the images, or of many a sample."""
    chosen = np.unique(np.linspace(0, len(images) - 1, min(len(images), SAMPLED_IMAGES)).astype(np.int64))
    digest = hashlib.blake2b(digest_size=16)
    for number in chosen:
        digest.update(_part(images, int(number), int(number) + 1).tobytes())
    return digest.hexdigest()


def _over_workers(
    job: Job, images: Images | ImageRows, shards: list[Shard], engine: Engine, out: str | os.PathLike[str] | None
) -> dict[str, np.ndarray]:
    """Extract over workers into a folder, which is a passing one where the rows are to lie in memory."""
    given = Path(tempfile.mkdtemp(prefix="glassnet-features-")) if out is None else Path(out)
    try:
        files = ShardFiles(given, job.about(images), len(images))
        missing = files.missing(shards)
        if missing:
            with (
                open_workers(engine, most=len(missing), ahead=1) as workers,
                _sent(job, engine) as held,
                progress("extracting features", len(shards)) as advance,
            ):
                advance(len(shards) - len(missing))
                for shard, result in workers.complete(missing, partial(_task, held, images), name=_name):
                    if isinstance(result, Failure):
                        raise result.raised()
                    files.write(shard, result)
                    advance()
        rows = files.finish()
        return rows if out is not None else {name: np.array(mapped) for name, mapped in rows.items()}
    finally:
        if out is None:
            shutil.rmtree(given, ignore_errors=True)


def _part(images: Images | ImageRows, start: int, stop: int) -> np.ndarray:
    """Return some images as an array of their own, which can be sent; NumPy has no bfloat16."""
    part = images[start:stop]
    if isinstance(part, np.ndarray):
        copied = np.array(part)
        _let_go(images)
        return copied
    part = part.detach().cpu()
    return np.ascontiguousarray((part.float() if part.dtype == torch.bfloat16 else part).numpy())


def _let_go(images: Any) -> None:
    """Give back the pages of a memory map that have been read: they count as this process's memory."""
    held = images
    while isinstance(held, np.ndarray) and getattr(images, "mode", "") == "r":
        held = held.base
    if isinstance(held, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        held.madvise(mmap.MADV_DONTNEED)


def _name(shard: Shard) -> str:
    return f"images {shard.start:,} to {shard.stop - 1:,}"


def _task(held: Held, images: Images | ImageRows, shard: Shard) -> Task:
    return rows_of, held, _part(images, shard.start, shard.stop), shard.start


def rows_of(held: Held, images: np.ndarray, start: int) -> dict[str, np.ndarray]:
    """Compute the rows of one shard in a worker.

    Raises:
        InputError: As `extract_features` says.
    """
    if images.dtype.kind == "f":
        finite = np.isfinite(images).all(axis=(1, 2, 3))
        if not finite.all():
            raise InputError(f"image {start + int(finite.argmin())} has NaN or infinite pixels; leave it out.")
    job: Job = held.get()
    return extract_here(
        job.model,
        images,
        job.layers,
        pool=job.pool,
        batch_size=job.batch_size,
        precision=job.precision,
        output=job.output,
        forward=job.forward,
    )


@dataclass(frozen=True)
class Held:
    """What a worker process unpacks once and keeps: the model with all that belongs to it.

    Attributes:
        key: Tells one extraction from the next.
        fetch: Gives the packed bytes.
    """

    key: str
    fetch: Callable[[], bytes]

    def get(self) -> Any:
        """Return it, unpacked when this process needs it first."""
        import cloudpickle

        if self.key not in _unpacked:
            _unpacked.clear()
            _unpacked[self.key] = cloudpickle.loads(self.fetch())
        return _unpacked[self.key]


_unpacked: dict[str, Any] = {}


@contextmanager
def _sent(job: Job, engine: Engine) -> Iterator[Held]:
    """Pack a job once, and put it where every worker can fetch it."""
    content = _packed(job)
    key = hashlib.blake2b(content, digest_size=16).hexdigest()
    if engine.name == "ray":
        from glassnet.scale.ray import Shared

        yield Held(key, Shared.put(content))
        return
    with tempfile.TemporaryDirectory(prefix="glassnet-model-") as folder:
        file = Path(folder) / "job.pickle"
        file.write_bytes(content)
        yield Held(key, file.read_bytes)


def _packed(job: Job) -> bytes:
    """Pickle a job; the code of modules that a worker could not import, as of a network's own file, goes with it.

    Raises:
        InputError: The network holds what cannot be sent to another process.
    """
    import cloudpickle

    kinds = {type(module).__module__ for module in job.model.modules()}
    own = [sys.modules[name] for name in kinds if name in sys.modules and not _importable(name)]
    for module in own:
        cloudpickle.register_pickle_by_value(module)
    try:
        packed: bytes = cloudpickle.dumps(job)
        return packed
    except Exception as error:  # whatever the parts of anybody's network raise
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        raise InputError(
            f"{type(job.model).__name__} cannot be sent to another process ({reason}); pass engine='local'."
        ) from None
    finally:
        for module in own:
            cloudpickle.unregister_pickle_by_value(module)


def _importable(name: str) -> bool:
    """Tell whether a module would be found by a new process, by its first part."""
    first = name.partition(".")[0]
    return first in sys.builtin_module_names or PathFinder.find_spec(first) is not None
