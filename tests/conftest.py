"""What all tests share: one thread a process, no network, jaxtyping's shapes checked by beartype."""

import os
import shutil

# Set before torch is loaded: test processes share few cores, and spinning threads starve each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["GLASSNET_OFFLINE"] = "1"
os.environ.pop("COLUMNS", None)

import pytest
from jaxtyping import install_import_hook

# The packages whose signatures carry array shapes.
_SHAPED = ("data", "models", "tasks", "embedding", "attribution", "denoising", "figures")
install_import_hook([f"glassnet.{package}" for package in _SHAPED], "shapes.check")


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A small run on real digits, to be read only: one for all tests of a process."""
    import glassnet as gn
    from tiny_runs import tiny

    return gn.train(tiny(tmp_path_factory.mktemp("runs") / "tiny"))


@pytest.fixture
def copy(finished, tmp_path):
    """The same run, to be written to."""
    import glassnet as gn

    shutil.copytree(finished.path, tmp_path / "run")
    return gn.Run.open(tmp_path / "run")
