import json
import subprocess
import sys
import time
from concurrent.futures import Future

import numpy as np
import pytest
import torch
from torch import nn

import glassnet as gn
from glassnet.errors import InputError, WorkError
from glassnet.scale import engines, features, shards
from glassnet.scale.shards import MANIFEST, Shard, ShardFiles
from glassnet.scale.workers import Workers


class Inline:
    def submit(self, function, /, *arguments):
        future = Future()
        future.set_result(function(*arguments))
        return future

    def close(self, *, kill):
        pass


@pytest.fixture
def inline(monkeypatch):
    """Engine processes computes in this process; the shards that it is given are listed."""
    begun, task = [], features._task

    def watched(held, images, shard):
        begun.append(shard.number)
        return task(held, images, shard)

    monkeypatch.setattr(features, "_task", watched)
    monkeypatch.setitem(engines.OPENERS, "processes", lambda *_: iter([Workers(Inline, 2, lost=(), ahead=1)]))
    return begun


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return gn.create_model("convnet", in_channels=1, num_classes=4, image_size=12, filters=(4, 4, 8, 8), hidden=8)


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (300, 1, 12, 12), dtype=np.uint8)


LAYERS = ["conv*", "fc1"]


def test_processes_give_the_files_of_the_local_engine_to_the_last_byte(network, images, tmp_path):
    gn.extract_features(network, images, LAYERS, batch_size=8, out=tmp_path / "here")
    there = gn.extract_features(
        network, images, LAYERS, batch_size=8, out=tmp_path / "there", engine="processes", workers=2
    )
    assert list(there) == ["conv1", "conv2", "conv3", "conv4", "fc1"]
    for name, rows in there.items():
        assert (tmp_path / "here" / f"{name}.npy").read_bytes() == (tmp_path / "there" / f"{name}.npy").read_bytes()
        assert isinstance(rows, np.memmap)
        assert not rows.flags.writeable
    assert not list((tmp_path / "there").glob("*.partial"))


def test_what_is_finished_is_not_computed_again(network, images, tmp_path, inline):
    options = {"batch_size": 8, "engine": "processes", "out": tmp_path}
    whole = {name: np.array(rows) for name, rows in gn.extract_features(network, images, LAYERS, **options).items()}
    assert inline == list(range(19))
    assert gn.extract_features(network, images, LAYERS, **options)["fc1"].shape == (300, 8)
    assert inline == list(range(19))
    # Killed in the middle: two lines are whole and one is half, the files have not their names yet, one shard is bad.
    lines = (tmp_path / MANIFEST).read_bytes().splitlines(keepends=True)
    (tmp_path / MANIFEST).write_bytes(b"".join(lines[:4]) + lines[4][:9])
    for name in whole:
        (tmp_path / f"{name}.npy").replace(tmp_path / f"{name}.npy.partial")
    rows = np.load(tmp_path / "fc1.npy.partial", mmap_mode="r+")
    rows[20] += 1
    rows.flush()
    inline.clear()
    again = gn.extract_features(network, images, LAYERS, **options)
    assert inline == [1, *range(3, 19)]
    for name, array in whole.items():
        assert np.array_equal(again[name], array)
    numbers = [json.loads(line).get("shard") for line in (tmp_path / MANIFEST).read_text().splitlines()]
    assert (numbers[:4], sorted(numbers[4:])) == ([None, 0, 1, 2], inline)


KILLED = """
import sys
import numpy as np
import torch
import glassnet as gn

torch.manual_seed(0)
net = gn.create_model("convnet", in_channels=1, num_classes=4, image_size=12, filters=(4, 4, 8, 8), hidden=8)
images = np.random.default_rng(0).integers(0, 256, (6_000, 1, 12, 12), dtype=np.uint8)
gn.extract_features(net, images, "fc1", batch_size=8, out=sys.argv[1], engine="processes", workers=1)
"""


@pytest.mark.slow
def test_killed_in_the_middle_it_goes_on_without_what_is_finished(tmp_path):
    out, manifest = tmp_path / "features", tmp_path / "features" / MANIFEST
    command = [sys.executable, "-c", KILLED, str(out)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True) as first:
        while not manifest.exists() or manifest.read_bytes().count(b"\n") < 5:
            assert first.poll() is None, "it ended before it could be killed"
            time.sleep(0.005)
        first.kill()
    finished = [json.loads(line)["shard"] for line in manifest.read_text().split("\n")[1:-1]]
    scope = {}
    exec(KILLED.split("gn.extract")[0], scope)
    asked = (scope["net"], scope["images"], "fc1")
    rows = gn.extract_features(*asked, batch_size=8, out=out, engine="processes", workers=1)["fc1"]
    lines = [json.loads(line)["shard"] for line in manifest.read_text().splitlines()[1:]]
    assert lines[: len(finished)] == finished
    assert sorted(lines) == list(range(len(lines)))  # each shard once
    assert len(finished) < len(lines) == 94
    assert np.array_equal(rows, gn.extract_features(*asked, batch_size=8)["fc1"])


