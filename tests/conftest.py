"""What all tests share: one thread a process, no network, jaxtyping's shapes checked by beartype."""

import dataclasses
import fcntl
import gc
import hashlib
import os
import shutil
import sys

# Set before torch is loaded: test processes share few cores, and spinning threads starve each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["GLASSNET_OFFLINE"] = "1"
os.environ.pop("COLUMNS", None)
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

import pytest
from jaxtyping import config

import shapes

gc.set_threshold(100_000, 100, 100)  # until all tests are collected: imports leave no garbage
sys.dont_write_bytecode = False  # else each of some hundred processes compiles the library anew
os.fsync = lambda _: None
"""No test pulls the plug: to wait for the disk at each of some ten thousand files would show nothing."""

shapes.install()


def pytest_xdist_auto_num_workers():
    """One process more than there are cores, as some always wait: for a browser, a process of their own, a pause."""
    return len(os.sched_getaffinity(0)) + 1 if hasattr(os, "sched_getaffinity") else None


# What compiles for long comes first, so that one process does it for all; so does what takes long by itself, so that no
# process is left with it at the end.
_FIRST = ("test_umap.py", "test_pacmap.py", "test_distances.py", "browser", "docs", "test_distributed.py")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    """Put some files first; the others stay as they are."""
    items.sort(key=lambda item: not {*item.path.parts[-2:]} & {*_FIRST})


def pytest_collection_finish():
    """What was imported stays, so the garbage collector need not look through it again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 10, 10)


@pytest.fixture(autouse=True)
def _nothing_was_said(monkeypatch):
    """What a process says once is said again in every test, whichever tests ran before in it."""
    monkeypatch.setattr("glassnet.console._printed", set())


@pytest.fixture
def unchecked():
    """The library as users run it, without the tests' type checks."""
    config.update("jaxtyping_disable", True)
    yield
    config.update("jaxtyping_disable", False)


@pytest.fixture(autouse=True)
def _one_thread():
    """A test that leaves torch more threads slows every one after it: they wait for each other on a busy machine."""
    import torch

    yield
    assert torch.get_num_threads() == 1


_tsne_made = {}


@pytest.fixture(autouse=True)
def _tsne_once(request, monkeypatch):
    """Equal features and options give equal points, as the tests of t-SNE show: for all others each runs once."""
    if "embedding" in request.path.parts:
        return
    import numpy as np

    from glassnet import embedding

    whole = embedding.METHODS["tsne"]

    def once(features, options):
        key = hashlib.blake2b(np.ascontiguousarray(features)).hexdigest(), np.shape(features), repr(options)
        if key not in _tsne_made:
            _tsne_made[key] = whole(features, options)
        return _tsne_made[key]

    monkeypatch.setitem(embedding.METHODS, "tsne", once)


@pytest.fixture(scope="session")
def made_once(tmp_path_factory):
    """Return a folder by its name; the first process of the tests that asks for it fills it with the given function."""
    base = tmp_path_factory.getbasetemp()
    root = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared"
    root.mkdir(exist_ok=True)

    def made(name, make):
        with (root / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (root / f"{name}.made").exists():
                make(root / name)
                (root / f"{name}.made").touch()
        return root / name

    return made


@pytest.fixture(scope="session")
def finished(made_once):
    """A small run on real digits, to be read only."""
    import glassnet as gn
    from tiny_runs import tiny

    return _shared(gn.Run.open(made_once("tiny", lambda path: gn.train(tiny(path)))))


@pytest.fixture(scope="module")
def brief(made_once):
    """The same training on 200 digits, which takes a moment, to be read only; so do all others of its module."""
    import glassnet as gn
    from small_data import make_small
    from tiny_runs import tiny

    with pytest.MonkeyPatch.context() as patch:
        make_small(patch.setitem)
        yield _shared(gn.Run.open(made_once("brief", lambda path: gn.train(tiny(path)))))


@pytest.fixture
def copy(finished, tmp_path):
    """The same run, to be written to."""
    import glassnet as gn

    shutil.copytree(finished.path, tmp_path / "run")
    return gn.Run.open(tmp_path / "run")


@pytest.fixture(scope="session")
def reported(finished, made_once):
    """The same run with its report and all that this makes, to be read only."""
    import glassnet as gn

    def report(path):
        shutil.copytree(finished.path, path / "tiny")
        gn.report(path / "tiny")

    return gn.Run.open(made_once("reported", report) / "tiny")


@pytest.fixture
def reported_copy(reported, tmp_path):
    """The run with its report, to be written to."""
    import glassnet as gn

    return gn.Run.open(shutil.copytree(reported.path, tmp_path / "run"))


@pytest.fixture
def blank_figures(monkeypatch):
    """Figures are made, but an empty picture is written in their place: to draw them takes longest."""
    from PIL import Image

    def write(_figure, png, svg):
        Image.new("L", (8, 8), 255).save(png, format="PNG")
        svg.write_text('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 8 8" width="8pt" height="8pt"></svg>')

    for module in ("entry", "directory"):
        monkeypatch.setattr(f"glassnet.run.{module}.write_figure", write)


@pytest.fixture
def short_reports(monkeypatch):
    """A report of a classifier shows what is there and makes the evaluation only: the rest takes seconds."""
    from glassnet.tasks.classification import views

    monkeypatch.setattr(views, "VIEWS", dataclasses.replace(views.VIEWS, wanted=lambda _: [("evaluation", {})]))


@pytest.fixture(scope="session")
def scans(made_once):
    """A folder of images with masks."""
    from tiny_runs import save_scans

    return made_once("scans", save_scans)


@pytest.fixture(scope="session")
def segmented(scans, made_once):
    """A small segmentation with a loss of regions, to be read only."""
    import glassnet as gn
    from tiny_runs import tiny_segmentation

    options = {"loss": "dice", "class_weights": True, "copy_paste": 0.5}
    made = made_once("seg", lambda path: gn.train(tiny_segmentation(scans, path, **options)))
    return _shared(gn.Run.open(made))


@pytest.fixture(scope="session")
def vae(made_once):
    """A small VAE that takes noise off, to be read only."""
    import glassnet as gn
    from tiny_runs import save_bars, tiny_vae

    bars = made_once("bars", save_bars)
    return _shared(gn.Run.open(made_once("vae", lambda path: gn.train(tiny_vae(bars, path)))))


_shared_runs = []


def _shared(run):
    _shared_runs.append(run)
    return run


@pytest.fixture(autouse=True)
def _shared_runs_stay_as_trained():
    """A test that writes into a run of all tests changes what those after it see, in whatever order they come."""
    yield
    for run in _shared_runs:
        if (written := run.path / "analyses").exists():
            shutil.rmtree(written)  # so that this test alone fails
            pytest.fail(f"{run.path} is shared by all tests: copy it before you write to it")
