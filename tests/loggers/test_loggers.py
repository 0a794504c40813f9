"""Trainings logged to the real TensorBoard, Weights & Biases (offline) and MLflow, and read back."""

import io
import json
import struct
import subprocess
import sys
from typing import get_args

import numpy as np
import pytest
import torch
from PIL import Image

import glassnet as gn
from glassnet.errors import InputError
from glassnet.loggers import LOGGERS, logger, pictures
from glassnet.settings.train import LogName
from tiny_nets import TinyNet
from tiny_runs import save_bars, save_scans, tiny, tiny_segmentation, tiny_vae

pytestmark = pytest.mark.usefixtures("brief")  # few images to train on


class Stop:
    """Ends the process, as Ctrl-C does, after so many epochs."""

    def __init__(self, after):
        self.after = after

    def on_start(self, info):
        pass

    def on_epoch(self, record):
        if record.epoch == self.after:
            raise KeyboardInterrupt

    def on_end(self, metrics):
        pass


def expected(path):
    """The rows of metrics.jsonl under the names that loggers give them, by name and epoch."""
    rows = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    return {logger._grouped(name): [row[name] for row in rows] for name in rows[0] if name != "epoch"}


def accumulated(path):
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    return reader.EventAccumulator(
        str(path / "tensorboard"), size_guidance={reader.SCALARS: 0, reader.IMAGES: 0}
    ).Reload()


def require_logged(path, events):
    for name, values in expected(path).items():
        scalars = events.Scalars(name)
        assert [one.step for one in scalars] == [1, 2, 3], name
        assert [one.value for one in scalars] == pytest.approx(values, rel=1e-6), name


@pytest.fixture(scope="module")
def logged(brief, tmp_path_factory):
    pytest.importorskip("tensorboard")
    return gn.train(tiny(tmp_path_factory.mktemp("runs") / "logged", log=("tensorboard",)))


def test_tensorboard_has_the_rows_of_the_metrics(logged, brief):
    events = accumulated(logged.path)
    require_logged(logged.path, events)
    assert events.Scalars("final/test_accuracy")[0].value == pytest.approx(logged.metrics["test_accuracy"])
    for name, weight in brief.weights().items():
        assert torch.equal(weight, logged.weights()[name]), name  # trained without a log


def test_tensorboard_has_a_confusion_matrix_and_the_maps_of_four_fixed_images_at_each_epoch(logged):
    events = accumulated(logged.path)
    for name in ("maps", "confusion"):
        assert [one.step for one in events.Images(name)] == [1, 2, 3]
    first, _, last = (np.asarray(Image.open(io.BytesIO(one.encoded_image_string))) for one in events.Images("maps"))
    assert first.shape == (2 * 224, 4 * 224, 3)
    assert np.array_equal(first[:224], last[:224])  # the images stay
    assert not np.array_equal(first[224:], last[224:])  # the maps do not


def test_a_training_that_goes_on_is_logged_at_the_right_epochs_without_gaps_or_doubles(tmp_path):
    pytest.importorskip("tensorboard")
    path = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):  # after the second epoch was written down, before it was logged
        gn.train(tiny(path, log=("tensorboard",)), callbacks=[Stop(2)])
    assert [one.step for one in accumulated(path).Scalars("train/loss")] == [1]
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(path / "tensorboard")) as ahead:  # of an epoch that was logged and then lost
        ahead.add_scalar("train/loss", 99.0, 3)
    gn.train(gn.TrainSettings(resume=path))  # the settings of the run name the logger
    require_logged(path, accumulated(path))


def test_a_log_may_begin_where_a_training_goes_on(tmp_path):
    pytest.importorskip("tensorboard")
    with pytest.raises(KeyboardInterrupt):
        gn.train(tiny(tmp_path / "run"), callbacks=[Stop(1)])
    gn.train(gn.TrainSettings(resume=tmp_path / "run", log=("tensorboard",)))
    require_logged(tmp_path / "run", accumulated(tmp_path / "run"))


def records_of(file):
    """Read the records of a .wandb file: blocks of 32 kB in the format of LevelDB's log."""
    proto = pytest.importorskip("wandb.proto.wandb_internal_pb2")
    content, place, parts = file.read_bytes(), 7, []
    while place + 7 <= len(content):
        if 32768 - place % 32768 < 7:
            place += 32768 - place % 32768
            continue
        _, length, kind = struct.unpack("<IHB", content[place : place + 7])
        parts.append(content[place + 7 : place + 7 + length])
        place += 7 + length
        if kind in (1, 4):  # a whole record, or the last part of one
            record = proto.Record()
            record.ParseFromString(b"".join(parts))
            yield record
            parts = []


