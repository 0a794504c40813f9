"""The run directory: the only thing that passes between training and analysis; this package alone reads and writes it.

    runs/<name>/
      run.json              manifest, written last: a directory with one is a finished run
      metrics.jsonl         a line per epoch, appended and flushed
      model.safetensors     best weights, with their epoch and digest
      checkpoint/state.pt   last full state, for --resume; owner.json there names the process that trains
      analyses/             every analysis, as the store keeps them
      report.html

Every file is written to a temporary name in the same folder and renamed, so that a reader never sees half a file.
"""

from glassnet.run.directory import SCHEMA_VERSION, RunDirectory
from glassnet.run.manifest import require_metrics
from glassnet.run.training_files import (
    NEXT,
    append_history,
    history_digest,
    read_history,
    read_weights,
    settle_weights,
    truncate_history,
    write_checkpoint,
    write_weights,
)
from glassnet.run.unfinished import (
    checkpoint_stamp,
    create,
    discard_start,
    read_checkpoint,
    sweep,
    training_lock,
    write_manifest,
)

__all__ = [
    "NEXT",
    "SCHEMA_VERSION",
    "RunDirectory",
    "append_history",
    "checkpoint_stamp",
    "create",
    "discard_start",
    "history_digest",
    "read_checkpoint",
    "read_history",
    "read_weights",
    "require_metrics",
    "settle_weights",
    "sweep",
    "training_lock",
    "truncate_history",
    "write_checkpoint",
    "write_manifest",
    "write_weights",
]
