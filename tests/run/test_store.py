"""Entries are there whole or not at all, and nothing that is there is ever changed."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from glassnet.errors import InputError
from glassnet.run.store import Draft, FigureWords, Plot, Store, slug

SETTINGS, MADE_OF = {"layer": "fc1", "images": 5}, {"model": "m", "images": "i"}


def write(store, name="a", *, kind="features", settings=SETTINGS, made_of=MADE_OF, chosen=False, arrays=None):
    with store.draft(kind, name, chosen=chosen) as draft:
        draft.save_arrays({"rows": np.arange(6.0), "labels": np.arange(3)} if arrays is None else arrays)
        draft.save_plot(plot())
        draft.save_text("predictions.csv", "file,true\n")
        draft.document.update(settings=settings, made_of=made_of, made="now", result={"rows": {"array": "rows"}})


def plot():
    from matplotlib.figure import Figure

    figure = Figure((1, 1))
    figure.add_subplot().plot([0, 1])
    return Plot(figure, FigureWords("curve", "A curve", "It rises.", caption="From 0 to 1.", lead="See it rise."))


def contents(folder):
    """Every file below a folder with its bytes."""
    return {str(one.relative_to(folder)): one.read_bytes() for one in folder.rglob("*") if one.is_file()}


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "run")


def test_an_entry_holds_all_that_was_put_into_its_draft(store):
    write(store)
    (entry,) = store.entries()
    assert (entry.kind, entry.name, entry.settings, entry.made_of) == ("features", "a", SETTINGS, MADE_OF)
    assert entry.path == store.folder / "analyses" / "features" / "a"
    assert entry.figures == (plot().words,)
    assert np.array_equal(entry.arrays["rows"], np.arange(6.0))
    assert entry.arrays["labels"].dtype == np.int64
    names = ["analysis.json", "arrays.npz", "curve.png", "curve.svg", "predictions.csv"]
    assert sorted(one.name for one in entry.path.iterdir()) == names
    assert entry.figure_file("curve", "png").read_bytes()[:4] == b"\x89PNG"
    assert "<svg" in entry.figure_file("curve", "svg").read_text()


def test_the_document_says_first_what_it_is_and_last_what_its_figures_show(store):
    write(store)
    keys = list(json.loads((store.folder / "analyses/features/a/analysis.json").read_text()))
    assert keys == ["entry_version", "kind", "settings", "made_of", "made", "result", "figures"]


def test_an_entry_is_found_by_its_settings_and_by_what_it_is_made_of(store):
    assert store.find("features", SETTINGS, MADE_OF) is None
    write(store)
    assert store.find("features", dict(reversed(SETTINGS.items())), MADE_OF).name == "a"
    assert store.find("features", {"layer": "fc1", "images": (5)}, MADE_OF).name == "a"
    for kind, settings, made_of in (
        ("embedding", SETTINGS, MADE_OF),
        ("features", SETTINGS | {"images": 6}, MADE_OF),
        ("features", {"layer": "fc1"}, MADE_OF),
        ("features", SETTINGS, MADE_OF | {"model": "other"}),
    ):
        assert store.find(kind, settings, made_of) is None


def test_a_setting_that_a_later_version_leaves_open_makes_no_other_analysis(store):
    write(store)
    assert store.find("features", SETTINGS | {"landmarks": None}, MADE_OF).name == "a"
    assert store.find("features", SETTINGS | {"landmarks": 50}, MADE_OF) is None


def test_tuples_of_settings_are_found_as_the_lists_that_json_made_of_them(store):
    write(store, settings={"layers": ("conv", "fc1")})
    assert store.find("features", {"layers": ("conv", "fc1")}, MADE_OF) is not None


def test_entries_are_listed_as_they_were_made_in_whatever_zone_the_clock_stood(store):
    times = ["2026-11-27T08:00:00.000002+00:00", "2026-11-27T08:00:00.000001+0000", "2026-11-27T09:30:00+02:00", "soon"]
    for name, made in zip("abcd", times, strict=True):
        write(store, name, settings={"layer": name})
        file = store.folder / "analyses/features" / name / "analysis.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"made": made}))
    assert [one.name for one in store.entries()] == ["d", "c", "b", "a"]


def test_other_settings_stand_beside_and_never_change_what_is_there(store):
    write(store)
    before = contents(store.folder)
    write(store, settings=SETTINGS | {"images": 6})
    write(store, settings=SETTINGS | {"images": 7})
    assert [one.name for one in store.entries("features")] == ["a", "a-2", "a-3"]
    after = contents(store.folder)
    assert {key: after[key] for key in before} == before


def test_a_chosen_name_that_is_taken_is_refused(store):
    write(store, "mine", chosen=True)
    before = contents(store.folder)
    with pytest.raises(InputError, match=r"has an analysis features/mine with other settings; choose another --name"):
        write(store, "mine", chosen=True, settings={})
    write(store, "mine", chosen=True, kind="embedding")  # of another kind it is free
    assert {key: contents(store.folder)[key] for key in before} == before


def test_a_chosen_name_that_another_process_takes_meanwhile_is_refused_in_the_same_words(store):
    def overtaken():
        with store.draft("features", "mine", chosen=True) as draft:
            draft.document.update(settings={}, made_of={})
            write(store, "mine", chosen=True)

    with pytest.raises(InputError, match="with other settings; choose another --name"):
        overtaken()
    assert store.entry("mine").settings == SETTINGS


@pytest.mark.parametrize("name", ["", ".hidden", "a/b", "../a", "-a", "a b", "ä", "a" * 101, "a\n", "con:1"])
def test_what_cannot_name_a_folder_is_refused(store, name):
    for chosen in (True, False):
        with pytest.raises(InputError, match="cannot name an analysis, expected up to 100 letters"):
            write(store, name, chosen=chosen)
    assert not store.folder.exists()
    write(store)
    with pytest.raises(InputError, match="cannot name an analysis"):
        store.rename("a", name)


# Every call that makes, writes, renames or flushes something while an entry is made.
EVENTS = (
    (Path, "mkdir"),
    (Path, "open"),
    (Path, "write_text"),
    (Path, "rename"),
    (Path, "replace"),
    (os, "fsync"),
    (np, "savez_compressed"),
    (Draft, "save_plot"),
)


def patched(monkeypatch, act):
    """Call `act` before the k-th write event; return how many there were."""
    counter = {"events": 0}

    def counting(whole):
        def call(*args, **kwargs):
            counter["events"] += 1
            act(counter["events"])
            return whole(*args, **kwargs)

        return call

    for owner, name in EVENTS:
        monkeypatch.setattr(owner, name, counting(getattr(owner, name)))
    return counter


@pytest.mark.parametrize(
    ("error", "expected", "message"),
    [
        (OSError(28, "No space"), InputError, r"cannot write .* \(No space\)"),
        (KeyboardInterrupt("^C"), KeyboardInterrupt, "C"),
    ],
)
def test_what_fails_at_any_write_leaves_no_entry_and_no_file(store, monkeypatch, error, expected, message):
    write(store, "old")
    before = contents(store.folder)
    with monkeypatch.context() as patch:
        counter = patched(patch, lambda _event: None)
        write(store, "counted")
    store.remove("counted")
    assert counter["events"] > 8
    for k in range(1, counter["events"] + 1):

        def fail(event, k=k):
            if event == k:
                raise error

        with monkeypatch.context() as patch:
            patched(patch, fail)
            with pytest.raises(expected, match=message):
                write(store, "new")
        assert contents(store.folder) == before, f"write event {k}"
        assert [one.name for one in (store.root / "features").iterdir()] == ["old"]
    write(store, "new")
    assert [one.name for one in store.entries()] == ["new", "old"]


def test_an_error_in_the_block_leaves_nothing(store):
    def failing():
        with store.draft("features", "a", chosen=False) as draft:
            draft.save_arrays({"rows": np.zeros(3)})
            raise RuntimeError("the figure failed")

    with pytest.raises(RuntimeError, match="the figure failed"):
        failing()
    assert contents(store.folder) == {}


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # of a process with threads
def test_a_process_killed_at_any_write_leaves_no_entry_and_the_next_draft_sweeps_up(store, monkeypatch):
    """The child forks at each write event and the fork dies there; what is on disk is as if the child had."""
    write(store, "old")
    before = contents(store.folder)
    with monkeypatch.context() as patch:
        events = patched(patch, lambda _event: None)
        write(store, "counted")
    store.remove("counted")
    leftovers = 0
    for k in range(1, events["events"] + 1):
        process = os.fork()
        if not process:
            try:
                patched(monkeypatch, lambda event, k=k: os.kill(os.getpid(), signal.SIGKILL) if event == k else None)
                write(store, "new")
            finally:
                os._exit(1)
        _, status = os.waitpid(process, 0)
        assert os.WIFSIGNALED(status), f"write event {k} was not reached"
        assert [one.name for one in store.entries()] == ["old"]
        visible = {key: value for key, value in contents(store.folder).items() if "/." not in key}
        assert visible == before, f"write event {k}"
        leftovers = max(leftovers, len(contents(store.folder)) - len(before))
    assert leftovers > 3  # something was left to sweep
    write(store, "next")
    assert sorted(one.name for one in (store.root / "features").iterdir()) == ["next", "old"]


def test_only_folders_of_the_dead_are_swept(store, tmp_path):
    write(store)
    place = store.root / "features"
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    with store.draft("features", "b", chosen=False) as draft:
        host = draft.folder.name.split(".")[2].partition("-")[0]
        names = {
            f".x.{host}-{int(dead.stdout)}-0.tmp": False,
            f".x.{host}-{os.getpid()}-99999.tmp": False,  # this process makes no such: a dead one had its number
            f".x.{host}-{os.getppid()}-0.tmp": True,
            f".x.{host}-1-0.tmp": True,  # another user's
            f".x.00000000-{int(dead.stdout)}-0.tmp": True,  # another computer's, of today
            f".x.11111111-{int(dead.stdout)}-0.tmp": False,  # another computer's, of last week
            ".mine.tmp": True,
        }
        for name in names:
            (place / name).mkdir()
        os.utime(place / f".x.11111111-{int(dead.stdout)}-0.tmp", (0, 0))
        write(store, "c")
        assert {name: (place / name).exists() for name in names} == names
        assert draft.folder.is_dir()  # this process's own, which is in use
        draft.document.update(settings={}, made_of={})
    assert sorted(one.name for one in store.entries()) == ["a", "b", "c"]


def at_once(*targets):
    threads = [threading.Thread(target=target) for target in targets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_two_threads_at_once_both_keep_their_entries(store):
    barrier = threading.Barrier(4)

    def one(images):
        with store.draft("features", "a", chosen=False) as draft:
            barrier.wait()
            draft.save_arrays({"rows": np.full(3, images)})
            barrier.wait()
            draft.document.update(settings={"images": images}, made_of={})

    at_once(*(lambda images=images: one(images) for images in range(4)))
    assert sorted(one.name for one in store.entries()) == ["a", "a-2", "a-3", "a-4"]
    for images in range(4):
        assert store.find("features", {"images": images}, {}).arrays["rows"].tolist() == [images] * 3


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # of a process with threads
def test_two_processes_at_once_both_keep_their_entries(store):
    processes = []
    for images in range(3):
        process = os.fork()
        if not process:
            with store.draft("features", "a", chosen=False) as draft:
                draft.save_arrays({"rows": np.full(3, images)})
                draft.document.update(settings={"images": images}, made_of={})
            os._exit(0)
        processes.append(process)
    assert [os.waitpid(process, 0)[1] for process in processes] == [0, 0, 0]
    assert sorted(one.settings["images"] for one in store.entries()) == [0, 1, 2]
    assert not [one for one in (store.root / "features").iterdir() if one.name.startswith(".")]


def test_entries_go_by_name_and_by_kind_and_name(store):
    write(store)
    write(store, kind="embedding")
    write(store, "b")
    assert store.entry("b").kind == "features"
    assert store.entry("embedding/a").kind == "embedding"
    with pytest.raises(InputError, match=r"'a' could mean embedding/a or features/a; give one of them\."):
        store.entry("a")
    with pytest.raises(InputError, match=r"no analysis 'c' in .*The analyses are: embedding/a, features/a, features/b"):
        store.entry("c")
    assert [one.name for one in store.entries("features")] == ["a", "b"]
    with pytest.raises(InputError, match="The analyses are: none"):
        Store(store.folder / "nothing").entry("a")


def test_an_entry_is_removed_whole_and_no_other(store):
    write(store)
    write(store, "b")
    before = {key: value for key, value in contents(store.folder).items() if "/b/" in key}
    gone = store.remove("a")
    assert (gone.kind, gone.name) == ("features", "a")
    assert contents(store.folder) == before
    with pytest.raises(InputError, match="no analysis 'a'"):
        store.remove("a")


def test_an_entry_is_renamed(store):
    write(store)
    write(store, "b", settings={})
    entry = store.entry("a")
    renamed = store.rename("a", "better")
    assert (renamed.name, renamed.document) == ("better", entry.document)
    assert store.find("features", SETTINGS, MADE_OF).name == "better"
    with pytest.raises(InputError, match=r"features/b already exists in .*; choose another name"):
        store.rename("better", "b")
    with pytest.raises(InputError, match="no analysis 'a'"):
        store.rename("a", "c")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "Expecting"),
        ("[]", "no entry_version"),
        ("{}", "no entry_version"),
        ('{"entry_version": true}', "no entry_version"),
        ("\xff", "utf-8"),
    ],
)
def test_a_damaged_document_is_named_and_can_be_removed(store, text, message):
    write(store)
    write(store, "b")
    file = store.root / "features" / "a" / "analysis.json"
    file.write_bytes(text.encode("latin-1"))
    again = f"remove it with `glassnet analyses {store.folder} --remove features/a`"
    for ask in (store.entries, lambda: store.entry("a"), lambda: store.find("features", {}, {})):
        with pytest.raises(InputError, match=message) as caught:
            ask()
        assert str(file) in str(caught.value)
        assert again in str(caught.value)
    assert store.entry("b").name == "b"
    store.remove("features/a")
    assert [one.name for one in store.entries()] == ["b"]


def test_an_entry_of_a_newer_glassnet_is_not_called_damaged(store):
    write(store)
    file = store.root / "features" / "a" / "analysis.json"
    file.write_text('{"entry_version": 2}')
    with pytest.raises(InputError, match=r"has entry version 2, but this glassnet reads 1; upgrade with `pip"):
        store.entries()


def test_damaged_arrays_are_named(store, tmp_path):
    large = np.lib.format.open_memmap(tmp_path / "large.npy", mode="w+", dtype=np.float32, shape=(50, 4))
    write(store, arrays={"rows": np.random.default_rng(0).random(500), "features": large})
    folder = store.root / "features" / "a"
    for name in ("arrays.npz", "features.npy"):
        whole = (folder / name).read_bytes()
        flipped = bytearray(whole)
        flipped[len(whole) // 2] ^= 0xFF
        damages = [b"", b"nonsense", whole[: len(whole) // 2], *([flipped] if name == "arrays.npz" else [])]
        for damage in damages:
            (folder / name).write_bytes(damage)
            with pytest.raises(InputError, match=r"is damaged \(.*remove it with `glassnet analyses") as caught:
                _ = store.entry("a").arrays
            assert str(folder / name) in str(caught.value)
        (folder / name).write_bytes(whole)
    assert store.entry("a").arrays.keys() == {"rows", "features"}


def test_a_mapped_array_has_a_file_of_its_own_and_is_mapped_again(store, tmp_path):
    large = np.lib.format.open_memmap(tmp_path / "x.npy", mode="w+", dtype=np.float32, shape=(7, 3))
    large[:] = np.arange(21).reshape(7, 3)
    write(store, arrays={"features": large, "deep/er.1": large[:2], "labels": np.arange(7)})
    folder = store.root / "features" / "a"
    assert (folder / "features.npy").exists()
    with np.load(folder / "arrays.npz") as small:
        assert small.files == ["labels"]
    arrays = store.entry("a").arrays
    assert isinstance(arrays["features"], np.memmap)
    assert not arrays["features"].flags.writeable
    assert np.array_equal(arrays["features"], large)
    assert np.array_equal(arrays["deep/er.1"], large[:2])


def test_an_object_array_is_never_pickled(store):
    with pytest.raises(ValueError, match="allow_pickle"):
        write(store, arrays={"rows": np.array([{}])})
    assert contents(store.folder) == {}


def test_whether_entries_can_be_made_is_known_beforehand(store, monkeypatch, tmp_path):
    assert store.writable  # its folder will be made
    assert not store.folder.exists()
    (tmp_path / "file").write_text("")
    assert not Store(tmp_path / "file").writable
    write(store)
    assert store.writable
    allowed = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != store.root and allowed(path, mode))
    assert not store.writable


def test_a_disk_that_refuses_is_named(store, tmp_path):
    store.folder.write_text("a file where the folder should be")
    with pytest.raises(
        InputError, match=r"cannot write the analysis features/a in .*run \(Not a dir.*; free some space"
    ):
        write(store)


def test_names_are_short_readable_and_different():
    assert slug(["tsne2", "fc1"]) == "tsne2-fc1"
    assert slug(["", "a/b c", "..", "p5+30"]) == "a-b-c-p5+30"
    assert slug([]) == "analysis"
    assert slug(["@x"]) == "a@x"
    long, other = slug(["layer"] * 30), slug(["layer"] * 31)
    assert long != other
    assert max(len(long), len(other)) <= 60
