"""Mutated files are read by the library, in processes that may crash or hang, and some by the command line."""

import json
import os
import random
import resource
import select
import shutil
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torture.kill import prepare
from torture.process import Process, command, must
from torture.readers import COMMANDS, Kind, line, make_kinds

HANG_SECONDS = 10
MOST_MEGABYTES = 1024
BOMB = "pickle-bomb-exploded"


def run(
    place: Path, *, count: int, by_command: int, seed: int, until: float, only: Sequence[str] = ()
) -> dict[str, Any]:
    """Read `count` mutated files of each kind, and some of a run by the command line.

    Returns:
        By kind: how many were read or refused in one sentence, and what else happened.
    """
    made = prepare(place / "templates")
    if by_command:  # they then make no analysis anew
        must("report", made["finished"])
    kinds = make_kinds(place / "files", made["finished"], made["started"])
    here = Path.cwd()
    os.chdir(place)
    try:
        chosen = {name: kind for name, kind in kinds.items() if not only or name in only}
        return {name: _kind(name, kind, count, by_command, seed, until) for name, kind in chosen.items()}
    finally:
        os.chdir(here)


def _kind(name: str, kind: Kind, count: int, by_command: int, seed: int, until: float) -> dict[str, Any]:
    good = kind.file.read_bytes()
    outcomes: Counter[str] = Counter()
    faults: dict[str, dict[str, Any]] = {}
    most, slowest, done = 0.0, 0.0, 0
    while done < count and time.monotonic() < until:
        for case in _worker(kind, good, range(done, count), f"{seed}/{name}", until):
            done = case["case"] + 1
            outcomes[case["outcome"]] += 1
            slowest, most = max(slowest, case["seconds"]), max(most, case["megabytes"])
            if case["outcome"] not in ("read", "refused"):
                fault = faults.setdefault(case["fault"], {"fault": case["fault"], "count": 0, "first": case["case"]})
                fault["count"] += 1
    commands = _by_command(name, kind, good, by_command, f"{seed}/{name}", until) if name in COMMANDS else None
    kind.file.write_bytes(good)
    bombs = Path(BOMB).exists()
    return {
        "files": done, **outcomes, "slowest_seconds": round(slowest, 2), "megabytes": round(most), "exploded": bombs,
        "faults": list(faults.values()), **({"by_command": commands} if commands else {}),
    }  # fmt: skip


def _worker(kind: Kind, good: bytes, cases: range, seed: str, until: float) -> list[dict[str, Any]]:
    """Read files in one process until all are read, or it crashes or hangs."""
    ours, theirs = os.pipe()
    process = Process(lambda: _read_all(kind, good, cases, seed, theirs))
    os.close(theirs)
    lines, rest, begun = [], b"", cases.start
    limit = 60.0  # the first loads libraries
    while time.monotonic() < until + HANG_SECONDS:
        ready, _, _ = select.select([ours], [], [], limit)
        piece = os.read(ours, 65536) if ready else b""
        if not piece:
            break
        *whole, rest = (rest + piece).split(b"\n")
        lines += [json.loads(one) for one in whole]
        begun, limit = lines[-1]["case"] + 1 if lines else begun, HANG_SECONDS
    os.close(ours)
    hung = process.is_running() and begun < cases.stop and time.monotonic() < until
    time.sleep(0.05)
    process.kill()
    ended = process.wait()
    lines = [one for one in lines if one["case"] >= 0]
    if begun < cases.stop and time.monotonic() < until:
        fault = f"hangs for {HANG_SECONDS} s" if hung else f"the process died ({ended.code}) {ended.text[-200:]}"
        lines.append(_case(max(begun, cases.start), "hung" if hung else "crashed", HANG_SECONDS * hung, 0, fault))
    return lines


def _case(number: int, outcome: str, seconds: float, megabytes: float, fault: str = "") -> dict[str, Any]:
    return {"case": number, "outcome": outcome, "seconds": seconds, "megabytes": megabytes, "fault": fault}


def _read_all(kind: Kind, good: bytes, cases: range, seed: str, pipe: int) -> None:
    kind.file.write_bytes(good)
    kind.read()  # a good file is read, and libraries are loaded
    idle = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    os.write(pipe, line(_case(cases.start - 1 if cases.start else -1, "ready", 0, 0)) if not cases.start else b"")
    for number in cases:
        kind.file.write_bytes(_changed(kind, good, f"{seed}/{number}"))
        start = time.monotonic()
        outcome, fault = _read_one(kind)
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - idle
        if grown > MOST_MEGABYTES and outcome in ("read", "refused"):
            outcome, fault = "memory", f"takes {MOST_MEGABYTES} MB or more"
        os.write(pipe, line(_case(number, outcome, time.monotonic() - start, grown, fault)))
        if outcome == "memory":
            return  # a fresh process measures anew


def _changed(kind: Kind, good: bytes, seed: str) -> bytes:
    """Change a file; a change that by chance changes nothing does not count."""
    draw = random.Random(seed)
    changed = good
    while changed == good:
        changed = kind.change(good, draw)
    return changed


def _read_one(kind: Kind) -> tuple[str, str]:
    from glassnet.errors import GlassnetError

    try:
        kind.read()
    except GlassnetError as error:
        return ("refused", "") if "\n" not in str(error) else ("unclear", f"several lines: {error!r}"[:200])
    except BaseException as error:
        frames = [one for one in traceback.extract_tb(error.__traceback__) if "/glassnet/" in one.filename]
        where = f"{Path(frames[-1].filename).name}:{frames[-1].name}" if frames else "?"
        return "traceback", f"{type(error).__name__} in {where}: {' '.join(str(error).split())[:60]}"
    return "read", ""


def _by_command(name: str, kind: Kind, good: bytes, count: int, seed: str, until: float) -> dict[str, Any]:
    faults, done = [], 0
    template = kind.file.parents[len(kind.file.parts) - 1 - kind.file.parts.index("run")]
    for number in range(count):
        if time.monotonic() > until:
            break
        kind.file.write_bytes(good)
        copy = template.with_name("copy")
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(template, copy)
        place = copy / kind.file.relative_to(template)
        place.write_bytes(_changed(kind, good, f"{seed}/command/{number}"))
        ended = command(*COMMANDS[name](copy))
        done += 1
        fault = ended.fault or (f"takes {ended.megabytes:.0f} MB" if ended.megabytes > MOST_MEGABYTES else "")
        if fault:
            faults.append({"number": number, "fault": fault})
    return {"files": done, "faults": faults}
