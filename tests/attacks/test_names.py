"""Names as an attacker chooses them, outputs of few characters, and an environment that no one would want."""

import json
import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import glassnet as gn
from command_line import call, refused
from glassnet.console import printable
from glassnet.models.pretrained import read_weights
from tiny_runs import TINY

CLASSES = ("\x1b[31mred", "[bold]b[", "<script>alert(1)<", "a$b_{c", "[/]", "\u202eright", "tab\t\x9b2J")
EVIL = "[/run] [red]\x1b[2J\x07"
SOURCE = Path(gn.__file__).parents[1]


@pytest.fixture(scope="module")
def evil(tmp_path_factory):
    """A run whose folder, data, classes and images have such names."""
    place = tmp_path_factory.mktemp("names")
    random = np.random.default_rng(0)
    for name in CLASSES:
        folder = place / EVIL / name.replace("/", "\\")
        folder.mkdir(parents=True)
        for number in range(5):
            pixels = random.integers(0, 255, (12, 12)).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"{number}\x1b[3m[x].png")
    data = f"folder:{place / EVIL}"
    more = {"epochs": 1, "image_size": 12, "model_options": TINY, "precision": "fp32", "augment": False}
    return gn.train(gn.TrainSettings(data=data, out=place / f"run {EVIL}", **more))


def controls(text):
    return {character for character in text if character not in "\n\t" and not character.isprintable()} & {
        *map(chr, range(32)), *map(chr, range(127, 160)), "\u202e",
    }  # fmt: skip


def test_names_are_escaped_on_the_terminal_in_json_and_in_the_page(evil, capsys):
    for words in (
        ("eval",),
        ("features", "--images", 20),
        ("explain", "--images", "first:2"),
        ("report",),
        ("analyses",),
    ):
        code, out, err = call(capsys, words[0], evil.path, *words[1:])
        assert code == 0, err
        assert not controls(out + err), words
        assert "damaged" not in err
        code, out, err = call(capsys, words[0], evil.path, *words[1:], "--json")
        assert code == 0, err
        assert not controls(out)
        json.loads(out)
    page = (evil.path / "report.html").read_text()
    assert not controls(page)
    assert r"\x1b[31mred" in page
    assert "<script>alert" not in page
    assert "is left out:" not in page


def on_a_terminal(*words, **environment):
    """Run a command with a terminal for its standard error, and return its exit code and all that it wrote."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "TERM": "xterm", **environment}
    command = [sys.executable, "-m", "glassnet", *map(str, words)]
    process = subprocess.Popen(command, stdout=theirs, stderr=theirs, env=environment, stdin=subprocess.DEVNULL)
    os.close(theirs)
    written = b""
    while True:
        try:
            piece = os.read(ours, 4096)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        written += piece
    os.close(ours)
    return process.wait(), written.decode(errors="replace")


def test_brackets_in_names_are_no_markup_on_a_terminal(evil, tmp_path):
    settings = ("--epochs", 1, "--image-size", 12, "--model-options", *TINY, "--precision", "fp32")
    data = evil.manifest["settings"]["data"]
    code, written = on_a_terminal("train", "--data", data, *settings, "--out", tmp_path / "[/red] run")
    assert code == 0, written
    assert "[/run] [red]\\x1b[2J" in written
    assert "\x1b[2J" not in written
    assert "Traceback" not in written


_EACH = """
import json, sys
from glassnet.__main__ import main
codes = []
for words in json.loads(sys.argv[1]):
    sys.argv = ["glassnet", *words]
    try:
        main()
    except SystemExit as left:
        codes.append(left.code)
    print("\\0", end="", flush=True)
