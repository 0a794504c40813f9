"""A training that is killed at any write, or meets a full disk, goes on to the very run that it would have been."""

import contextlib
import dataclasses
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
import safetensors.torch
import torch
from safetensors import SafetensorError

import glassnet as gn
from glassnet import cli, run
from glassnet.errors import InputError
from glassnet.experiment import Run
from glassnet.files import HOST, WriteError
from glassnet.run import training_files, unfinished
from glassnet.training import loop
from glassnet.training.resume import train_or_resume
from glassnet.training.train import train
from tiny_runs import save_bars, stops_after_an_epoch, tiny

SMALL = {"model_options": ("filters=2,2,2,2", "hidden=4"), "epochs": 2, "validation": 0.25, "batch_size": 16}


@pytest.fixture(scope="module")
def bars(tmp_path_factory):
    return save_bars(tmp_path_factory.mktemp("data") / "bars")


@pytest.fixture(scope="module")
def settings(bars):
    return tiny(None, data=f"folder:{bars}", image_size=8, **SMALL)


def trained(settings, out):
    return gn.train(gn.TrainSettings(**{**vars(settings), "out": out}))


@pytest.fixture(scope="module")
def whole(settings, tmp_path_factory):
    return trained(settings, tmp_path_factory.mktemp("runs") / "whole")


@pytest.fixture
def stopped(settings, tmp_path, monkeypatch):
    """A training that was stopped after its first epoch."""
    with stops_after_an_epoch(monkeypatch):
        trained(settings, tmp_path / "run")
    return tmp_path / "run"


