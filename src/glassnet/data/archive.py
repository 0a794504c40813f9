"""Published archives: fetched, verified, and unpacked in a folder of their own first, so that what lies is whole."""

import hashlib
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from glassnet.data.listing import require_regular
from glassnet.download import RemoteFile, fetch_files
from glassnet.errors import InputError
from glassnet.files import scratch_folder


def file_sha256(path: Path) -> str:
    """Compute the SHA-256 of a file, read piece by piece."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch_again(dataset: str) -> str:
    """Say what to do with a damaged file of a data set that can be fetched again."""
    return f"Delete it and run `glassnet data fetch {dataset}`."


def require_published(path: Path, remote: RemoteFile, remedy: str) -> None:
    """Refuse a file whose content is not the published one.

    Raises:
        InputError: Its SHA-256 differs, or it is no regular file.
    """
    require_regular(path, remedy)
    sha256 = file_sha256(path)
    if sha256 != remote.sha256:
        raise InputError(f"{path} has SHA-256 {sha256}, expected the official file's {remote.sha256}. {remedy}")


@contextmanager
def fetched_archive(remote: RemoteFile, *, mirrors: Sequence[str], folder: Path, dataset: str) -> Iterator[Path]:
    """Give a published archive, verified and downloaded where it is not there; remove it once it was unpacked.

    Args:
        remote: The archive.
        mirrors: Addresses that its name is appended to.
        folder: Where it is, or goes.
        dataset: Name that it is fetched by.

    Raises:
        InputError: Downloads are forbidden, or what lies there is not the published archive.
        WorkError: Every mirror failed.
    """
    archive = folder / remote.name
    if not archive.exists():
        fetch_files([remote], mirrors=mirrors, folder=folder, dataset=dataset)
    require_published(archive, remote, fetch_again(dataset))
    yield archive
    archive.unlink()


def unpack(archive: Path, members: Sequence[str], *, folder: Path, remedy: str) -> None:
    """Unpack a tar archive and move those of `members` that `folder` lacks into it.

    Absolute names, names and links that lead out of the archive, and special files are refused, as Python's "data"
    filter does: https://docs.python.org/3/library/tarfile.html#tarfile.data_filter.

    Args:
        archive: The file, compressed or not.
        members: Names inside the archive, which they keep below `folder`.
        folder: Where they go.
        remedy: Sentence for the error, on what to do with a damaged archive.

    Raises:
        InputError: The archive is damaged, leads out of its folder, lacks a member, or there is no room for it.
    """
    with _extracted(archive, folder, remedy) as temporary:
        _require_members(archive, members, temporary, remedy)
        for member in members:
            (folder / member).parent.mkdir(parents=True, exist_ok=True)
            if not (folder / member).exists():
                (temporary / member).replace(folder / member)


def unpack_folder(archive: Path, inner: Path, *, folder: Path, remedy: str, members: Sequence[str | Path] = ()) -> None:
    """Unpack a tar archive and move its folder `inner` to the same place below `folder`, all at once.

    What `unpack` refuses is refused.

    Args:
        archive: The file, compressed or not.
        inner: Path of a folder inside the archive, which `folder` lacks.
        folder: Where it goes.
        remedy: Sentence for the error, on what to do with a damaged archive.
        members: Files that must be in the archive, by their names in it.

    Raises:
        InputError: The archive is damaged, leads out of its folder, lacks the folder or a member, or there is no room
            for it.
    """
    with _extracted(archive, folder, remedy) as temporary:
        _require_members(archive, members, temporary, remedy)
        if not (temporary / inner).is_dir():
            raise InputError(f"{archive} lacks {inner}. {remedy}")
        (folder / inner).parent.mkdir(parents=True, exist_ok=True)
        (temporary / inner).replace(folder / inner)


def _require_members(archive: Path, members: Sequence[str | Path], temporary: Path, remedy: str) -> None:
    missing = [str(member) for member in members if not (temporary / member).is_file()]
    if missing:
        more = f" and {len(missing) - 5:,} more" if len(missing) > 5 else ""
        raise InputError(f"{archive} lacks {', '.join(missing[:5])}{more}. {remedy}")


@contextmanager
def _extracted(archive: Path, folder: Path, remedy: str) -> Iterator[Path]:
    """Unpack an archive into a folder that vanishes at the end, so that what lies in place is whole."""
    with ExitStack() as stack:
        try:
            temporary = stack.enter_context(scratch_folder(folder, "unpacking"))
            with tarfile.open(archive) as tar:
                tar.extractall(temporary, filter="data")
        except tarfile.FilterError as error:
            raise InputError(f"{archive} is not safe to unpack ({error}). {remedy}") from None
        except (tarfile.TarError, EOFError, zlib.error) as error:
            reason = str(error).split(":\n")[0]  # tarfile lists each compression that it tried
            raise InputError(f"{archive} is damaged ({reason}). {remedy}") from None
        except OSError as error:
            raise InputError(f"{archive} could not be unpacked ({error.strerror or error}). {remedy}") from None
        yield temporary