print(json.dumps(codes), end="")
"""


def plain(*commands, **environment):
    """Run commands in a process of their own, which loads torch once; return what each wrote, and all their errors."""
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), **environment}
    environment = {key: value for key, value in environment.items() if value is not None}
    words = json.dumps([[str(word) for word in command] for command in commands])
    done = subprocess.run([sys.executable, "-c", _EACH, words], capture_output=True, env=environment, timeout=200)
    err = done.stderr.decode(errors="replace")
    assert done.returncode == 0, err
    *written, codes = done.stdout.split(b"\0")
    assert json.loads(codes) == [0] * len(commands), err
    return written, err


@pytest.mark.slow  # the first environment below has an output of ASCII, too
@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_an_output_of_few_characters_gets_the_others_escaped(copy, encoding):
    words = (("train", "--help"), ("analyses", copy.path), ("eval", copy.path, "--json"))
    written, _ = plain(*words, PYTHONIOENCODING=encoding)
    texts = [out.decode(encoding) for out in written]
    assert "Train a model on a data set" in texts[0]
    assert copy.path.name in texts[1]
    assert json.loads(texts[-1])["images"] > 0


ODD = {"MPLBACKEND": "nonsense", "NO_COLOR": "1", "TERM": "dumb"}
OLD = {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
HOMELESS = {"HOME": None, "XDG_CACHE_HOME": None, "USER": None}


@pytest.mark.parametrize(
    "environment",
    [
        {**ODD, **OLD, **HOMELESS, "COLUMNS": "abc"},
        pytest.param({**ODD, "COLUMNS": "abc", "PYTHONOPTIMIZE": "2"}, marks=pytest.mark.slow),
        pytest.param({**OLD, **HOMELESS, "COLUMNS": "0"}, marks=pytest.mark.slow),
        {"HOME": "/proc/1", "XDG_CACHE_HOME": "/proc/1/x", "MPLCONFIGDIR": "/proc/1/y", "NUMBA_CACHE_DIR": "/proc/1/z"},
    ],
    ids=lambda environment: ",".join(environment),
)
def test_commands_work_in_any_environment(copy, tmp_path, environment):
    compiled = "NUMBA_CACHE_DIR" in environment  # where compiled code cannot be kept; else the loops of t-SNE take long
    methods = ("--methods", "tsne" if compiled else "pca")
    features = ("features", copy.path, "--images", 40, *methods, "--json")
    written, err = plain(("--help",), ("models",), ("train", "--help-all"), features, **environment)
    assert b"Train a model on a data set" in written[0]
    assert b"then fc1 fc2" in written[1]
    assert b"Fraction of the epochs" in written[2]
    json.loads(written[3])
    assert "Traceback" not in err
    if environment.get("PYTHONUTF8") == "0":  # other characters are escaped
        assert all(out.isascii() for out in written)
        assert rb"Lov\xe1sz-softmax" in written[2]


def test_a_name_that_is_no_utf_8_is_refused_where_a_run_would_hold_it(finished, capsys, tmp_path):
    odd = os.fsdecode(b"caf\xe9")
    (tmp_path / odd / "cats").mkdir(parents=True)
    assert r"--data is b'folder:" in refused(capsys, "train", "--data", f"folder:{tmp_path / odd}")
    assert r"caf\xe9', which is not valid UTF-8" in refused(capsys, "train", "--out", tmp_path / odd)
    sentence = refused(capsys, "train", "--data", f"folder:{tmp_path}")
    assert r"holds b'caf\xe9', whose name is not valid UTF-8; rename it" in sentence


def test_a_run_in_a_folder_whose_name_is_no_utf_8_is_read_from_inside(reported, capsys, tmp_path, monkeypatch):
    place = tmp_path / os.fsdecode(b"caf\xe9")
    shutil.copytree(reported.path, place)
    shutil.rmtree(place / "analyses" / "evaluation")
    (place / "report.html").unlink()
    assert r"caf\xe9', which is not valid UTF-8; rename it" in refused(capsys, "eval", place)
    monkeypatch.chdir(place)
    for command in ("eval", "report"):
        code, out, err = call(capsys, command, ".", "--json")
        assert code == 0, err
        assert json.loads(out)["run"] == "."
    assert r"caf\udce9" in (place / "report.html").read_text("utf-8")
    code, out, err = call(capsys, "report", ".")
    assert code == 0, err
    assert r"caf\udce9" in out


def test_printable_keeps_what_is_harmless():
    assert printable("a\tb\nc", lines=False) == "a\\tb\\nc"
    assert printable("é 中\t[red]\n\x1b[0m\x9b\r\u202e\udcff") == "é 中\t[red]\n\\x1b[0m\\x9b\\r\\u202e\\udcff"


class Bomb:
    """Unpickled, it would write a file."""

    def __reduce__(self):
        return (os.mkdir, ("exploded",))


def test_a_refused_pickle_comes_without_advice_to_trust_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"weights": Bomb()}, tmp_path / "bomb.pth")
    with pytest.raises(gn.errors.InputError) as raised:
        read_weights(tmp_path / "bomb.pth")
    assert "weights_only" not in str(raised.value)
    assert "trust" not in str(raised.value)
    assert "objects that would run code" in str(raised.value)
    assert not (tmp_path / "exploded").exists()
