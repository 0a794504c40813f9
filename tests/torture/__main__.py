"""Run all of the torture or one part of it, and write what happened as JSON.

`make torture`, or `make torture PART=kill`: kill, disk, readonly, writers, mutate.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # a process with threads must not be forked
os.environ["GLASSNET_OFFLINE"] = "1"

from torture import disk, files, kill
from torture.process import load_everything

SHARES = {"kill": 0.5, "disk": 0.1, "readonly": 0.05, "writers": 0.1, "mutate": 0.25}
"""Parts of the time that each may take, where all are run."""


def main() -> int:
    """Run the parts; 1 if any found a fault."""
    asked = _arguments().parse_args()
    load_everything()
    parts = asked.part or list(SHARES)
    results: dict[str, Any] = {}
    about = {"machine": platform.platform(), "python": platform.python_version(), "seed": asked.seed}
    with tempfile.TemporaryDirectory(prefix="torture-") as name:
        for part in parts:
            seconds = asked.minutes * 60 * SHARES[part] / sum(SHARES[one] for one in parts)
            start = time.monotonic()
            results[part] = _parts(asked, start + seconds)[part](Path(name) / part)
            results[part] = {"seconds": round(time.monotonic() - start), **results[part]}
            print(json.dumps({part: results[part]}, indent=1), flush=True)
            asked.out.parent.mkdir(parents=True, exist_ok=True)
            asked.out.write_text(json.dumps({**about, "parts": results}, indent=1) + "\n")  # so far
    print(f"written: {asked.out}")
    return int(any(_faults(result) for result in results.values()))


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make torture", description=__doc__)
    parser.add_argument("--part", choices=list(SHARES), nargs="+")
    parser.add_argument(
        "--minutes", type=float, default=20, help="no part begins anything new after its share of these"
    )
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--mutations", type=int, default=1000, help="of each kind of file")
    parser.add_argument("--commands", type=int, default=5, help="mutated files of each kind that a command reads")
    parser.add_argument("--only", nargs="+", default=(), help="commands to kill, or kinds of files to mutate")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("torture.json"))
    return parser


def _parts(asked: argparse.Namespace, until: float) -> dict[str, Callable[[Path], dict[str, Any]]]:
    return {
        "kill": lambda place: kill.run(
            place, count=asked.kills, seed=asked.seed, until=until, only=asked.only or tuple(kill.CASES)
        ),
        "disk": lambda place: disk.full(place, asked.only or tuple(kill.CASES)),
        "readonly": lambda place: disk.read_only(place, asked.only or tuple(kill.CASES)),
        "writers": lambda place: disk.writers(place, asked.only or tuple(kill.CASES)),
        "mutate": lambda place: files.run(
            place, count=asked.mutations, by_command=asked.commands, seed=asked.seed, until=until, only=asked.only
        ),
    }


def _faults(result: Any) -> list[Any]:
    """Gather the faults out of a part's result."""
    if isinstance(result, dict):
        return list(result.get("faults", [])) + [fault for value in result.values() for fault in _faults(value)]
    return []


if __name__ == "__main__":
    sys.exit(main())
