"""A full disk, a disk that may only be read, and two writers at once."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from torture.kill import CASES, prepare, words_for
from torture.process import command as run_command
from torture.process import must, names_in, start, weights_digest

DISK_MEGABYTES = 24
ROOM_KILOBYTES = (0, 8, 64, 300)
"""What is left free when a command begins."""
TEMPORARY = ".tmp"


@contextlib.contextmanager
def small_disk(place: Path) -> Iterator[str]:
    """Mount a small file system in memory; yields why not where that is not allowed."""
    place.mkdir(parents=True)
    size = f"size={DISK_MEGABYTES}m"
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", place], capture_output=True, text=True)
    if done.returncode:
        yield f"no small disk can be mounted: {done.stderr.strip()}"
        return
    try:
        yield ""
    finally:
        subprocess.run(["umount", "-l", place], check=False)


def full(place: Path, only: Sequence[str] = tuple(CASES)) -> dict[str, Any]:
    """Run every command on a disk that fills up at four points; then free the disk, and run it again."""
    made, tried, faults = prepare(place / "templates", [CASES[name].prepared for name in only]), 0, []
    with small_disk(place / "disk") as why_not:
        if why_not:
            return {"skipped": why_not}
        for name in only:
            for room in ROOM_KILOBYTES:
                fault = _fill(place / "disk", name, made, room)
                tried += 1
                if fault:
                    faults.append({"command": name, "room_kilobytes": room, "fault": fault})
    return {"tried": tried, "clean": tried - len(faults), "faults": faults}


def _fill(disk: Path, name: str, made: dict[str, Path], room: int) -> str:
    for path in disk.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    case, run = CASES[name], disk / "run"
    shutil.copytree(made[case.prepared], run)
    free = os.statvfs(disk)
    (disk / "filler").write_bytes(b"\0" * max(0, free.f_bavail * free.f_frsize - room * 1024))
    ended = run_command(*words_for(case.words, run))
    if ended.fault:
        return ended.fault
    stray = [one for one in names_in(run) if TEMPORARY in one]
    if stray:
        return f"stray: {stray}"
    (disk / "filler").unlink()
    again = case.again(run) if case.again else case.words
    more = run_command(*words_for(again, run))
    if more.code and "no analysis" not in more.text:
        return f"goes not on with room ({more.code}): {more.text[-300:]}"
    return ""


def read_only(place: Path, only: Sequence[str] = tuple(CASES)) -> dict[str, Any]:
    """Run every command on a disk that may only be read: one sentence, or the work done without a trace."""
    needed = ["finished", *(CASES[name].prepared for name in only)]
    made, tried, faults = prepare(place / "templates", needed), 0, []
    with small_disk(place / "disk") as why_not:
        if why_not:
            return {"skipped": why_not}
        disk = place / "disk"
        for kind in {"", *needed}:
            shutil.copytree(made[kind], disk / (kind or "nothing"))
        must("report", made["finished"])
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        before = names_in(disk)
        for case in (CASES[name] for name in only):
            ended = run_command(*words_for(case.words, disk / (case.prepared or "nothing")))
            tried += 1
            fault = ended.fault or ("" if names_in(disk) == before else "something was written")
            if fault:
                faults.append({"command": case.words[0], "fault": fault})
        elsewhere = run_command("report", disk / "finished", "--out", place / "elsewhere.html")
        tried += 1
        if elsewhere.code or not (place / "elsewhere.html").exists():
            faults.append({"command": "report --out elsewhere", "fault": elsewhere.text[-300:]})
    return {"tried": tried, "clean": tried - len(faults), "faults": faults}


def writers(place: Path, only: Sequence[str] = tuple(CASES)) -> dict[str, Any]:
    """Run every command twice at once in one folder; then the folder is as if there had been one."""
    made, tried, faults = prepare(place / "templates", [CASES[name].prepared for name in only]), 0, []
    expected = weights_digest(made["finished"])
    for name, case in ((name, CASES[name]) for name in only):
        run = place / name
        shutil.copytree(made[case.prepared], run)
        both = [start(*words_for(case.words, run)) for _ in range(2)]
        ended = [process.wait() for process in both]
        tried += 1
        fault = next((one.fault for one in ended if one.fault), "") or _after_two(run, name, ended)
        if not fault and name in ("train", "resume") and weights_digest(run) != expected:
            fault = "other weights"
        if fault:
            faults.append({"command": name, "fault": fault})
    return {"tried": tried, "clean": tried - len(faults), "faults": faults}


def _after_two(run: Path, name: str, ended: list[Any]) -> str:
    if all(one.code for one in ended):
        return f"neither ended well: {ended[0].text[-200:]} | {ended[1].text[-200:]}"
    stray = [one for one in names_in(run) if TEMPORARY in one]
    if stray:
        return f"stray: {stray}"
    if name in ("train", "resume") and len((run / "metrics.jsonl").read_text().splitlines()) != 3:
        return "metrics.jsonl has not three lines"
    after = run_command("report", run) if name != "tune" else run_command(*words_for(CASES["tune"].words, run))
    return f"no report after: {after.text[-300:]}" if after.code else ""
