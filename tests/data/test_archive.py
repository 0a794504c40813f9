import io
import os
import subprocess
import sys
import tarfile

import pytest

from glassnet.data.archive import fetched_archive, unpack
from glassnet.download import RemoteFile
from glassnet.errors import InputError
from glassnet.files import HOST


def unpacked(tmp_path, content, *members):
    (tmp_path / "a.tar.gz").write_bytes(content)
    unpack(tmp_path / "a.tar.gz", members, folder=tmp_path, remedy="Delete it.")


def left(tmp_path):
    return sorted(path.name for path in tmp_path.iterdir())


def test_only_what_is_asked_for_and_lacking_is_moved(pack, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "b").write_bytes(b"mine")
    unpacked(tmp_path, pack({"in/a": b"1", "in/b": b"2", "in/c": b"3"}), "in/a", "in/b")
    assert left(tmp_path) == ["a.tar.gz", "in"]
    assert {path.name: path.read_bytes() for path in (tmp_path / "in").iterdir()} == {"a": b"1", "b": b"mine"}


def test_a_missing_member(pack, tmp_path):
    with pytest.raises(InputError, match=r"a.tar.gz lacks in/b, in/c\. Delete it\."):
        unpacked(tmp_path, pack({"in/a": b"1"}), "in/a", "in/b", "in/c")
    assert left(tmp_path) == ["a.tar.gz"]  # nothing half done


@pytest.mark.parametrize("name", ["../out", "in/../../out", "/../../out"])
def test_a_name_that_leads_out(pack, tmp_path, name):
    inside = tmp_path / "folder"
    inside.mkdir()
    with pytest.raises(InputError, match=r"a.tar.gz is not safe to unpack \(.*outside the destination.*\)\. Delete it"):
        unpacked(inside, pack({"in/a": b"1", name: b"2"}), "in/a")
    assert left(inside) == ["a.tar.gz"]
    assert left(tmp_path) == ["folder"]


def test_a_link_that_leads_out(tmp_path):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        link = tarfile.TarInfo("in")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc"
        tar.addfile(link)
    with pytest.raises(InputError, match=r"is not safe to unpack \(.*absolute path"):
        unpacked(tmp_path, buffer.getvalue(), "in/passwd")


@pytest.mark.parametrize("keep", [0, 20, 1500])
def test_a_damaged_archive(pack, tmp_path, keep):
    content = pack({"in/a": bytes(range(256)) * 50, "in/b": bytes(range(255, -1, -1)) * 50})
    with pytest.raises(InputError, match=r"a.tar.gz (is damaged \(.*\)|could not be unpacked|lacks in/a).* Delete it"):
        unpacked(tmp_path, content[: min(keep, len(content) - 40)], "in/a")
    assert left(tmp_path) == ["a.tar.gz"]


def test_what_a_killed_process_was_unpacking_is_gone_when_the_next_one_unpacks(tmp_path, pack):
    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    gone = tmp_path / f".unpacking.{HOST}-{int(ended.stdout)}-0.tmp"
    of_before, too_new = tmp_path / ".unpacking-ab12_xyz", tmp_path / ".unpacking-ab12_xy0"
    for folder in (gone, of_before, too_new):
        folder.mkdir()
        (folder / "half").write_bytes(b"1")
    os.utime(of_before, (0, 0))
    unpacked(tmp_path, pack({"in/a": b"1"}), "in/a")
    assert [path.name for path in tmp_path.glob(".*")] == [too_new.name]


def test_a_folder_that_cannot_be_written_is_said(tmp_path, pack):
    (tmp_path / "a.tar.gz").write_bytes(pack({"in/a": b"1"}))
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InputError, match=r"a.tar.gz could not be unpacked \(Not a directory\)\. Delete it"):
        unpack(tmp_path / "a.tar.gz", ["in/a"], folder=tmp_path / "file" / "deep", remedy="Delete it.")


def test_a_pipe_in_place_of_an_archive_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.tar.gz")
    remote = RemoteFile("a.tar.gz", 9, "0" * 64)
    with (
        pytest.raises(InputError, match=r"a\.tar\.gz cannot be read, it is not a regular file .* Delete it and run"),
        fetched_archive(remote, mirrors=(), folder=tmp_path, dataset="a"),
    ):
        pass