def test_wandb_offline_has_the_rows_of_the_metrics(tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_SILENT", "true")
    run = gn.train(tiny(tmp_path / "run", log=("wandb",)))
    (file,) = run.path.rglob("*.wandb")
    rows = [record.history for record in records_of(file) if record.HasField("history")]
    read = [{item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in row.item} for row in rows]
    for name, values in expected(run.path).items():
        found = {row["epoch"]: row[name] for row in read if name in row}
        assert found == {epoch: pytest.approx(value) for epoch, value in enumerate(values, 1)}, name
    assert sorted(row["epoch"] for row in read if any(name.startswith("maps") for name in row)) == [1, 2, 3]
    assert len(list(run.path.rglob("maps*.png"))) == 3


def test_mlflow_has_the_rows_of_the_metrics_also_where_a_training_goes_on(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow.set_tracking_uri((tmp_path / "mlruns").as_uri())
    with pytest.raises(KeyboardInterrupt):
        gn.train(tiny(tmp_path / "run", log=("mlflow",)), callbacks=[Stop(2)])
    run = gn.train(gn.TrainSettings(resume=tmp_path / "run"))
    client = mlflow.MlflowClient()
    (kept,) = client.search_runs([client.get_experiment_by_name("glassnet").experiment_id])
    assert kept.info.status == "FINISHED"
    assert kept.data.params["model"] == "convnet"
    for name, values in expected(run.path).items():
        history = client.get_metric_history(kept.info.run_id, name)
        assert [(one.step, one.value) for one in history] == list(enumerate(values, 1)), name
    assert [one.path for one in client.list_artifacts(kept.info.run_id, "maps")] == [
        f"maps/epoch-000{epoch}.png"
        for epoch in (1, 3)  # of the second, only its numbers were written down
    ]


def test_every_logger_has_its_name_in_the_settings_and_says_what_to_install(monkeypatch):
    assert tuple(LOGGERS) == get_args(LogName)
    needs = ("TensorBoard needs tensorboard", "Weights & Biases needs wandb", "MLflow needs mlflow")
    for make, library in zip(LOGGERS.values(), needs, strict=True):
        for package in ("torch.utils.tensorboard", "wandb", "mlflow"):
            monkeypatch.setitem(sys.modules, package, None)  # as if it were not installed
        with pytest.raises(InputError, match=rf"^{library}; install it with `pip install 'glassnet\[loggers\]'`\.$"):
            make()


def test_a_logger_that_is_none_is_refused_before_anything_is_written(tmp_path, monkeypatch, capsys):
    with pytest.raises(InputError, match=r"no logger 'tensorbord'\. Did you mean tensorboard"):
        tiny(tmp_path / "run", log=("tensorbord",))
    with pytest.raises(InputError, match="no logger 'x'"):
        gn.make_loggers(["x"])
    monkeypatch.setitem(sys.modules, "mlflow", None)
    from glassnet.cli import run

    assert run(["train", "--log", "mlflow", "--out", str(tmp_path / "run")]) == 2
    assert "MLflow needs mlflow" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_nothing_is_imported_that_was_not_asked_for():
    code = (
        "import sys, glassnet as gn; gn.train, gn.make_loggers, gn.Callback; "
        "print([m for m in ('tensorboard', 'wandb', 'mlflow', 'lightning') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_a_network_without_maps_is_logged_without_them(capsys):
    class Sink(logger.Logger):
        def numbers(self, values, epoch):
            self.values = values

        def picture(self, name, picture, epoch):
            raise AssertionError

    sink = Sink()
    sink._draw = lambda model: pictures.map_strip(model, torch.rand(2, 3, 8, 8))
    flat = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 3)).eval()
    sink.on_epoch(gn.EpochRecord(1, {"train_loss": 1.0, "validation_loss": float("nan"), "seconds": 2.0}, flat, None))
    assert sink.values == {"train/loss": 1.0, "seconds": 2.0}
    said = capsys.readouterr().err
    assert "no maps of this training are logged: " in said
    assert "not logged because they are not finite: validation_loss" in said
    sink.on_epoch(gn.EpochRecord(2, {}, flat, None))


def test_a_strip_is_the_images_above_their_maps():
    net, images = TinyNet().eval(), torch.rand(2, 3, 12, 12)
    strip = pictures.map_strip(net, images, target=torch.tensor([0, 1]))
    explained = gn.explain(net, images, target=torch.tensor([0, 1]), layers="last-conv", methods="gradcam")
    assert strip.shape == (448, 448, 3)
    assert np.array_equal(strip[224:, 224:], explained.overlay(image=1, size_pixels=224))


class Kept(logger.Logger):
    """Keeps the pictures, and the model that they were made of last."""

    def __init__(self):
        super().__init__()
        self.kept = []

    def on_start(self, info):
        self.info = info
        super().on_start(info)

    def open(self, info):
        return 0

    def numbers(self, values, epoch):
        pass

    def picture(self, name, picture, epoch):
        self.kept.append((name, epoch, picture))

    def close(self, metrics):
        pass


def test_a_segmentation_logs_images_above_truth_and_prediction(tmp_path):
    save_scans(tmp_path / "scans")
    log = Kept()
    gn.train(tiny_segmentation(tmp_path / "scans", tmp_path / "run"), callbacks=[log])
    maps = [picture for name, _, picture in log.kept if name == "maps"]
    assert [one.shape for one in maps] == [(3 * 224, len(log.info.validation.images[:4]) * 224, 3)] * 3
    assert np.array_equal(maps[0][:448], maps[2][:448])  # images and truth stay
    _, mask = log.info.validation.take(torch.tensor([0]))
    own = maps[0][224:448, :224].reshape(32, 7, 32, 7, 3)[:, 3, :, 3].astype(int)  # the middle of each pixel
    coloured = np.ptp(own, axis=-1) > 20
    assert (coloured == np.isin(mask[0].numpy(), (1, 2))).mean() > 0.95  # a class has a colour, the rest is grey


def test_a_reconstruction_logs_what_it_is_given_above_what_it_makes_and_the_originals(tmp_path):
    save_bars(tmp_path / "bars")
    log = Kept()
    gn.train(tiny_vae(tmp_path / "bars", tmp_path / "run"), callbacks=[log])
    first, last = (picture for name, _, picture in log.kept if name == "maps")
    assert first.shape == (3 * 224, 4 * 224, 3)
    given, made, original = first[:224], first[224:448], first[448:]
    assert np.array_equal(given, last[:224])  # the noise stays, too
    assert np.array_equal(original, last[448:])
    assert not np.array_equal(made, last[224:448])
    difference = given.astype(float) - original
    assert 20 < difference.std() < 0.3 * 255  # a deviation of 0.3, clipped to 0 to 1
