import shutil

import pytest

import glassnet as gn

TINY = ("filters=4,4,8,8", "hidden=16")


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A small run on real digits, to be read only."""
    out = tmp_path_factory.mktemp("runs") / "tiny"
    return gn.train(gn.TrainSettings(model_options=TINY, epochs=3, precision="fp32", out=out))


@pytest.fixture
def copy(finished, tmp_path):
    """The same run, to be written to."""
    shutil.copytree(finished.path, tmp_path / "run")
    return gn.Run.open(tmp_path / "run")
