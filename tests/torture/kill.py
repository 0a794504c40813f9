"""Commands are killed at random moments; then the same command goes on, and nothing may tell that it was killed."""

import os
import random
import shutil
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torture.process import DATA, TINY, Ended, command, must, names_in, start, weights_digest

SETTINGS = ("--data", os.environ.get(DATA, "mnist-sample"), *TINY)


@dataclass(frozen=True)
class Case:
    """A command to kill.

    Attributes:
        words: Its words, RUN standing for the folder.
        prepared: What the folder holds before: "" for nothing, "started", "finished" or "analysed".
        again: The words that go on after the kill, by what the folder then holds.
    """

    words: Sequence[str]
    prepared: str
    again: Callable[[Path], Sequence[str]] | None = None


def _train_again(run: Path) -> Sequence[str]:
    """Go on as a user would: resume where there is a checkpoint, else train as before; finished is finished."""
    if (run / "run.json").exists():
        return ("eval", "RUN")
    if (run / "checkpoint" / "state.pt").exists():
        return ("train", "--resume", "RUN")
    return ("train", *SETTINGS, "--out", "RUN")


TUNE = ("tune", *SETTINGS[:2], *TINY[:3], "--epochs", "1", "--precision", "fp32", "--grid",
        "learning_rate=0.01", "0.02", "--seeds", "0", "--out", "RUN")  # fmt: skip
CASES = {
    "train": Case(("train", *SETTINGS, "--out", "RUN"), "", _train_again),
    "resume": Case(("train", "--resume", "RUN"), "started", _train_again),
    "eval": Case(("eval", "RUN"), "finished"),
    "features": Case(("features", "RUN", "--images", "120"), "finished"),
    "explain": Case(("explain", "RUN", "--images", "first:3"), "finished"),
    "eval-again": Case(("eval", "RUN", "--precision", "bf16"), "finished"),
    "features-again": Case(("features", "RUN", "--images", "120", "--seed", "1"), "analysed"),
    "explain-again": Case(("explain", "RUN", "--images", "first:3", "--target", "3"), "analysed"),
    "report": Case(("report", "RUN"), "finished"),
    "tune": Case(TUNE, ""),
    "analyses": Case(("analyses", "RUN", "--remove", "evaluation/test"), "finished"),
}


def words_for(words: Sequence[str], run: Path) -> list[str]:
    """Put the folder in."""
    return [str(run) if word == "RUN" else word for word in words]


def prepare(place: Path, needed: Sequence[str] = ("", "started", "finished", "analysed")) -> dict[str, Path]:
    """Make what commands begin with: nothing, a run that was stopped after an epoch, an evaluated one, one with more.

    Args:
        place: Where to make it.
        needed: Which of them; of the finished run the evaluation alone is left out.
    """
    place.mkdir(parents=True, exist_ok=True)
    made = {"": place / "nothing"} | {name: place / name for name in ("started", "finished", "analysed")}
    made[""].mkdir(exist_ok=True)
    must("train", *SETTINGS, "--out", made["finished"])
    if {"finished", "analysed"} & set(needed):
        must("eval", made["finished"])
    if "analysed" in needed:
        shutil.copytree(made["finished"], made["analysed"])
        for name in ("features", "explain"):
            must(*words_for(CASES[name].words, made["analysed"]))
    for _ in range(20 if "started" in needed else 0):
        process = start("train", *SETTINGS, "--out", made["started"])
        while process.is_running() and not (made["started"] / "checkpoint" / "state.pt").exists():
            time.sleep(0.01)
        process.kill()
        process.wait()
        if not (made["started"] / "run.json").exists() and (made["started"] / "checkpoint" / "state.pt").exists():
            return made
        shutil.rmtree(made["started"])
    if "started" in needed:
        raise RuntimeError("no training could be stopped after its first epoch")
    return made


def run(place: Path, *, count: int, seed: int, until: float, only: Sequence[str] = tuple(CASES)) -> dict[str, Any]:
    """Kill `count` commands, all of them in turn, and go on after each.

    Returns:
        Kills and faults by command, and what is wrong.
    """
    draw = random.Random(seed)
    made = prepare(place / "templates", [CASES[name].prepared for name in only])
    expected = weights_digest(made["finished"])
    whole = {name: _whole(place / name, CASES[name], made) for name in only}
    kills: Counter[str] = Counter()
    late: Counter[str] = Counter()
    faults: list[dict[str, Any]] = []
    for number in range(9 * count):  # some end before they are killed
        if time.monotonic() > until or sum(kills.values()) == count:
            break
        name = only[number % len(only)]
        folder = place / f"kill-{number}"
        problem, was_killed = _kill_once(CASES[name], folder, made, draw, whole[name], expected)
        (kills if was_killed else late)[name] += 1
        if problem:
            faults.append({"command": name, "number": number, "fault": problem})
        shutil.rmtree(folder, ignore_errors=True)
    return {
        "asked": count, "killed": sum(kills.values()), "ended_before": sum(late.values()), "by_command": dict(kills),
        "clean": sum(kills.values()) + sum(late.values()) - len(faults), "faults": faults,
    }  # fmt: skip


@dataclass(frozen=True)
class Whole:
    """A command that nobody kills: how long it takes, and which files are there then."""

    seconds: float
    names: set[str]


def _whole(folder: Path, case: Case, made: dict[str, Path]) -> Whole:
    shutil.copytree(made[case.prepared], folder)
    ended = must(*words_for(case.words, folder))
    if case.again is not None:  # what follows evaluates the run
        must("eval", folder)
    return Whole(ended.seconds, names_in(folder))


def _kill_once(
    case: Case, folder: Path, made: dict[str, Path], draw: random.Random, whole: Whole, expected: str
) -> tuple[str, bool]:
    shutil.copytree(made[case.prepared], folder)
    process = start(*words_for(case.words, folder))
    time.sleep(draw.uniform(0, whole.seconds))
    process.kill()
    killed = process.wait().code < 0
    ended = _go_on(case, folder)
    if ended.code and not (case.words[0] == "analyses" and "no analysis" in ended.text):
        return f"goes not on ({ended.code}): {ended.text[-400:]}", killed
    return _differs(case, folder, whole, expected) or _overwritten(case, folder, made), killed


def _go_on(case: Case, folder: Path) -> Ended:
    if case.again is None:
        return command(*words_for(case.words, folder))
    ended = command(*words_for(case.again(folder), folder))
    return ended if ended.code else command("eval", str(folder))


def _differs(case: Case, folder: Path, whole: Whole, expected: str) -> str:
    """Say how a folder differs from that of a command that nobody killed."""
    now = names_in(folder)
    stray, lacking = sorted(now - whole.names), sorted(whole.names - now)
    if stray:
        return f"stray: {stray[:5]}"
    if lacking:
        return f"lacking: {lacking[:5]}"
    if case.words[0] != "tune" and weights_digest(folder) != expected:
        return "other weights"
    return ""


def _overwritten(case: Case, folder: Path, made: dict[str, Path]) -> str:
    """Say which file was changed that was there before: none may be, but what was to be removed."""
    if case.prepared not in ("finished", "analysed") or case.words[0] == "analyses":
        return ""
    before = made[case.prepared]
    files = [path for path in before.rglob("*") if path.is_file()]
    changed = [path for path in files if (folder / path.relative_to(before)).read_bytes() != path.read_bytes()]
    return f"changed: {[str(path.relative_to(before)) for path in changed[:5]]}" if changed else ""