def content(path):
    return {file.relative_to(path).as_posix(): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def assert_same(one, other):
    """Two runs are the same but for times and places."""
    assert one.metrics == other.metrics
    assert one.manifest["weights"] == other.manifest["weights"]
    assert [{k: v for k, v in row.items() if "seconds" not in k} for row in one.history] == [
        {k: v for k, v in row.items() if "seconds" not in k} for row in other.history
    ]
    assert all(torch.equal(a, b) for a, b in zip(one.weights().values(), other.weights().values(), strict=True))
    assert sorted(content(one.path)) == sorted(content(other.path))


# Killed


def patched(monkeypatch, event):
    """Call `event` with a number before every change of the disk that the training makes."""
    count = iter(range(1, 10_000))
    for owner, name in ((Path, "replace"), (Path, "touch"), (Path, "unlink"), (os, "pwrite"), (os, "fsync")):
        real = getattr(owner, name)

        def watched(*arguments, _real=real, **options):
            event(next(count))
            return _real(*arguments, **options)

        monkeypatch.setattr(owner, name, watched)


@pytest.mark.parametrize("every", [4, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # of a process with threads
def test_killed_at_any_write_it_goes_on_to_the_same_run_and_leaves_nothing(
    settings, whole, tmp_path, monkeypatch, every
):
    with monkeypatch.context() as patch:
        events = []
        patched(patch, events.append)
        assert_same(trained(settings, tmp_path / "counted"), whole)
    assert len(events) > 20
    anew = 0
    for k in sorted({*events[::every], events[-1]}):
        out = tmp_path / f"run-{k}"
        process = os.fork()
        if not process:
            try:
                os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
                patched(monkeypatch, lambda event, k=k: os.kill(os.getpid(), signal.SIGKILL) if event == k else None)
                trained(settings, out)
            finally:
                os._exit(1)
        _, status = os.waitpid(process, 0)
        assert os.WIFSIGNALED(status), f"write {k} was not reached"
        if (out / "run.json").exists():  # killed after its last file
            with pytest.raises(InputError, match="is finished; there is nothing to resume"):
                gn.train(gn.TrainSettings(resume=out))
        elif (out / "checkpoint" / "state.pt").exists():
            gn.train(gn.TrainSettings(resume=out))
        else:
            anew += 1
            with pytest.raises(
                InputError, match="was stopped before its first checkpoint; run the command that started"
            ):
                gn.train(gn.TrainSettings(resume=out))
            trained(settings, out)
        assert_same(Run.open(out), whole)
    assert 0 < anew < 10


@pytest.mark.parametrize("worse", [True, False])
def test_killed_between_weights_and_checkpoint_the_weights_are_those_of_the_checkpoint(
    stopped, settings, monkeypatch, worse
):
    """Also where the epoch that is done again comes out worse, as it may on a GPU."""
    first = run.read_checkpoint(stopped)["state"]["best_weights"]

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(loop, "save_checkpoint", killed)
        with pytest.raises(KeyboardInterrupt):
            gn.train(gn.TrainSettings(resume=stopped))
    assert (stopped / run.NEXT).exists()
    assert training_files.weights_about(stopped / "model.safetensors") == {"epoch": "1", "digest": first}
    if worse:
        real = loop._write_epoch
        monkeypatch.setattr(loop, "_write_epoch", lambda one, *rest: real(_unconvinced(one), *rest))
    resumed = gn.train(gn.TrainSettings(resume=stopped))
    assert resumed.metrics["epoch"] == resumed.manifest["weights"]["epoch"] == (1 if worse else 2)
    assert (resumed.manifest["weights"]["digest"] == first) == worse
    resumed.weights()
    assert not (stopped / run.NEXT).exists()


def _unconvinced(one):
    """Return a loop whose task takes no epoch for the best."""
    task = dataclasses.replace(one.parts.task, should_checkpoint=lambda *_: False)
    return dataclasses.replace(one, parts=dataclasses.replace(one.parts, task=task))


@pytest.mark.parametrize(
    "left", [[], ["owner.json"], [".state.pt.abcdef01-999999999-0.tmp.pt"], [".state.pt.4.tmp.pt", "owner.json"]]
)
def test_the_start_of_a_training_is_no_dead_end(settings, whole, tmp_path, left, capfd):
    out = tmp_path / "run"
    (out / "checkpoint").mkdir(parents=True)
    for name in left:
        (out / "checkpoint" / name).write_text("half")
    with pytest.raises(InputError, match="was stopped before its first checkpoint; run the command that started it"):
        gn.train(gn.TrainSettings(resume=out))
    assert_same(trained(settings, out), whole)
    assert "was stopped before its first checkpoint; starting again" in capfd.readouterr().err


@pytest.mark.parametrize("name", ["notes.txt", "checkpoint/notes.txt", "checkpoint/deep/a", ".hidden"])
def test_what_is_the_users_is_not_taken_for_a_start(settings, tmp_path, name):
    (tmp_path / "run" / name).parent.mkdir(parents=True)
    (tmp_path / "run" / "checkpoint").mkdir(exist_ok=True)
    (tmp_path / "run" / name).write_text("mine")
    with pytest.raises(InputError, match="is not empty; give another --out"):
        trained(settings, tmp_path / "run")
    assert (tmp_path / "run" / name).read_text() == "mine"


def test_a_start_under_a_default_name_is_taken_up(settings, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs/bars-convnet-seed0/checkpoint").mkdir(parents=True)
    (tmp_path / "runs/bars-convnet-seed0/checkpoint" / unfinished.OWNER).write_text("")
    assert trained(settings, None).name == "bars-convnet-seed0"
    assert run.create(None, "bars-convnet-seed0").name == "bars-convnet-seed0-2"


def test_killed_in_the_first_write_of_its_plan_a_grid_begins_anew(settings, tmp_path):
    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    (tmp_path / "grid").mkdir()
    (tmp_path / "grid" / f".grid.json.{HOST}-{int(ended.stdout)}-0.tmp.json").write_text("{")
    found = gn.tune(settings, {"hidden": [4]}, seeds=(0,), out=tmp_path / "grid")
    assert len(found.cells) == 1
    assert not list((tmp_path / "grid").glob(".*"))


# One process at a time


def test_a_second_training_of_a_run_is_refused_and_changes_nothing(stopped, settings, whole, capsys):
    with run.training_lock(stopped):
        before = content(stopped)
        assert cli.run(["train", "--resume", str(stopped)]) == 2
        said = capsys.readouterr().err
        assert f"the run at {stopped} is being trained by process {os.getpid()} on " in said
        assert "; wait until it finishes, or stop that process." in said
        with pytest.raises(InputError, match="is being trained by process"):
            train_or_resume(settings, stopped)
        assert content(stopped) == before
    assert not (stopped / "checkpoint" / unfinished.OWNER).exists()
    assert_same(gn.train(gn.TrainSettings(resume=stopped)), whole)


def test_of_two_at_once_one_trains(stopped, whole):
    outcomes, barrier = [], threading.Barrier(4)

    def claim():
        barrier.wait()
        try:
            with run.training_lock(stopped):
                outcomes.append("held")
                barrier.wait(10)
        except InputError as error:
            outcomes.append(str(error))
            barrier.wait(10)

    threads = [threading.Thread(target=claim) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count("held") == 1
    assert sum("is being trained by" in one for one in outcomes) == 3


HOLD = """
import sys, time
from pathlib import Path
from types import SimpleNamespace
from glassnet.run import training_lock
with training_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def test_the_lock_of_a_killed_process_is_free(stopped):
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(stopped)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "held\n"
        assert not unfinished.is_free(stopped)
        with pytest.raises(InputError, match=f"is being trained by process {process.pid} on .* since "), _held(stopped):
            pass
    finally:
        process.kill()
        process.communicate()
    assert (stopped / "checkpoint" / unfinished.OWNER).exists()
    assert unfinished.is_free(stopped)
    assert len(gn.train(gn.TrainSettings(resume=stopped)).history) == 2
    assert not (stopped / "checkpoint" / unfinished.OWNER).exists()


def _held(path):
    return run.training_lock(path)


@pytest.fixture
def without_locks(monkeypatch):
    """A file system that has no locks."""
    import fcntl

    def refuse(*_):
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr(fcntl, "flock", refuse)


def test_where_bytes_are_locked_as_on_windows_a_run_has_one_owner(stopped, monkeypatch):
    import fcntl

    class Bytes:
        LK_NBLCK = 2
        places = []  # noqa: RUF012

        @classmethod
        def locking(cls, handle, mode, count):
            cls.places.append((os.lseek(handle, 0, os.SEEK_CUR), mode, count))
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)

    monkeypatch.setitem(sys.modules, "fcntl", None)
    monkeypatch.setitem(sys.modules, "msvcrt", Bytes)
    file = stopped / "checkpoint" / unfinished.OWNER
    with run.training_lock(stopped):
        assert json.loads(file.read_text())["process"] == os.getpid()  # at its beginning, not behind the byte
        assert not unfinished.is_free(stopped)
        with pytest.raises(InputError, match=f"is being trained by process {os.getpid()}"), run.training_lock(stopped):
            pass
    assert unfinished.is_free(stopped)
    assert {*Bytes.places} == {(1 << 30, 2, 1)}


def test_without_locks_the_owner_is_asked(stopped, without_locks):
    file = stopped / "checkpoint" / unfinished.OWNER
    sleeping = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    owner = {
        "process": sleeping.pid,
        "began": unfinished._began(sleeping.pid),
        "host": HOST,
        "computer": "here",
        "at": "noon",
    }
    try:
        file.write_text(json.dumps(owner))
        message = f"is being trained by process {sleeping.pid} on here since noon"
        with pytest.raises(InputError, match=message), run.training_lock(stopped):
            pass
        file.write_text(json.dumps(owner | {"began": "1"}))  # its number was another's before
        with run.training_lock(stopped):
            assert json.loads(file.read_text())["process"] == os.getpid()
        file.write_text(json.dumps(owner))
    finally:
        sleeping.communicate(b"\n")
    with run.training_lock(stopped):
        pass
    assert not file.exists()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"process": "x"}', '{"process": -1}', '{"process": 0}', "9" * 5000])
def test_a_damaged_lock_is_nobodys(stopped, without_locks, text):
    file = stopped / "checkpoint" / unfinished.OWNER
    file.write_text(text)
    with run.training_lock(stopped):
        assert json.loads(file.read_text())["process"] == os.getpid()
    assert not file.exists()


def test_a_run_that_another_process_has_trained_on_meanwhile_is_not_trained_twice(stopped, monkeypatch):
    real = run.training_lock

    @contextlib.contextmanager
    def late(path):
        with monkeypatch.context() as patch:
            patch.setattr(run, "training_lock", real)
            gn.train(gn.TrainSettings(resume=path))
        with real(path):
            yield

    monkeypatch.setattr(run, "training_lock", late)
    with pytest.raises(InputError, match=r"another process has just continued the run at .*; run the same command"):
        gn.train(gn.TrainSettings(resume=stopped))
    assert [row["epoch"] for row in Run.open(stopped).history] == [1, 2]


# A full disk


def full_after(monkeypatch, writes):
    """Refuse every write to the disk after so many, each in the words of who writes."""
    count = iter(range(10_000))

    def refusing(real, error):
        def write(*arguments, **options):
            if next(count) >= writes:
                raise error
            return real(*arguments, **options)

        return write

    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    said = "Error while serializing: I/O error: No space left on device (os error 28)"
    monkeypatch.setattr(safetensors.torch, "save_file", refusing(safetensors.torch.save_file, SafetensorError(said)))
    enforce = RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0")
    monkeypatch.setattr(torch, "save", refusing(torch.save, enforce))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=0))
    monkeypatch.setattr(Path, "write_text", refusing(Path.write_text, full))
    monkeypatch.setattr(os, "fsync", refusing(os.fsync, full))


def test_a_full_disk_at_any_write_is_one_sentence_and_the_run_goes_on_when_there_is_room(
    settings, whole, tmp_path, monkeypatch
):
    for writes in range(100):
        out = tmp_path / str(writes)
        with monkeypatch.context() as patch:
            full_after(patch, writes)
            try:
                assert trained(settings, out).path == out
                break
            except WriteError as error:
                said = str(error)
        assert (
            "free some space, or choose another place"
            if writes < 2
            else f"free some space, then continue with `glassnet train --resume {out}`"
        ) in said
        assert "\n" not in said
        if writes < 2:
            assert not out.exists()
            continue
        assert not [name for name in content(out) if ".tmp" in name or name.endswith(unfinished.OWNER)]
        assert_same(gn.train(gn.TrainSettings(resume=out)), whole)
    assert writes > 10


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 1 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], capture_output=True)
    if done.returncode:
        pytest.skip("only root can mount a small disk")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.mark.parametrize("free", [0, 6_000, 60_000, 130_000, 200_000])
def test_a_small_disk(settings, whole, small_disk, free, monkeypatch):
    with (small_disk / "filler").open("wb", buffering=0) as file:
        with contextlib.suppress(OSError):
            while file.write(b"0" * 4096):
                pass
        file.truncate(max(0, file.tell() - free))
    out = small_disk / "run"
    refusal = ""
    try:
        trained(settings, out)
    except InputError as error:
        refusal = str(error)
    if not refusal:
        assert free > 60_000
        return
    assert "No space left on device" in refusal
    assert "free some space" in refusal
    (small_disk / "filler").unlink()
    resumable = (out / "checkpoint" / "state.pt").exists()
    assert not resumable or "--resume" in refusal
    finished = gn.train(gn.TrainSettings(resume=out)) if resumable else trained(settings, out)
    assert_same(finished, whole)


# Damage


def flip(file, bit):
    bits = bytearray(file.read_bytes())
    bits[bit // 8] ^= 1 << bit % 8
    file.write_bytes(bits)


def wrong_bits(file, seed, read):
    """Flip one bit of a file after another, and give what is then read, or the error."""
    before = file.read_bytes()
    for bit in torch.randint(8 * len(before), (60,), generator=torch.Generator().manual_seed(seed)).tolist():
        file.write_bytes(before)
        flip(file, bit)
        try:
            yield bit, read()
        except InputError as error:
            yield bit, error


@pytest.mark.parametrize("seed", range(3))
def test_one_wrong_bit_in_the_weights_is_noticed(whole, tmp_path, seed):
    mine = shutil.copytree(whole.path, tmp_path / "run")
    state = whole.weights()
    for bit, read in wrong_bits(mine / "model.safetensors", seed, lambda: Run.open(mine).weights()):
        if isinstance(read, InputError):
            assert "model.safetensors" in str(read)
        else:  # a space of the header
            assert all(torch.equal(read[name], state[name]) for name in state), bit


@pytest.mark.parametrize("seed", range(3))
def test_one_wrong_bit_in_a_checkpoint_is_noticed(stopped, seed):
    saved = run.read_checkpoint(stopped)
    for bit, read in wrong_bits(stopped / "checkpoint" / "state.pt", seed, lambda: run.read_checkpoint(stopped)):
        if isinstance(read, InputError):
            assert "state.pt is damaged" in str(read)
            continue
        model = saved["state"]["model"]  # the bit is of the padding between two parts
        assert all(torch.equal(read["state"]["model"][name], model[name]) for name in model), bit
        assert read["settings"] == saved["settings"]


def test_a_tensor_that_the_archive_calls_a_folder_is_noticed(stopped):
    """No checksum covers that bit, and torch reads nothing of a folder, so that memory would stand for weights."""
    file = stopped / "checkpoint" / "state.pt"
    before = file.read_bytes()
    entries = [at for at in range(len(before)) if before.startswith(b"PK\1\2", at)]
    assert len(entries) > 5
    for at in entries:
        file.write_bytes(before)
        flip(file, 8 * (at + 38) + 4)  # bit 0x10 of the external attributes
        with pytest.raises(InputError, match=r"state\.pt is damaged"):
            run.read_checkpoint(stopped)


def test_a_wrong_digit_in_the_history_is_noticed_by_a_resume(stopped):
    text = (stopped / "metrics.jsonl").read_text()
    value = json.loads(text)["train_loss"]
    (stopped / "metrics.jsonl").write_text(text.replace(str(value), str(value + 0.125)))
    with pytest.raises(InputError, match=r"metrics\.jsonl is damaged \(it differs from what the training wrote\)"):
        gn.train(gn.TrainSettings(resume=stopped))


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("nonsense", "Expecting value"),
        ("[1]", "not a JSON object"),
        ('{"epoch": 1, "train_loss": "low"}', 'train_loss is "low", expected a number'),
        ('{"epoch": 1, "train_loss": null}', "train_loss is null, expected a number"),
        ('{"epoch": 1, "train_loss": [1]}', "expected a number"),
        ('{"epoch": 1, "train_loss": NaN}', "NaN is not a JSON number"),
        ('{"epoch": 1, "train_loss": true}', "train_loss is true, expected a number"),
        ('{"epoch": 2, "train_loss": 1}', "it holds epoch 2, expected 1"),
        ('{"train_loss": 1}', "it holds epoch None, expected 1"),
        ('{"epoch": 1, "a": ' + "[" * 100_000, "nested too deeply"),
        ('{"epoch": 1, "a": ' + "9" * 5000 + "}", "5,000 digits"),
        ('{"epoch": 1, "\\ud800": 1}', "half a character"),
    ],
)
def test_a_damaged_line_is_noticed_by_all_that_read_it(stopped, whole, tmp_path, line, problem):
    (stopped / "metrics.jsonl").write_text(line + "\n")
    with pytest.raises(InputError, match=rf"metrics\.jsonl is damaged in line 1 \(.*{problem}"):
        gn.train(gn.TrainSettings(resume=stopped))
    mine = shutil.copytree(whole.path, tmp_path / "mine")
    lines = (mine / "metrics.jsonl").read_text().splitlines()
    (mine / "metrics.jsonl").write_text("\n".join([line, *lines[1:]]) + "\n")
    with pytest.raises(InputError, match=rf"metrics\.jsonl is damaged in line 1 \(.*{problem}"):
        _ = Run.open(mine).history


def test_weights_of_another_epoch_than_run_json_says_are_refused(whole, tmp_path):
    mine = shutil.copytree(whole.path, tmp_path / "run")
    state = whole.weights()
    name = next(iter(state))
    run.write_weights(mine, state | {name: state[name] + 1}, epoch=1)
    with pytest.raises(
        InputError, match=r"not hold the weights that .*run\.json names \(it has epoch 1, expected \d\)"
    ):
        Run.open(mine)
    run.write_weights(mine, state, epoch=whole.metrics["epoch"])
    assert Run.open(mine).weights().keys() == state.keys()


def test_weights_that_are_not_finite_or_of_another_precision_are_refused(whole, tmp_path):
    mine = shutil.copytree(whole.path, tmp_path / "run")
    manifest = json.loads((mine / "run.json").read_text())
    del manifest["weights"]  # as version 0.1 wrote it
    (mine / "run.json").write_text(json.dumps(manifest))
    state = whole.weights()
    name = "conv1.weight"
    for wrong, message in (
        (state[name] * torch.nan, "holds NaN or infinite numbers in conv1.weight"),
        (state[name] / 0, "holds NaN or infinite numbers in conv1.weight"),
        (state[name].half(), r"does not fit convnet: conv1.weight is torch.float16, expected torch.float32"),
        (state[name].double(), "conv1.weight is torch.float64, expected torch.float32"),
        (state[name].long(), "conv1.weight is torch.int64, expected torch.float32"),
    ):
        run.write_weights(mine, state | {name: wrong})
        with pytest.raises(InputError, match=message):
            Run.open(mine).model()


def test_what_the_manifest_of_weights_names_is_what_the_checkpoint_named(whole):
    about = training_files.weights_about(whole.path / "model.safetensors")
    assert about == {"epoch": str(whole.metrics["epoch"]), "digest": training_files.tensors_digest(whole.weights())}
    assert whole.manifest["weights"] == {"epoch": whole.metrics["epoch"], "digest": about["digest"]}


def test_weights_that_the_checkpoint_does_not_name_are_refused(stopped):
    state = {name: tensor + 1 for name, tensor in run.read_weights(stopped).items()}
    run.write_weights(stopped, state, epoch=1)
    with pytest.raises(
        InputError, match=r"model\.safetensors does not hold the weights that the checkpoint of .* names"
    ):
        train(gn.TrainSettings(resume=stopped))
    (stopped / "model.safetensors").unlink()
    with pytest.raises(
        InputError, match=r"model\.safetensors does not hold the weights that the checkpoint of .* names"
    ):
        train(gn.TrainSettings(resume=stopped))
