"""The README: its ten lines run on somebody's network and photographs; its numbers are those of the linked pages."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image

README = Path(__file__).parents[2] / "README.md"
NET = """
import torch
from torch import nn


def make():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=4), nn.ReLU(), nn.Conv2d(8, 16, 3, stride=2), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 3),
    )
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with net.py and photos/, in which the lines are run."""
    (tmp_path / "net.py").write_text(NET)
    (tmp_path / "photos").mkdir()
    for name in ("astronaut", "chelsea", "coffee", "camera"):
        image = Image.fromarray(getattr(skimage.data, name)())
        image.convert("CMYK" if name == "coffee" else image.mode).save(tmp_path / "photos" / f"{name}.jpg")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delenv("DISPLAY", raising=False)
    yield tmp_path
    sys.modules.pop("net", None)


def test_ten_lines_lead_from_ones_own_network_and_folder_to_pictures(place):
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)
    (block,) = (one for one in blocks if "gn.read_images" in one)
    assert sum(bool(line.strip()) for line in block.splitlines()) == 10
    names = {"__name__": "__main__"}
    exec(compile(block, "the README's ten lines", "exec"), names)
    assert names["images"].shape == (4, 3, 224, 224)
    assert names["explanation"].maps["gradcam", "2"].any()
    for name in ("maps.png", "points.png"):
        picture = np.asarray(Image.open(place / name).convert("L"))
        assert min(picture.shape) > 300
        assert len(np.unique(picture)) > 50  # not blank


def test_it_fits_one_screen():
    assert len(README.read_text().splitlines()) <= 80


def test_each_number_of_its_tables_stands_in_the_page_it_links_to():
    rows = re.findall(r"^\| \[(.+?)\]\(([^)#]+).*?\) \|(.*)\|$", README.read_text(), flags=re.MULTILINE)
    assert len(rows) == 8
    for title, page, cells in rows:
        text = (README.parent / page).read_text()
        numbers = re.findall(r"\d+\.\d+", cells)
        assert numbers or "refuted" in cells, title
        assert all(number in text for number in numbers), (title, numbers)
