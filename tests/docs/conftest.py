"""What the reader of a page has at hand: a folder of photographs, a trained run, and data sets that are small."""

import shutil
import sys

import pytest

import glassnet as gn
from small_data import make_small


@pytest.fixture
def small_data(monkeypatch):
    """The data sets that need no download have few images, for one test."""
    make_small(monkeypatch.setitem)


@pytest.fixture(scope="session")
def demo(tmp_path_factory):
    """The run that pages call runs/demo: one for all pages of a process."""
    with pytest.MonkeyPatch.context() as patch:
        make_small(patch.setitem)
        out = tmp_path_factory.mktemp("runs") / "demo"
        return gn.train(gn.TrainSettings(epochs=2, precision="fp32", out=out)).path


@pytest.fixture(scope="session")
def photographs(tmp_path_factory):
    """The folder that pages call photos: parts of two photographs, in a sub-folder each."""
    from PIL import Image
    from skimage import data

    folder = tmp_path_factory.mktemp("data") / "photos"
    for name, photo in (("cup", data.coffee()), ("cat", data.chelsea())):
        (folder / name).mkdir(parents=True)
        for number in range(20):
            row, column = divmod(number, 6)
            part = photo[60 * row : 60 * row + 60, 60 * column : 60 * column + 64]
            Image.fromarray(part).save(folder / name / f"{number}.png")
    return folder


@pytest.fixture
def desk(small_data, demo, photographs, tmp_path, monkeypatch):
    """An empty folder but for photos/ and runs/demo, in which a page is followed."""
    shutil.copytree(demo, tmp_path / "runs" / "demo")
    shutil.copytree(photographs, tmp_path / "photos")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delenv("DISPLAY", raising=False)
    yield tmp_path
    sys.modules.pop("net", None)
