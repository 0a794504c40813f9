"""Callbacks look on while a model trains, and can neither change nor lose it."""

import json

import numpy as np
import pytest
import torch

import glassnet as gn
from glassnet.errors import InputError, WorkError
from tiny_runs import save_scans, tiny, tiny_segmentation

pytestmark = pytest.mark.usefixtures("brief")  # few images to train on


class Noting:
    """Notes what it is told, and uses the model as a careless user does."""

    def __init__(self):
        self.infos, self.records, self.metrics = [], [], []

    def on_start(self, info):
        self.infos.append(info)

    def on_epoch(self, record):
        torch.rand(7)  # moves the generator that dropout draws from
        gn.explain(record.model, torch.rand(2, 1, 28, 28), layers="last-conv", methods="gradcam")
        assert not record.model.training
        confusion = record.evaluate().confusion if record.evaluate else None
        self.records.append((record.epoch, dict(record.figures), confusion))

    def on_end(self, metrics):
        self.metrics.append(dict(metrics))


class Failing(Noting):
    """Raises in one of its methods; after an epoch, after so many."""

    def __init__(self, method, error, after=1):
        super().__init__()
        self.method, self.error, self.after = method, error, after

    def _fail(self, method):
        if method == self.method and len(self.records) >= self.after:
            raise self.error

    def on_start(self, info):
        if self.method == "on_start":
            raise self.error

    def on_epoch(self, record):
        self.records.append(record.epoch)
        self._fail("on_epoch")

    def on_end(self, metrics):
        self._fail("on_end")


def rows(path):
    return [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]


def test_a_callback_is_told_all_and_changes_nothing(brief, tmp_path):
    noting = Noting()
    run = gn.train(tiny(tmp_path / "run"), callbacks=[noting])
    (info,) = noting.infos
    assert info.path == run.path
    assert (info.task, info.history, len(info.validation)) == ("classification", (), 20)
    assert info.settings == run.settings
    assert info.classes == tuple("0123456789")
    assert [{"epoch": epoch, **figures} for epoch, figures, _ in noting.records] == rows(run.path)
    for _, figures, confusion in noting.records:
        assert np.trace(confusion) / np.sum(confusion) == pytest.approx(figures["validation_accuracy"])
    assert noting.metrics == [run.metrics]
    for name, weight in brief.weights().items():
        assert torch.equal(weight, run.weights()[name]), name
    assert "one line" not in repr(info)
    assert len(repr(info).splitlines()) == 1


@pytest.mark.parametrize("method", ["on_epoch", "on_end"])
def test_a_callback_that_fails_is_left_out_and_the_training_goes_on(tmp_path, capsys, method):
    failing, noting = Failing(method, ValueError("no\nroom")), Noting()
    run = gn.train(tiny(tmp_path / "run"), callbacks=[failing, noting])
    said = capsys.readouterr().err
    assert f"warning: the callback Failing failed in {method} (ValueError: no); it will not be called again" in said
    assert len(failing.records) == (1 if method == "on_epoch" else 3)
    assert [epoch for epoch, *_ in noting.records] == [1, 2, 3]
    assert len(run.history) == 3


def test_a_callback_that_cannot_start_stops_the_training_before_it_begins(tmp_path):
    with pytest.raises(WorkError, match=r"Failing cannot start \(OSError: no net\), so nothing was trained"):
        gn.train(tiny(tmp_path / "run"), callbacks=[Failing("on_start", OSError("no net"))])
    assert not (tmp_path / "run").exists()
    with pytest.raises(InputError, match=r"^wrong key$"):
        gn.train(tiny(tmp_path / "run"), callbacks=[Failing("on_start", InputError("wrong key"))])


def test_what_is_no_callback_is_refused(tmp_path):
    with pytest.raises(InputError, match="the callback object has no on_start and no on_epoch and no on_end, expected"):
        gn.train(tiny(tmp_path / "run"), callbacks=[object()])
    assert not (tmp_path / "run").exists()


def test_a_training_that_goes_on_tells_its_callbacks_where(brief, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        gn.train(tiny(tmp_path / "run"), callbacks=[Failing("on_epoch", KeyboardInterrupt(), after=2)])
    noting = Noting()
    run = gn.train(gn.TrainSettings(resume=tmp_path / "run"), callbacks=[noting])
    assert [row["epoch"] for row in noting.infos[0].history] == [1, 2]
    assert [epoch for epoch, *_ in noting.records] == [3]
    assert noting.infos[0].began == run.manifest["started"]
    assert all(torch.equal(weight, run.weights()[name]) for name, weight in brief.weights().items())


def test_segmentation_tells_its_figures_and_no_more(tmp_path):
    class Plain(Noting):
        def on_epoch(self, record):
            self.records.append((record.epoch, dict(record.figures), record.evaluate))

    noting = Plain()
    scans = save_scans(tmp_path / "scans")
    run = gn.train(tiny_segmentation(scans, tmp_path / "run", epochs=1), callbacks=[noting])
    assert [{"epoch": 1, **noting.records[0][1]}] == rows(run.path)
