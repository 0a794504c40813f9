import json
import os
import re
import subprocess
import sys
import time
from dataclasses import fields
from pathlib import Path

import pytest

from glassnet.cli import COMMANDS, run
from glassnet.cli.parse import parse, settings_of
from glassnet.settings import TrainSettings

PYTHON = [sys.executable, "-X", "importtime", "-c"]


def call(capsys, *words):
    code = run(list(words))
    said = capsys.readouterr()
    return code, said.out, said.err


def test_overview_lists_every_command(capsys):
    code, out, err = call(capsys, "--help")
    assert code == 0
    assert not err
    assert all(f"\n  {name} " in out for name in COMMANDS)
    assert max(map(len, out.splitlines())) <= 80
    assert all(option in out for option in ("glassnet help COMMAND", "-V", "--print-completion"))
    assert call(capsys)[1] == out


def test_help_of_a_command_by_the_word_help(capsys):
    with pytest.raises(SystemExit):
        run(["help", "eval"])
    assert "usage: glassnet eval" in capsys.readouterr().out


def test_a_failure_of_the_machine_is_one_sentence_and_code_1(capsys, monkeypatch):
    def full(settings):
        raise OSError(28, "No space left on device")

    full.__annotations__ = COMMANDS["models"].__annotations__
    monkeypatch.setitem(COMMANDS, "models", full)
    code, out, err = call(capsys, "models")
    assert (code, out) == (1, "")
    assert err == "glassnet: the work failed: [Errno 28] No space left on device.\n"


def help_of(capsys, name, option="--help"):
    with pytest.raises(SystemExit) as left:
        run([name, option])
    assert left.value.code == 0
    return capsys.readouterr().out


def test_the_help_of_a_training_is_grouped_by_what_options_are_for(capsys):
    out = help_of(capsys, "train", "--help-all")
    headings = re.findall(r"^(\S.*):$", out, re.MULTILINE)
    only = ["classification only", "segmentation only", "reconstruction only"]
    assert headings == ["data and model", "training", "fine-tuning", *only, "where and how"]
    of_segmentation = out.partition("segmentation only:")[2].partition("reconstruction only:")[0]
    assert re.findall(r"^  (--\S+)", of_segmentation, re.MULTILINE) == [
        "--loss", "--class-weights,", "--low-res-epochs", "--low-res-size", "--copy-paste",
    ]  # fmt: skip
    listed = {name for names in TrainSettings.GROUPS.values() for name in names}
    assert {field.name for field in fields(TrainSettings)} <= listed


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_fits_two_screens_and_says_how_to_see_the_rest(capsys, name):
    out, whole = help_of(capsys, name), help_of(capsys, name, "--help-all")
    assert len(out.splitlines()) <= 100
    rare = getattr(settings_of(COMMANDS[name]), "RARE", ())
    _, _, rest = out.partition(f"\n\nmore options (see `glassnet {name} --help-all`):\n")
    assert max(map(len, rest.splitlines()), default=0) <= 80
    named = [flag.removeprefix("--").replace("-", "_") for flag in rest.replace(",", " ").split()]
    assert sorted(named) == sorted(rare)
    described = re.findall(r"^  (?:-h, )?(--[\w-]+|\S+)", out.partition("\n\nmore options")[0], re.MULTILINE)
    described_by_all = re.findall(r"^  (?:-h, )?(--[\w-]+|\S+)", whole, re.MULTILINE)
    assert sorted([*described, *rest.replace(",", " ").split()]) == sorted(described_by_all)


