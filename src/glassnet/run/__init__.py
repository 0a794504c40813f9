"""The run directory: the only thing that passes between training and analysis; this package alone reads and writes it.

    runs/<name>/
      run.json              manifest, written last: a directory with one is a finished run
      metrics.jsonl         a line per epoch, appended and flushed
      model.safetensors     best weights
      checkpoint/state.pt   last full state, for --resume
      analyses/             every analysis, as the store keeps them
      report.html

Every file is written to a temporary name in the same folder and renamed, so that a reader never sees half a file.
"""

from glassnet.run.directory import SCHEMA_VERSION, RunDirectory
from glassnet.run.unfinished import (
    append_history,
    create,
    read_checkpoint,
    read_history,
    read_weights,
    truncate_history,
    write_checkpoint,
    write_manifest,
    write_weights,
)

__all__ = [
    "SCHEMA_VERSION",
    "RunDirectory",
    "append_history",
    "create",
    "read_checkpoint",
    "read_history",
    "read_weights",
    "truncate_history",
    "write_checkpoint",
    "write_manifest",
    "write_weights",
]
