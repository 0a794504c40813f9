"""What a user names for an output is never a device, a pipe, a socket or a file of a run; what is read is no pipe."""

import os
import shutil
import socket
import threading
from pathlib import Path

import pytest

from command_line import call, refused
from glassnet.errors import InputError
from glassnet.files import regular, writable_target

OWN = (
    "run.json", "metrics.jsonl", "model.safetensors", "checkpoint/state.pt", "checkpoint/new", "analyses",
    "analyses/evaluation/test/analysis.json", "analyses/new.html", "RUN.JSON", "figures/x.png", "features/x",
)  # fmt: skip


def state(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture
def special(tmp_path):
    """Paths of what is no regular file, and links to them."""
    os.mkfifo(tmp_path / "pipe.png")
    listening = socket.socket(socket.AF_UNIX)
    os.chdir(tmp_path)  # a socket's path has at most 107 bytes
    listening.bind("socket.png")
    (tmp_path / "link.png").symlink_to("pipe.png")
    (tmp_path / "null.png").symlink_to("/dev/null")
    (tmp_path / "loop.png").symlink_to("loop.png")
    with listening:
        yield [*(tmp_path / f"{name}.png" for name in ("pipe", "socket", "link", "null", "loop")), "/dev/null"]


def test_an_output_is_no_device_pipe_or_socket(special, monkeypatch, tmp_path):
    for path in special:
        for folder in (False, True):
            with pytest.raises(InputError, match=r"^--figure is .*(; expected a|; give another) (file|folder)\.$"):
                writable_target(path, "--figure", folder=folder)
    assert Path("/dev/null").is_char_device()
    for free in ("new.html", "folder/below/new.html", "."):
        assert writable_target(tmp_path / free, folder=free == ".") == tmp_path / free
    for bad in ("x" * 300, "zero\0byte", special[1] / "below"):
        with pytest.raises(InputError, match="which cannot be written"):
            writable_target(tmp_path / bad)


@pytest.mark.parametrize("name", OWN)
def test_an_output_is_none_of_a_runs_own_files(copy, tmp_path, name):
    (copy.path / "checkpoint").mkdir(exist_ok=True)
    (tmp_path / "link").symlink_to(copy.path / name)
    (tmp_path / "to-run").symlink_to(copy.path, target_is_directory=True)
    (tmp_path / "empty").mkdir()
    for path in (copy.path / name, tmp_path / "link", tmp_path / "to-run" / name, tmp_path / "empty/../run" / name):
        with pytest.raises(InputError, match=r"belongs to the run|which is a folder"):
            writable_target(path)
    outside = tmp_path / "elsewhere.bin"
    shutil.move(copy.path / "model.safetensors", outside)
    (copy.path / "model.safetensors").symlink_to(outside)
    with pytest.raises(InputError, match="belongs to the run"):
        writable_target(copy.path / "model.safetensors")
    assert writable_target(copy.path / "report.html")
    assert writable_target(copy.path / "mine" / "report.html")


def test_every_command_refuses_such_an_output_before_it_works(copy, special, capsys, tmp_path):
    before = state(copy.path)
    for path in [*special, copy.path / "run.json", copy.path / "analyses/x.html", tmp_path / "empty/../run/run.json"]:
        assert "--out is" in refused(capsys, "report", copy.path, "--out", path)
    for path in special[:-1]:
        assert "--figure is" in refused(capsys, "models", "convnet", "--figure", path)
    folders = [special[0], special[-1], copy.path / "analyses/new", copy.path / "checkpoint"]
    for words in (
        ("train", "--epochs", 1),
        ("tune", "learning_rate=0.1,0.2"),
        ("reproduce", "classification"),
        ("eval", "mobilenet_none"),
    ):
        for path in folders:
            code, out, err = call(capsys, *words, "--out", path)
            assert (code, out) == (2, ""), (words, path, err)
    images = tmp_path / "photos"
    images.mkdir()
    for path in [*folders, copy.path]:
        assert "--out is" in refused(capsys, "features", "vgg16", "--data", images, "--out", path)
    (copy.path / "report.html").symlink_to("/dev/null")
    assert "the report is" in refused(capsys, "report", copy.path)
    (copy.path / "report.html").unlink()
    assert state(copy.path) == before


def in_time(work):
    """Whether work ends, and does not wait for someone to write into a pipe."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(60)
    return not thread.is_alive()


@pytest.mark.parametrize("name", ["run.json", "model.safetensors", "metrics.jsonl"])
@pytest.mark.parametrize("command", ["eval", "report", "explain", "features"])
def test_a_pipe_in_place_of_a_runs_file_is_refused_at_once(reported_copy, capsys, name, command):
    copy = reported_copy  # with analyses that are not made anew
    (copy.path / name).unlink()
    os.mkfifo(copy.path / name)
    done = []
    assert in_time(lambda: done.append(call(capsys, command, copy.path)))
    code, _, err = done[0]
    if command == "report" or name != "metrics.jsonl":  # of the history only the report is made
        assert code == 2, err
        assert name in err


@pytest.mark.parametrize("name", ["analysis.json", "arrays.npz", "confusion-matrix.svg"])
def test_a_pipe_in_place_of_an_analysis_is_refused_at_once(reported_copy, capsys, name):
    copy = reported_copy
    file = copy.path / "analyses/evaluation/test" / name
    file.unlink()
    os.mkfifo(file)
    done = []
    assert in_time(lambda: done.append(call(capsys, "report", copy.path)))
    assert done[0][0] == 0, done
    if not name.endswith("svg"):  # a PNG stands in for it
        assert "left out" in done[0][2]
        assert name in done[0][2]


def test_what_is_read_is_a_file(special, tmp_path):
    for path in [*special[:4], tmp_path]:
        with pytest.raises(InputError, match="expected a file"):
            regular(path)
    assert regular(tmp_path / "absent") == tmp_path / "absent"


def test_a_place_that_may_only_be_read_is_refused_before_any_work(tmp_path, monkeypatch):
    monkeypatch.setattr("os.access", lambda path, _mode: Path(path) != tmp_path)  # root may write anywhere
    for path, folder in ((tmp_path / "page.html", False), (tmp_path / "new" / "page.html", False), (tmp_path, True)):
        with pytest.raises(InputError, match=r"--out is .*, which you may not write to; give another (file|folder)\."):
            writable_target(path, folder=folder)
        assert writable_target(path, folder=folder, read_only=True) == path
