"""Files are whole or not there, what the dead leave is swept, and JSON holds nothing that cannot be dealt with."""

import errno
import json
import os
import subprocess
import sys

import pytest

from glassnet import files
from glassnet.errors import InputError
from glassnet.files import HOST, WriteError, atomic, parse_json, read_json, sweep_dead, write_json


@pytest.fixture(scope="session")
def dead():
    """The number of a process that has ended."""
    printed = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    return int(printed.stdout)


def test_what_a_killed_process_left_is_swept_by_the_next_writer(tmp_path, dead):
    names = {
        f".run.json.{HOST}-{dead}-0.tmp.json": False,
        f".state.pt.{HOST}-{dead}-7.tmp.pt": False,
        f".unpacked.{HOST}-{dead}-3.tmp": False,
        f".run.json.{HOST}-{os.getppid()}-0.tmp.json": True,  # of a process that is running
        f".run.json.00000000-{dead}-0.tmp.json": True,  # of another computer, of today
        f".run.json.00000000-{dead}-1.tmp.json": False,  # of another computer, of long ago
        f".state.pt.{dead}.tmp.pt": False,  # as version 0.1 named them, of long ago
        ".mine.tmp.json": True,
        ".hidden": True,
    }
    for name in names:
        (tmp_path / name).write_bytes(b"half")
    for old in (f".run.json.00000000-{dead}-1.tmp.json", f".state.pt.{dead}.tmp.pt"):
        os.utime(tmp_path / old, (0, 0))
    with atomic(tmp_path / "other.json") as mine:
        mine.write_text("{}")
        sweep_dead(tmp_path)
        assert mine.exists()  # this process is at it
    assert {name: (tmp_path / name).exists() for name in names} == names
    assert (tmp_path / "other.json").read_text() == "{}"


def test_a_link_of_such_a_name_is_removed_and_not_followed(tmp_path, dead):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a.txt").write_text("mine")
    (tmp_path / f".x.{HOST}-{dead}-0.tmp").symlink_to(tmp_path / "mine")
    assert sweep_dead(tmp_path) == [f".x.{HOST}-{dead}-0.tmp"]
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    assert (tmp_path / "mine" / "a.txt").exists()


@pytest.mark.parametrize("at", ["touch", "write", "fsync", "replace"])
def test_a_full_disk_is_one_sentence_and_the_old_file_stays(tmp_path, monkeypatch, at):
    write_json(tmp_path / "a.json", {"a": 1})

    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    place = {"touch": "pathlib.Path.touch", "write": "pathlib.Path.write_text", "fsync": "os.fsync"}
    monkeypatch.setattr(place.get(at, "pathlib.Path.replace"), full)
    with pytest.raises(WriteError, match=r"cannot write .*a\.json \(No space left on device\); free some space"):
        write_json(tmp_path / "a.json", {"a": 2})
    monkeypatch.undo()
    assert read_json(tmp_path / "a.json") == {"a": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 100_000, "nested too deeply"),
        (f'{{"a": {"9" * 5000}}}', "a whole number in it has 5,000 digits"),
        (f'{{"a": -{"9" * 30}}}', "a whole number in it has 31 digits"),
        ('{"a": "\\ud800"}', "half a character"),
        ('{"\\udfff": 1}', "half a character"),
        ('{"a": NaN}', "NaN is not a JSON number"),
        ('{"a": -Infinity}', "-Infinity is not a JSON number"),
        ('{"a": 1e999}', "the number .* is too large"),
        ("", "Expecting value"),
        ('{"a": 1} {}', "Extra data"),
    ],
)
def test_json_that_nothing_can_be_done_with_is_damaged(tmp_path, text, problem):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(InputError, match=rf"a\.json is damaged \(.*{problem}.*\); restore it or make it again"):
        read_json(tmp_path / "a.json")


def test_bytes_that_are_no_text_are_damaged(tmp_path):
    for content in (b"\xff\xfe{}", b'{"a": "\xed\xa0\x80"}', "{}".encode("utf-16"), b"\x00"):
        (tmp_path / "a.json").write_bytes(content)
        with pytest.raises(InputError, match="is damaged"):
            read_json(tmp_path / "a.json")


def test_all_that_is_written_is_read(tmp_path):
    value = {"ä😀": [1, -(2**63), 2**64 - 1, 0.1, 1e308, -0.0, None, True, "\\ud800", "\u2028", {"": []}]}
    write_json(tmp_path / "a.json", value)
    assert read_json(tmp_path / "a.json") == value
    assert parse_json(json.dumps(value)) == value  # escaped pairs are whole characters


def test_a_folder_is_swept_once_by_a_process(tmp_path, monkeypatch):
    swept = []
    monkeypatch.setattr(files, "sweep_dead", swept.append)
    for number in range(3):
        write_json(tmp_path / f"{number}.json", {})
    assert swept == [tmp_path]
