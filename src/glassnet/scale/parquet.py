"""Features as Parquet, which other programs read: a folder a layer, a file a shard, a row an image."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

import numpy as np

from glassnet.errors import InputError
from glassnet.files import atomic, cannot_write
from glassnet.scale.shards import Shard

Columns = Mapping[str, Sequence[object]]
"""What else stands beside each image's row, by name."""


def require_pyarrow() -> None:
    """Refuse to go on where pyarrow is not installed.

    Raises:
        InputError: It is not.
    """
    if importlib.util.find_spec("pyarrow") is None:
        raise InputError("--format parquet needs pyarrow; install it with `pip install 'glassnet[ray]'`.")


def write_parquet(
    folder: Path, rows: Mapping[str, np.ndarray], shards: Sequence[Shard], beside: Columns | None = None
) -> list[Path]:
    """Write each layer's rows to LAYER.parquet/00000.parquet and so on, with the columns number and vector.

    Args:
        folder: Where.
        rows: By layer, also as memory maps: a shard is read at a time.
        shards: Which rows go into which file.
        beside: Further columns.

    Returns:
        The folders.

    Raises:
        WriteError: The disk refuses.
    """
    folders = []
    for layer, array in rows.items():
        target = folder / f"{quote(layer, safe=' :')}.parquet"
        target.mkdir(parents=True, exist_ok=True)
        for old in target.glob("*.parquet"):
            old.unlink()
        for shard in shards:
            _write(target / f"{shard.number:05d}.parquet", array, shard, beside or {})
        folders.append(target)
    return folders


def _write(file: Path, array: np.ndarray, shard: Shard, beside: Columns) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    part = np.ascontiguousarray(array[shard.start : shard.stop], dtype=np.float32)
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(part.reshape(-1)), part.shape[1])
    table = {"number": pa.array(np.arange(shard.start, shard.stop)), "vector": vectors}
    more = {name: pa.array(list(values[shard.start : shard.stop])) for name, values in beside.items()}
    try:
        with atomic(file) as temporary:
            parquet.write_table(pa.table(table | more), temporary)
    except pa.ArrowException as error:
        raise cannot_write(file, OSError(str(error))) from None
