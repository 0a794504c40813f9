"""A few seconds of `make torture`, in processes of their own: one with threads, as a test's, must not be forked."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import glassnet
from tiny_runs import save_bars
from torture.process import DATA

TESTS = Path(__file__).parents[1]


def torture(tmp_path, *words):
    """Run a part and return what it wrote."""
    path = os.pathsep.join((str(Path(glassnet.__file__).parents[1]), str(TESTS)))
    command = [sys.executable, "-m", "torture", *map(str, words), "--out", tmp_path / "torture.json"]
    environment = {**os.environ, "PYTHONPATH": path, DATA: f"folder:{save_bars(tmp_path / 'bars')}"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return json.loads((tmp_path / "torture.json").read_text())["parts"]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_training_is_killed_meets_a_full_disk_one_that_is_read_only_and_another_training(tmp_path):
    result = torture(tmp_path, "--part", "kill", "disk", "readonly", "writers", "--kills", 1, "--only", "train")
    tried = {"kill": 1, "disk": 4, "readonly": 2, "writers": 1}
    for part, one in result.items():
        if "skipped" in one:  # only root may mount a small disk
            continue
        assert one["faults"] == [], part
        assert one["clean"] >= tried[part]  # one that ended before it was killed is tried again


def test_mutated_files_are_read_or_refused_in_one_sentence(tmp_path):
    result = torture(tmp_path, "--part", "mutate", "--mutations", 12, "--commands", 0)["mutate"]
    kinds = {name: one for name, one in result.items() if isinstance(one, dict)}
    assert len(kinds) == 16
    for name, one in kinds.items():
        assert one["files"] == one.get("read", 0) + one.get("refused", 0) == 12, name
        assert one["slowest_seconds"] < 10
        assert not one["exploded"]