@pytest.mark.parametrize("change", ["images", "weights", "layers", "batch_size"])
def test_features_of_something_else_are_replaced(network, images, tmp_path, inline, change, capsys):
    options = {"batch_size": 8, "engine": "processes", "out": tmp_path}
    gn.extract_features(network, images, "fc1", **options)
    inline.clear()
    other = images.copy()
    other[7] += 1
    made = gn.create_model("convnet", in_channels=1, num_classes=4, image_size=12, filters=(4, 4, 8, 8), hidden=8)
    gn.extract_features(
        made if change == "weights" else network,
        other if change == "images" else images,
        "conv1" if change == "layers" else "fc1",
        **options | ({"batch_size": 16} if change == "batch_size" else {}),
    )
    assert len(inline) == len(features.shards_of(300, 16 if change == "batch_size" else 8))
    assert f"{tmp_path} holds features of another extraction, which are replaced" in capsys.readouterr().err


def test_rows_in_memory_and_images_as_tensors_of_any_type(network, images, inline):
    tensor = torch.from_numpy(images[:20].astype(np.float32) / 255)
    for given in (tensor, tensor.double(), tensor.numpy()):
        here = gn.extract_features(network, given, "fc1", batch_size=8)
        there = gn.extract_features(network, given, "fc1", batch_size=8, engine="processes")
        assert np.array_equal(here["fc1"], there["fc1"])
        assert there["fc1"].flags.writeable
    half = gn.extract_features(network, tensor.bfloat16(), "fc1", engine="processes")["fc1"]
    np.testing.assert_array_equal(half, gn.extract_features(network, tensor.bfloat16(), "fc1")["fc1"])


def test_parquet_holds_the_rows_a_file_a_shard(network, images, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = gn.extract_features(network, images, LAYERS, batch_size=8, out=tmp_path, format="parquet")
    assert [file.name for file in sorted((tmp_path / "fc1.parquet").iterdir())] == [
        f"{n:05d}.parquet" for n in range(19)
    ]
    table = parquet.read_table(tmp_path / "fc1.parquet")
    assert table.column("number").to_pylist() == list(range(300))
    assert np.array_equal(np.array(table.column("vector").to_pylist(), dtype=np.float32), rows["fc1"])
    gn.extract_features(network, images[:60], "fc1", batch_size=60, out=tmp_path, format="parquet")
    assert len(list((tmp_path / "fc1.parquet").iterdir())) == 1


def test_an_image_that_is_no_number_is_named_by_its_place_among_all(network, images, inline):
    bad = images.astype(np.float32) / 255
    bad[130, 0, 3, 3] = np.inf
    with pytest.raises(InputError, match=r"^image 130 has NaN or infinite pixels; leave it out\.$"):
        gn.extract_features(network, bad, "fc1", batch_size=8, engine="processes")


class Locked(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3)
        self.lock = __import__("threading").Lock()

    def forward(self, images):
        return self.conv(images)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"engine": "prozesses"}, "no engine 'prozesses'. Did you mean processes"),
        ({"worker_cpus": 0}, "the number of CPUs of a worker is 0, expected at least 1"),
        ({"format": "csv"}, "format is 'csv', expected npy or parquet"),
        ({"format": "parquet"}, "format is 'parquet', which needs a folder to write to; pass out="),
        ({"workers": 2}, "--workers is 2, but the engine is local"),
        ({"layers": "fc9", "engine": "processes"}, "no layer 'fc9'"),
    ],
)
def test_what_cannot_be(network, images, inline, options, message):
    with pytest.raises(InputError, match=message):
        gn.extract_features(network, images, **{"layers": "fc1"} | options)


def test_a_network_that_cannot_be_sent(images, inline):
    with pytest.raises(InputError, match=r"Locked cannot be sent to another process \(cannot pickle .*\); pass"):
        gn.extract_features(Locked(), images, "conv", engine="processes")


def test_layers_that_run_in_some_batches_only(tmp_path):
    files = ShardFiles(tmp_path, {}, 4)
    files.write(Shard(0, 0, 2), {"a": np.zeros((2, 3), np.float32)})
    with pytest.raises(WorkError, match=r"the layers gave {'b': 3} numbers per image, then {'a': 3}, because which"):
        files.write(Shard(1, 2, 4), {"b": np.zeros((2, 3), np.float32)})
    (tmp_path / MANIFEST).write_text("{}\n")
    with pytest.raises(InputError, match=r"features.jsonl is damaged \(its first line does not say .*\); remove it to"):
        shards.ShardFiles(tmp_path, {}, 4)
