import errno
import hashlib
import queue
import sys
import threading

import numpy as np
import pytest

from glassnet import download
from glassnet.download import RemoteFile, fetch_files, one_process_at_a_time
from glassnet.errors import InputError, WorkError
from mirror import Mirror

CONTENT = np.random.default_rng(0).bytes(300_000)
FILE = RemoteFile("digits.gz", len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
NOWHERE = "http://127.0.0.1:9/"  # the discard port: nobody answers


@pytest.fixture
def start_mirror(monkeypatch):
    monkeypatch.delenv("GLASSNET_OFFLINE")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    mirrors = []

    def start():
        mirrors.append(Mirror(CONTENT))
        return mirrors[-1]

    yield start
    for mirror in mirrors:
        mirror.close()


@pytest.fixture
def mirror(start_mirror):
    return start_mirror()


def fetch(folder, *mirrors):
    urls = [mirror if isinstance(mirror, str) else mirror.url for mirror in mirrors]
    fetch_files([FILE], mirrors=urls, folder=folder, dataset="digits")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def assert_fetched(folder):
    assert names(folder) == ["digits.gz"]
    assert (folder / "digits.gz").read_bytes() == CONTENT


def test_a_good_file(mirror, tmp_path, capfd):
    fetch(tmp_path / "new" / "digits", mirror)
    assert_fetched(tmp_path / "new" / "digits")
    assert mirror.ranges == [None]
    out, err = capfd.readouterr()
    assert out == ""
    assert err == f"Downloading digits.gz (300,000 bytes) from {mirror.url[7:-1]}\n"


def test_no_length_told(mirror, tmp_path):
    mirror.tells_length = False
    fetch(tmp_path, mirror)
    assert_fetched(tmp_path)


def test_a_cut_connection_is_resumed(mirror, tmp_path):
    mirror.cuts = [100_000, 50_000]
    fetch(tmp_path, mirror)
    assert_fetched(tmp_path)
    assert mirror.ranges == [None, "bytes=100000-", "bytes=150000-"]


def test_a_cut_connection_is_begun_anew_where_ranges_are_unknown(mirror, tmp_path):
    mirror.cuts, mirror.knows_ranges = [100_000], False
    fetch(tmp_path, mirror)
    assert_fetched(tmp_path)
    assert mirror.ranges == [None, "bytes=100000-"]


def test_another_mirror_gives_the_rest(start_mirror, tmp_path):
    first, second = start_mirror(), start_mirror()
    first.cuts = [50_000, 0, 0, 0]
    fetch(tmp_path, first, second)
    assert_fetched(tmp_path)
    assert second.ranges == ["bytes=50000-"]


def test_a_cut_that_stays_leaves_a_part_for_the_next_call(mirror, tmp_path):
    mirror.cuts = [1000, 0, 0, 0]
    with pytest.raises(
        WorkError, match=r"could not download digits\.gz: .* cut the connection after 1,000 of 300,000 bytes"
    ):
        fetch(tmp_path, mirror)
    assert names(tmp_path) == ["digits.gz.part"]
    fetch(tmp_path, mirror)
    assert_fetched(tmp_path)
    assert mirror.ranges[-1] == "bytes=1000-"


def test_a_spoilt_part_is_begun_anew(mirror, tmp_path):
    (tmp_path / "digits.gz.part").write_bytes(b"spoilt")
    fetch(tmp_path, mirror)
    assert_fetched(tmp_path)
    assert mirror.ranges == ["bytes=6-", None]


@pytest.mark.parametrize("extra", [0, 5])
def test_a_part_that_is_whole_or_too_long(mirror, tmp_path, extra):
    (tmp_path / "digits.gz.part").write_bytes(CONTENT + b"x" * extra)
    fetch(tmp_path, mirror)
    assert_fetched(tmp_path)
    assert mirror.ranges == ([None] if extra else [])


def test_a_wrong_checksum_leaves_nothing(mirror, tmp_path):
    mirror.content = bytes(len(CONTENT))
    got, expected = hashlib.sha256(mirror.content).hexdigest(), FILE.sha256
    with pytest.raises(
        WorkError, match=rf"sent another file \(.*expected {expected} but got {got}\)\. Check the connection"
    ):
        fetch(tmp_path, mirror)
    assert names(tmp_path) == []
    assert len(mirror.ranges) == 1


def test_a_wrong_checksum_then_the_next_mirror(start_mirror, tmp_path):
    first, second = start_mirror(), start_mirror()
    first.content = bytes(len(CONTENT))
    fetch(tmp_path, first, second)
    assert_fetched(tmp_path)


def test_not_found_then_the_next_mirror(start_mirror, tmp_path):
    first, second = start_mirror(), start_mirror()
    first.status = 404
    fetch(tmp_path, first, second)
    assert_fetched(tmp_path)
    assert len(first.ranges) == 1


@pytest.mark.parametrize("tells_length", [True, False])
def test_a_page_to_log_in_is_not_the_file(mirror, tmp_path, tells_length):
    mirror.content, mirror.tells_length = b"<html>" * 100_000, tells_length
    with pytest.raises(WorkError, match="offers 600,000 bytes, expected 300,000" if tells_length else "sent more than"):
        fetch(tmp_path, mirror)
    assert names(tmp_path) == []
    assert len(mirror.ranges) == 1


def test_an_endless_answer_does_not_fill_the_disk(mirror, tmp_path):
    mirror.tells_length, mirror.never_ends = False, True
    with pytest.raises(WorkError, match="sent more than the expected 300,000 bytes"):
        fetch(tmp_path, mirror)
    assert names(tmp_path) == []


def test_all_mirrors_down(mirror, tmp_path):
    mirror.status = 503
    with pytest.raises(WorkError) as caught:
        fetch(tmp_path, NOWHERE, mirror)
    assert str(caught.value) == (
        "could not download digits.gz: 127.0.0.1:9 could not be reached (ConnectionError); "
        f"{mirror.url[7:-1]} answered 503 Service Unavailable. "
        f"Check the connection and try again, or put the file into {tmp_path}."
    )
    assert names(tmp_path) == []


def test_offline(mirror, tmp_path, monkeypatch):
    monkeypatch.setenv("GLASSNET_OFFLINE", "1")
    with pytest.raises(
        InputError, match=r"digits is not complete in .* GLASSNET_OFFLINE forbids .* put digits\.gz there"
    ):
        fetch(tmp_path / "new", mirror)
    assert mirror.ranges == []
    assert not (tmp_path / "new").exists()
    monkeypatch.setenv("GLASSNET_OFFLINE", "0")
    fetch(tmp_path, mirror)


def test_a_file_that_is_there_is_not_touched(mirror, tmp_path):
    (tmp_path / "digits.gz").write_bytes(b"the user's own")
    fetch(tmp_path, mirror)
    assert (tmp_path / "digits.gz").read_bytes() == b"the user's own"
    assert mirror.ranges == []


def test_a_folder_that_cannot_be_made(mirror, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(
        InputError, match=r"cannot write to .* \(Not a directory\); choose another place with --data-root"
    ):
        fetch(tmp_path / "file" / "digits", mirror)


def test_two_at_once_download_once(mirror, tmp_path):
    mirror.delay_seconds = 0.2
    threads = [threading.Thread(target=fetch, args=(tmp_path, mirror)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert_fetched(tmp_path)
    assert len(mirror.ranges) == 1


def test_a_connection_that_is_closed_before_any_reply_is_tried_again(mirror, tmp_path):
    mirror.silent = 2
    fetch(tmp_path, mirror)
    assert_fetched(tmp_path)
    assert mirror.ranges == [None] * 3


def test_a_mirror_that_never_replies_gives_way_to_the_next(start_mirror, tmp_path):
    closed, good = start_mirror(), start_mirror()
    closed.silent = 99
    with pytest.raises(WorkError, match="closed the connection before any reply"):
        fetch(tmp_path, closed)
    fetch(tmp_path, closed, good)
    assert_fetched(tmp_path)


def test_a_mirror_that_dribbles_is_left_and_the_next_goes_on(start_mirror, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "SLOWEST", (0.1, 1000))
    slow, good = start_mirror(), start_mirror()
    slow.drip_seconds = 0.01
    with pytest.raises(WorkError, match=r"sent \d\d? bytes in 0\.1 seconds"):
        fetch(tmp_path, slow)
    fetch(tmp_path, slow, good)
    assert_fetched(tmp_path)
    assert int(good.ranges[0].removeprefix("bytes=").removesuffix("-")) > 20


@pytest.mark.parametrize("system", ["with flock", "without, as Windows"])
def test_waiting_for_another_process_is_said(tmp_path, monkeypatch, system):
    said = queue.Queue()
    if system != "with flock":
        import filelock  # noqa: F401, which has taken what it needs

        monkeypatch.setitem(sys.modules, "fcntl", None)
    monkeypatch.setattr(download, "say", said.put)

    def wait():
        with one_process_at_a_time(tmp_path):
            said.put("in")

    with one_process_at_a_time(tmp_path):
        thread = threading.Thread(target=wait)
        thread.start()
        waits = f"waiting for another process that is working in {tmp_path}; press Ctrl-C to stop waiting"
        assert said.get(timeout=20) == waits
        assert said.empty()
    assert said.get(timeout=20) == "in"
    thread.join()


def test_where_nothing_can_be_locked_nobody_waits(tmp_path, monkeypatch):
    import filelock

    def refuse(*_given, **_options):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setitem(sys.modules, "fcntl", None)
    monkeypatch.setattr(filelock.FileLock, "acquire", refuse)
    done = []
    with one_process_at_a_time(tmp_path):
        done.append("in")
    with pytest.raises(OSError, match="own"), one_process_at_a_time(tmp_path):
        raise OSError("own")
    assert done == ["in"]
