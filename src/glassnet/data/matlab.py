"""Read a list of image files with their labels from a MATLAB file, as the Stanford sets have them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from glassnet.errors import InputError


@dataclass(frozen=True)
class FileList:
    """Image files by name, with the label of each, from 1 on."""

    files: tuple[str, ...]
    labels: tuple[int, ...]


def read_file_list(path: Path, *, remedy: str) -> FileList:
    """Read the cell array `file_list` and the array `labels` of a .mat file (version 5).

    Args:
        path: The file.
        remedy: Sentence for the error, on what to do with a damaged file.

    Raises:
        InputError: The file is missing or damaged, lacks one of the two, or they do not fit each other.
    """
    content = _load(path, remedy)
    lacking = [name for name in ("file_list", "labels") if name not in content]
    if lacking:
        raise InputError(f"{path} lacks {' and '.join(lacking)}, expected file_list and labels. {remedy}")
    if not all(isinstance(content[name], np.ndarray) for name in ("file_list", "labels")):
        raise InputError(f"{path} holds a sparse matrix, expected plain arrays file_list and labels. {remedy}")
    cells, labels = content["file_list"].ravel(), content["labels"].ravel()
    if not len(cells) or len(cells) != len(labels):
        raise InputError(f"{path} has {len(cells)} files and {len(labels)} labels, expected one for each. {remedy}")
    try:
        return FileList(tuple(str(cell.item()) for cell in cells), tuple(int(label) for label in labels))
    except (AttributeError, OverflowError, TypeError, ValueError) as error:
        raise InputError(f"{path} holds no list of names and numbers ({error}). {remedy}") from None


def _load(path: Path, remedy: str) -> dict[str, Any]:
    from scipy.io import loadmat  # half a second to import

    if not path.is_file():
        raise InputError(f"{path} is missing. {remedy}")
    try:
        return loadmat(path, variable_names=("file_list", "labels"))
    except Exception as error:  # scipy raises its own, zlib's, struct's and plain errors on damaged bytes
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{path} is damaged ({reason}). {remedy}") from None
