import math
import os

import numpy as np
import pytest
import torch

from glassnet.data.shards import rows as module
from glassnet.data.shards.rows import Rows, rows_in_file
from glassnet.errors import InputError

SHAPE = (3, 2, 2)


@pytest.fixture
def stored(tmp_path, monkeypatch):
    """23 rows of 12 bytes in files of 5."""
    monkeypatch.setattr(module, "SHARD_BYTES", 5 * 12 + 3)
    pixels = torch.arange(23 * 12).remainder(251).to(torch.uint8).view(23, *SHAPE)
    assert rows_in_file(SHAPE) == 5
    files = [tmp_path / f"images-{i}.u8" for i in range(math.ceil(23 / 5))]
    for i, file in enumerate(files):
        file.write_bytes(pixels[i * 5 : i * 5 + 5].numpy().tobytes())
    return pixels, files


def test_rows_are_those_of_the_tensor_in_any_order(stored):
    pixels, files = stored
    rows = Rows(files, (23, *SHAPE))
    assert (len(rows), rows.ndim, tuple(rows.shape)) == (23, 4, (23, *SHAPE))
    assert torch.equal(rows[:], pixels)
    assert torch.equal(rows[3:17], pixels[3:17])
    assert torch.equal(rows[20:3:-4], torch.stack([pixels[i] for i in range(20, 3, -4)]))
    order = torch.randperm(23, generator=torch.Generator().manual_seed(0))
    assert torch.equal(rows[order], pixels[order])
    assert torch.equal(rows[torch.tensor([-1, 0, 0])], pixels[[-1, 0, 0]])
    assert rows[torch.empty(0, dtype=torch.int64)].shape == (0, *SHAPE)
    with pytest.raises(IndexError, match="rows run from 0 to 23, expected 0 to 22"):
        rows[torch.tensor([0, 23])]


def test_chosen_rows_are_read_when_they_are_sliced(stored):
    pixels, files = stored
    order = torch.tensor([7, 2, 22, 4, 5])
    some = Rows(files, (23, *SHAPE), sums=np.arange(23)).choose(order)
    assert tuple(some.shape) == (5, *SHAPE)
    assert torch.equal(some[1:4], pixels[order][1:4])
    assert some.sums.tolist() == order.tolist()
    assert torch.equal(some.choose(torch.tensor([4, 0]))[:], pixels[[5, 7]])


def test_rows_are_written_across_files(stored):
    pixels, files = stored
    rows = Rows(files, (23, *SHAPE), writable=True)
    places = np.array([3, 4, 5, 6, 20])
    rows.write(places, 255 - pixels[places].numpy())
    expected = pixels.clone()
    expected[places] = 255 - pixels[places]
    assert torch.equal(Rows(files, (23, *SHAPE))[:], expected)


def test_files_that_lose_their_names_stay_readable_and_a_cut_one_is_said(stored):
    pixels, files = stored
    rows = Rows(files, (23, *SHAPE))
    os.truncate(files[4], 12)
    files[0].unlink()
    assert torch.equal(rows[:5], pixels[:5])
    with pytest.raises(InputError, match=r"the cache .* was truncated while in use; delete it, and start again"):
        rows[20:23]


def test_systems_without_reads_at_an_offset_seek(stored, monkeypatch):
    pixels, files = stored
    monkeypatch.delattr(os, "preadv")
    monkeypatch.delattr(os, "pwrite")
    rows = Rows(files, (23, *SHAPE), writable=True)
    rows.write(np.array([1]), pixels[2:3].numpy())
    assert torch.equal(rows[torch.tensor([1, 22])], pixels[[2, 22]])
