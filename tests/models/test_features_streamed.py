"""Features that stream to files: the same rows, flat memory, nothing half-written."""

import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from glassnet.errors import InputError, WorkError
from glassnet.models import create_model
from glassnet.models.array_buffers import FileBuffers
from glassnet.models.features import extract_features

IMAGES = torch.rand(10, 1, 12, 12, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def convnet():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return create_model("convnet", in_channels=1, num_classes=4, image_size=12)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_files_hold_the_same_rows(convnet, tmp_path):
    streamed = extract_features(convnet, IMAGES, ["conv3", "fc1"], batch_size=3, out=tmp_path / "new" / "features")
    expected = extract_features(convnet, IMAGES, ["conv3", "fc1"], batch_size=3)
    assert list(streamed) == list(expected)
    assert names(tmp_path / "new" / "features") == ["conv3.npy", "fc1.npy"]
    for layer, rows in streamed.items():
        assert isinstance(rows, np.memmap)
        assert not rows.flags.writeable
        assert rows.dtype == np.float32
        np.testing.assert_array_equal(rows, expected[layer])
        np.testing.assert_array_equal(np.load(tmp_path / "new" / "features" / f"{layer}.npy"), expected[layer])


def test_calls_of_a_reused_layer_have_a_file_each_and_what_was_not_asked_for_none(tmp_path):
    relu = nn.ReLU()
    model = nn.Sequential(relu, nn.Conv2d(1, 2, 3), relu)
    features = extract_features(model, IMAGES, ["0:1", "1"], batch_size=4, out=tmp_path)
    assert list(features) == ["0:1", "1"]
    assert names(tmp_path) == ["0:1.npy", "1.npy"]


def test_a_layer_whose_name_has_a_slash_stays_in_the_folder(tmp_path):
    model = nn.Sequential()
    model.add_module("a/b", nn.Flatten())
    assert extract_features(model, IMAGES, "a/b", out=tmp_path)["a/b"].shape == (10, 144)
    assert names(tmp_path) == ["a%2Fb.npy"]


def test_an_error_leaves_older_files_as_they_were_and_no_others(convnet, tmp_path):
    before = extract_features(convnet, IMAGES, "fc1", out=tmp_path)["fc1"].copy()
    broken = IMAGES.clone()
    broken[7] = torch.nan
    with pytest.raises(InputError, match="image 7 has NaN"):
        extract_features(convnet, broken, ["fc1", "fc2"], batch_size=4, out=tmp_path)
    assert names(tmp_path) == ["fc1.npy"]
    np.testing.assert_array_equal(np.load(tmp_path / "fc1.npy"), before)
    with pytest.raises(InputError, match="no layer 'fc9'"):
        extract_features(convnet, IMAGES, "fc9", out=tmp_path / "never")
    assert not (tmp_path / "never").exists()


def test_an_open_map_survives_its_files_replacement(convnet, tmp_path):
    older = extract_features(convnet, IMAGES, "fc1", out=tmp_path)["fc1"]
    copied = older.copy()
    extract_features(convnet, IMAGES + 1, "fc1", out=tmp_path)
    np.testing.assert_array_equal(older, copied)


def test_what_a_killed_process_leaves_is_no_half_file_and_is_overwritten(convnet, tmp_path):
    killed = FileBuffers(10, tmp_path).__enter__()  # never left: nothing cleans up
    killed.put("a", torch.ones(5, 100_000))
    assert names(tmp_path) == [".0.npy.tmp"]
    extract_features(convnet, IMAGES, "fc1", out=tmp_path)
    assert names(tmp_path) == ["fc1.npy"]
    killed.__exit__(None, None, None)  # only so that the test leaves no open file


def test_a_place_that_cannot_be_written_is_said(convnet, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot write features to .*/file \(File exists\); free some space"):
        extract_features(convnet, IMAGES, "fc1", out=tmp_path / "file")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_said_and_leaves_nothing(tmp_path):
    with FileBuffers(10, tmp_path) as rows:
        (tmp_path / ".0.npy.tmp").symlink_to("/dev/full")
        with pytest.raises(InputError, match="No space left on device"):
            rows.put("a", torch.ones(5, 100_000))
    assert names(tmp_path) == []


def test_rows_of_another_shape_and_missing_rows_are_said(tmp_path):
    with FileBuffers(4, tmp_path) as rows:
        rows.put("a", torch.ones(2, 3))
        with pytest.raises(WorkError, match="a layer gave 2 rows for 4 images"):
            rows.named({"a": "a"})
        with pytest.raises(InputError, match=r"rows of shape \(3,\), then of shape \(5,\)"):
            rows.put("a", torch.ones(2, 5))
    assert names(tmp_path) == []


MEASURE = """
import os, re, sys, torch
from torch import nn
from glassnet.models.features import extract_features
from numpy import memmap
count = int(sys.argv[1])
images = memmap(sys.argv[2] + "/images", dtype="uint8", mode="w+", shape=(count, 1, 8, 8))
model = nn.Sequential(nn.Flatten(), nn.Linear(64, 512))
extract_features(model, images[:1000], "1", out=sys.argv[2])
peak = lambda: int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1]) * 1024
before = peak()
assert extract_features(model, images, "1", out=sys.argv[2])["1"].nbytes == count * 512 * 4
print(peak() - before)
"""


def test_no_more_than_a_batch_is_held(tmp_path):
    model = nn.Sequential(nn.Flatten(), nn.Linear(144, 512))
    tracemalloc.start()
    try:
        features = extract_features(model, IMAGES.repeat(400, 1, 1, 1), "1", batch_size=100, out=tmp_path)
        assert features["1"].nbytes > 8e6
        assert tracemalloc.get_traced_memory()[1] < 1e6
    finally:
        tracemalloc.stop()


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").exists(), reason="the peak is read from /proc")
def test_memory_stays_flat(tmp_path):
    command = [sys.executable, "-c", MEASURE, "50000", str(tmp_path)]
    environment = {**os.environ, "MALLOC_TRIM_THRESHOLD_": "65536"}
    grown = int(subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout)
    assert (tmp_path / "1.npy").stat().st_size > 100e6
    assert grown < 20e6