@pytest.mark.parametrize("columns", [60, 80, 140])
@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_is_as_wide_as_the_terminal(capsys, monkeypatch, name, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = help_of(capsys, name, "--help-all").splitlines()
    whole = [line for line in lines if line.startswith(("usage:", "  -", "  {", "  ["))]  # what is typed is not torn
    assert max(len(line) for line in lines if line not in whole) <= columns
    assert all(len(line) <= columns for line in whole if line.count("  ") > 1)


def test_completion_knows_every_command_and_option(capsys):
    for shell in ("bash", "zsh", "fish"):
        code, out, err = call(capsys, "--print-completion", shell)
        assert (code, err) == (0, "")
        assert all(name in out for name in COMMANDS)
        assert "copy-paste" in out
    assert call(capsys, "--print-completion=bash")[1] == call(capsys, "--print-completion", "bash")[1]
    code, out, err = call(capsys, "--print-completion", "tcsh")
    assert (code, out) == (2, "")
    assert "The shells are: bash, zsh, fish" in err


_COMPLETE = """
source <(python -m glassnet --print-completion bash)
[[ "$(complete -p glassnet)" == "complete -o default -F _glassnet_or_files glassnet" ]] || exit 1
while read -ra COMP_WORDS; do
  COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
  _glassnet_or_files glassnet "${COMP_WORDS[COMP_CWORD]}" ""
  echo "${COMPREPLY[*]}"
done
"""


def test_bash_completes_commands_options_and_choices(tmp_path):
    """What bash itself calls at the tab key; "" where it completes files."""
    expected = {
        "glassnet tr": "train",
        "glassnet train --ep": "--epochs",
        "glassnet train --device c": "cpu cuda",
        "glassnet features runs/demo --methods p": "pca pacmap",
        "glassnet eval ru": "",
    }
    folder = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", _COMPLETE], input="\n".join(expected) + "\n", capture_output=True, text=True, check=True,
        env=environment,
    )  # fmt: skip
    assert dict(zip(expected, done.stdout.splitlines(), strict=True)) == expected
    assert not done.stderr


def test_a_reader_that_has_seen_enough_is_no_failure():
    words = f"{sys.executable} -m glassnet models --json | head -1"
    done = subprocess.run(["bash", "-c", f"set -o pipefail; {words}"], capture_output=True, text=True, check=False)
    assert done.returncode in (0, 141)
    assert not done.stderr
    assert done.stdout == "{\n"


def test_the_short_form_of_the_learning_rate():
    settings, _ = parse("train", COMMANDS["train"], ["--lr", "0.5"])
    assert settings == TrainSettings(learning_rate=0.5)


def test_only_training_runs_in_several_processes(capsys, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    code, _, err = call(capsys, "demo")
    assert code == 2
    assert "`glassnet demo` runs in a single process, but torchrun started 2; use torchrun for train only" in err


def test_version(capsys):
    import glassnet

    assert call(capsys, "--version") == (0, f"glassnet {glassnet.__version__}\n", "")


@pytest.mark.parametrize("name", COMMANDS)
def test_help_tells_units_and_defaults(capsys, name):
    out = help_of(capsys, name, "--help-all")
    assert f"usage: glassnet {name}" in out
    assert "--json" in out
    assert "None}" not in out
    entries = re.split(r"\n  (?=\S)", out)[1:]
    options = [" ".join(entry.split()) for entry in entries if entry.startswith("--")]
    assert len(options) >= 2
    for option in options:
        assert re.search(r"\(default: [^)]|\(required\)|Default[^.]*: ", option), option
    assert "(default: None)" not in out
    assert "(default: )" not in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["trian"], "no command 'trian'. Did you mean train?"),
        (
            ["train", "--epoch", "3"],
            "unrecognized options: --epoch, 3. Did you mean --epochs or --steps or --low-res-epochs or --plain-epochs?",
        ),
        (["train", "--epochs", "many"], "error parsing --epochs: got 'many', expected a whole number. `glassnet train"),
        (["train", "--learning-rate", "x"], "error parsing --learning-rate: got 'x', expected a number."),
        (["train", "--epochs", "0"], "--epochs is 0, expected a number above 0 and below 2^31."),
        (["train", "--lr", "x"], "error parsing --learning-rate: got 'x', expected a number."),
        (["train", "--learnin", "1"], "unrecognized options: --learnin, 1. Did you mean --lr or --learning-rate?"),
        (["train", "--device", "gpu"], "invalid choice 'gpu' for argument '--device'"),
        (
            ["train", "--task", "detection"],
            "no task 'detection'. Did you mean ",
        ),
        (["eval"], "missing from glassnet eval: PATH"),
        (["train", "--data", "mnits"], "no data set 'mnits'. Did you mean mnist"),
        (["train", "--model", "convnte"], "no model 'convnte'. Did you mean convnet"),
        (["models", "vgg"], "no model 'vgg'."),
        (["models", "--figure", "net.png"], "--model-options and --figure need a model"),
        (["train", "--seed", "1" + "0" * 30], "--seed is 1000000000000000000000000000000, expected 0 or more"),
        (["train", "--learning-rate", "inf"], "--learning-rate is inf, expected a finite number above 0."),
        (["train", "--batch-size", "1"], "a batch has 1 images for 1 processes, expected at least 2 images per"),
        (["data", "fetch", "mnits"], "no data set 'mnits'."),
        (["eval", "/nowhere/at/all"], "there is no run at /nowhere/at/all; expected a run directory"),
        (["report", "/"], "/ has no run.json"),
        (["models", "convnet", "--figure", "net.gif"], "--figure is net.gif, expected a file that ends in .png"),
    ],
)
def test_wrong_words_make_one_sentence_and_code_2(capsys, words, message):
    code, out, err = call(capsys, *words)
    assert code == 2
    assert not out
    assert err.startswith(f"glassnet: {message}")
    assert err.count("\n") == 1


