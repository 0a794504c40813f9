"""Fetch published files: mirror after mirror, resumed after a cut, named only once their SHA-256 is right."""

import logging
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pooch

from glassnet.console import progress, say
from glassnet.errors import InputError, WorkError

ATTEMPTS_PER_MIRROR = 4
TIMEOUT_SECONDS = (10, 30)  # to connect, between two pieces
CHUNK_BYTES = 1 << 16
SLOWEST = (60, 1 << 16)
"""Seconds, and the bytes that a mirror must send in them: one that dribbles would be waited for, for days."""


@dataclass(frozen=True)
class RemoteFile:
    """A published file: its name, its size and its SHA-256."""

    name: str
    size_bytes: int
    sha256: str


def data_root(root: Path | str | None = None) -> Path:
    """Find the folder that holds what was fetched: `root`, then $GLASSNET_DATA, then the user's cache folder."""
    chosen = root or os.environ.get("GLASSNET_DATA") or pooch.os_cache("glassnet")
    return Path(chosen).expanduser()


def is_offline() -> bool:
    """Tell whether GLASSNET_OFFLINE forbids downloads."""
    return os.environ.get("GLASSNET_OFFLINE", "0") not in ("", "0")


class _MirrorError(Exception):
    """This mirror does not give the file; another one may."""


class _CutError(Exception):
    """The connection ended early; the same mirror may give the rest."""


def fetch_files(files: Sequence[RemoteFile], *, mirrors: Sequence[str], folder: Path, dataset: str) -> None:
    """Download files into `folder`, each from the first mirror that gives it whole.

    A cut download leaves NAME.part, which the next attempt or the next call goes on from.

    Args:
        files: What to fetch.
        mirrors: Addresses that a file's name is appended to, the first to be tried first.
        folder: Where to put the files.
        dataset: What they belong to, for the messages.

    Raises:
        InputError: GLASSNET_OFFLINE is set, or the folder cannot be written.
        WorkError: Every mirror failed.
    """
    names = ", ".join(file.name for file in files)
    if is_offline():
        raise InputError(
            f"{dataset} is not complete in {folder} and GLASSNET_OFFLINE forbids downloads: "
            f"put {names} there, or unset GLASSNET_OFFLINE."
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with one_process_at_a_time(folder):
            for file in files:
                _fetch(file, mirrors, folder)
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"cannot write to {folder} ({reason}); choose another place with --data-root.") from None


def _fetch(file: RemoteFile, mirrors: Sequence[str], folder: Path) -> None:
    if (folder / file.name).exists():  # another process was first
        return
    failures = []
    for mirror in mirrors:
        try:
            _fetch_from(mirror + file.name, file, folder)
            return
        except _MirrorError as error:
            failures.append(f"{urlsplit(mirror).netloc} {error}")
    raise WorkError(
        f"could not download {file.name}: {'; '.join(failures)}. "
        f"Check the connection and try again, or put the file into {folder}."
    )


def _fetch_from(url: str, file: RemoteFile, folder: Path) -> None:
    part = folder / f"{file.name}.part"
    reason = ""
    for _ in range(ATTEMPTS_PER_MIRROR):
        resumed = part.exists()
        try:
            with _quiet(pooch.get_logger()):
                pooch.retrieve(
                    url,
                    file.sha256,
                    fname=file.name,
                    path=folder,
                    downloader=partial(_download, file=file, part=part),
                )
            return
        except _CutError as error:
            reason = str(error)
        except ValueError as error:  # pooch: the checksum differs, the file is deleted
            reason = f"sent another file ({str(error).split('. ')[0]})"
            if not resumed:  # else the old part may be to blame: begin anew
                break
    raise _MirrorError(reason)


def _download(url: str, output_file: str, _pooch: Any, *, file: RemoteFile, part: Path) -> None:
    """Complete `part` and rename it to `output_file`: a downloader as `pooch.retrieve` takes one."""
    import requests  # comes with pooch, which downloads through it; only a download waits for it
    import urllib3

    done = part.stat().st_size if part.exists() else 0
    if done != file.size_bytes:
        try:
            _append(url, file, part, done if done < file.size_bytes else 0)
        except requests.ConnectionError as error:
            if any(isinstance(cause, urllib3.exceptions.ProtocolError) for cause in error.args):
                raise _CutError("closed the connection before any reply") from None
            raise _MirrorError(f"could not be reached ({type(error).__name__})") from None
        except requests.RequestException as error:
            raise _MirrorError(f"could not be reached ({type(error).__name__})") from None
    part.replace(output_file)


def _append(url: str, file: RemoteFile, part: Path, done: int) -> None:
    """Request the bytes from `done` on; a server that knows no ranges sends all of them, and they replace the part."""
    import requests
    import urllib3

    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={done}-"} if done else {})
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT_SECONDS) as response:
        if response.status_code not in (200, 206):
            raise _MirrorError(f"answered {response.status_code} {response.reason}")
        done = done if response.status_code == 206 else 0
        offered = done + int(response.headers.get("Content-Length", file.size_bytes - done))
        if offered != file.size_bytes:
            raise _MirrorError(f"offers {offered:,} bytes, expected {file.size_bytes:,}")
        text = f"Downloading {file.name} ({file.size_bytes:,} bytes) from {urlsplit(url).netloc}"
        with part.open("ab" if done else "wb") as sink, progress(text, file.size_bytes, unit="bytes") as advance:
            advance(done)
            # a server of .gz files may declare them as an encoding; unpacked they would not be the published file
            with suppress(urllib3.exceptions.HTTPError):
                for chunk in _pieces(response.raw):
                    sink.write(chunk[: file.size_bytes - done])
                    done += len(chunk)
                    advance(len(chunk))
                    if done > file.size_bytes:
                        break
    if done > file.size_bytes:
        part.unlink()
        raise _MirrorError(f"sent more than the expected {file.size_bytes:,} bytes")
    if done < file.size_bytes:
        raise _CutError(f"cut the connection after {done:,} of {file.size_bytes:,} bytes")


def _pieces(raw: Any) -> Iterator[bytes]:
    """Yield what a server sends as it comes, as long as it comes fast enough."""
    seconds, least = SLOWEST
    start, sent = time.monotonic(), 0
    read = getattr(raw, "read1", raw.read)  # urllib3 1 waits for whole chunks
    while piece := read(CHUNK_BYTES, decode_content=False):
        yield piece
        sent += len(piece)
        if time.monotonic() - start >= seconds:
            if sent < least:
                raise _CutError(f"sent {sent:,} bytes in {seconds} seconds")
            start, sent = time.monotonic(), 0


@contextmanager
def _quiet(logger: logging.Logger) -> Iterator[None]:
    """Silence what pooch says of each download: the progress bar says it."""
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


@contextmanager
def one_process_at_a_time(folder: Path) -> Iterator[None]:
    """Make other processes that come to the same folder wait, rather than write one file together.

    Where nothing can be locked, as on some network file systems and in folders of Windows that cannot be written, they
    do not wait.
    """
    with ExitStack() as held:
        with suppress(OSError):
            held.enter_context(_locked(folder))
        yield


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder, after waiting for it.

    Raises:
        OSError: The file system has no locks.
    """
    waiting = f"waiting for another process that is working in {folder}; press Ctrl-C to stop waiting"
    try:
        import fcntl
    except ImportError:  # Windows locks no folders, but files
        from filelock import FileLock, Timeout

        lock = FileLock(folder / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            say(waiting)
            lock.acquire()
        try:
            yield
        finally:
            lock.release()
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(waiting)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
