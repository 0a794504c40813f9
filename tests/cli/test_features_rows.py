import json
import shutil
from concurrent.futures import Future

import numpy as np
import pytest

import glassnet as gn
from command_line import answer, call
from glassnet.run.store import Store
from glassnet.scale import engines
from glassnet.scale.workers import Workers

WORDS = ["--images", "80", "--layers", "conv4", "fc1", "--methods", "pca", "--dims", "2"]


class Inline:
    def submit(self, function, /, *arguments):
        future = Future()
        future.set_result(function(*arguments))
        return future

    def close(self, *, kill):
        pass


@pytest.fixture
def inline(monkeypatch):
    """Engine processes computes in this process; it can be made to die."""
    monkeypatch.setitem(engines.OPENERS, "processes", lambda *_: iter([Workers(Inline, 2, lost=())]))


def pictures(capsys, run, *words):
    """The points of each picture by its layer, and the names of the analyses."""
    made = answer(capsys, "features", run.path, *WORDS, *words)["pictures"]
    names = [one["analysis"] for one in made]
    return {name: Store(run.path).entry(name).arrays["points"] for name in names}


def test_rows_of_another_engine_give_the_same_pictures_and_leave_nothing(copy, tmp_path, capsys, inline):
    shutil.copytree(copy.path, tmp_path / "other")
    made = pictures(capsys, copy, "--engine", "processes", "--workers", 2)
    assert not (copy.path / "analyses" / "features" / ".rows").exists()
    here = pictures(capsys, gn.Run.open(tmp_path / "other"))
    assert list(made) == list(here)
    assert len(made) == 2
    for name, points in here.items():
        assert np.array_equal(made[name], points)


def test_killed_on_the_way_its_rows_stay_for_the_next_command(copy, capsys, inline, monkeypatch):
    def killed(*_, **__):
        raise KeyboardInterrupt

    folder = copy.path / "analyses" / "features" / ".rows"
    with monkeypatch.context() as patch:
        patch.setattr("glassnet.cli.embedding.analyse", killed)
        assert call(capsys, "features", copy.path, *WORDS, "--engine", "processes")[0] == 130
    lines = (folder / "features.jsonl").read_text().splitlines()
    assert json.loads(lines[0])["columns"] == {"conv4": 8, "fc1": 16}
    monkeypatch.setattr("glassnet.scale.features._task", killed)  # all is there
    assert call(capsys, "features", copy.path, *WORDS, "--engine", "processes")[0] == 0
    assert not folder.exists()


def test_rows_as_parquet_with_labels(copy, tmp_path, capsys):
    parquet = pytest.importorskip("pyarrow.parquet")
    code, _, err = call(capsys, "features", copy.path, *WORDS, "--rows", tmp_path / "rows", "--format", "parquet")
    assert code == 0
    assert f"rows: {tmp_path / 'rows'}" in err
    table = parquet.read_table(tmp_path / "rows" / "fc1.parquet")
    rows = np.load(tmp_path / "rows" / "fc1.npy")
    assert np.array_equal(np.array(table.column("vector").to_pylist(), np.float32), rows)
    dataset = copy.dataset()
    targets = dict(zip(dataset.test.numbers.tolist(), dataset.test.targets.tolist(), strict=True))
    assert table["label"].to_pylist() == [dataset.classes[targets[image]] for image in table["image"].to_pylist()]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--format", "parquet"], "--format parquet needs --rows FOLDER, which says where to write."),
        (["--workers", "2"], "--workers is 2, but the engine is local; add --engine processes or ray."),
        (["--engine", "opentsne"], "invalid choice 'opentsne'"),
        (["--worker-cpus", "0"], "--worker-cpus is 0, expected a number above 0"),
    ],
)
def test_wrong_words(copy, capsys, words, message):
    code, _, err = call(capsys, "features", copy.path, *WORDS, *words)
    assert code == 2
    assert message in err