def test_models_are_listed_and_laid_out(capsys, tmp_path):
    assert "convnet" in call(capsys, "models")[1]
    code, out, _ = call(capsys, "models", "convnet", "--figure", str(tmp_path / "net.png"))
    assert code == 0
    assert out.splitlines()[0].split() == ["name", "kind", "input", "output", "sees", "parameters", "MACs"]
    assert "468,138" in out.splitlines()[-1]
    assert (tmp_path / "net.png").read_bytes()[:4] == b"\x89PNG"
    document = json.loads(call(capsys, "models", "convnet", "--image-size", "32", "--in-channels", "3", "--json")[1])
    assert document["layers"][1]["input"] == [3, 32, 32]
    assert {row["name"]: row["receptive_field"] for row in document["layers"]}["conv2"] == [5, 5]
    assert max(map(len, out.splitlines())) <= 80
    assert document["parameters"] == sum(row["parameters"] for row in document["layers"])


@pytest.mark.parametrize("code", ["import glassnet", "from glassnet.cli import run; run(['--help'])"])
def test_nothing_heavy_is_loaded_before_it_is_needed(code):
    done = subprocess.run([*PYTHON, code], capture_output=True, text=True, check=True)
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert not loaded & {"torch", "numpy", "matplotlib", "sklearn", "tyro", "rich", "jinja2", "PIL", "scipy"}


@pytest.mark.parametrize(
    ("code", "budget_seconds"), [("import glassnet", 0.15), ("from glassnet.cli import run; run(['--help'])", 0.3)]
)
def test_start_is_quick(code, budget_seconds):
    def once():
        begun = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL, check=True)
        return time.perf_counter() - begun

    # One of several: the budget is for a quiet core, and tests run on busy ones.
    assert any(once() < budget_seconds for _ in range(8))


def test_python_m_glassnet_runs_the_command_line():
    done = subprocess.run([sys.executable, "-m", "glassnet", "nonsense"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("glassnet: no command 'nonsense'.")


def test_a_network_that_no_memory_holds_is_refused(capsys, tmp_path):
    words = ("train", "--model-options", "hidden=999999999999", "--out", tmp_path / "run")
    message = "convnet cannot be built at 28 pixels, hidden=999999999999 (not enough memory); give other sizes."
    code, out, err = call(capsys, *map(str, words))
    assert (code, out) == (2, "")
    assert err.splitlines()[-1].endswith(message)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            RuntimeError("[enforce fail at alloc_cpu.cpp:127] . can't allocate memory"),
            "not enough memory; use a smaller network",
        ),
        (RuntimeError("CUDA out of memory. Tried to allocate"), "not enough memory; use a smaller"),
        (MemoryError(), "not enough memory; use"),
        (OSError(), "OSError."),
    ],
)
def test_too_little_memory_is_one_sentence(capsys, monkeypatch, error, message):
    def fail(*_):
        raise error

    monkeypatch.setattr("glassnet.cli._run", fail)
    code, out, err = call(capsys, "models")
    assert (code, out) == (1, "")
    assert err.startswith(f"glassnet: the work failed: {message}")
