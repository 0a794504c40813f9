"""How much memory a t-SNE takes, known before it starts, and whether the machine has that much."""

from dataclasses import dataclass
from pathlib import Path

import psutil

from glassnet.console import say
from glassnet.errors import InputError

SAID_FROM_POINTS = 500_000
"""Of more points it is said what they take."""
NEVER_REFUSED_BYTES = 500_000_000
"""What a machine nearly always has, whatever it says is free."""
BYTES_A_NEIGHBOUR = 36
"""An index and a float32 chance: as they are found 8, turned about 8, summed 16, and 4 of the copy while that lasts."""
BYTES_A_NUMBER = 20
"""Of a row after PCA: float64 8, float32 for faiss 4, and as much again with room to grow while cells are filled."""
BYTES_A_POINT = 300
"""Points, forces, gains, order, offsets, in two or three dimensions."""
ALWAYS_BYTES = 50_000_000
"""What is at work of some rows after the others, and a small grid."""
MOST_GRID_BYTES = {2: 600_000_000, 3: 1_200_000_000}
GRID_BYTES_A_POINT = {2: 300, 3: 40_000}
"""The grid of the repulsion covers the points' range, which grows slowly with their number, up to the largest grid.

In space that is reached at once, but fewer than 30,000 points are compared pair by pair, unless others are placed.
"""
WIDE, BYTES_A_WIDE_NUMBER = 1000, 36
"""Rows wider than that, left as they are, are copied to find where the points start."""
LANDMARKS = (500_000, 200_000, 100_000, 50_000, 20_000, 10_000)


@dataclass(frozen=True, kw_only=True)
class Size:
    """What the memory of a t-SNE depends on."""

    points: int
    """Points that are fitted."""
    columns: int
    """Columns of their rows, reduced by PCA."""
    neighbours: int
    """Neighbours of each: three times the perplexity."""
    dims: int
    """Dimensions of the points."""
    features: int = 0
    """Columns before PCA, where the rows fitted have to be copied."""
    placed: int = 0
    """Points that are placed afterwards."""


def needed_bytes(size: Size) -> int:
    """Estimate the peak beyond the features themselves, in bytes.

    n (20 e + 36 k + 300) + 50 MB + min(300 n, 600 MB) for n points of e columns (after PCA) and k neighbours in the
    plane; in space the last part, the grid, takes min(40,000 n, 1.2 GB), and with landmarks 1.2 GB. Each placed point
    takes 4 dims + 17 bytes. A sample of the features, and features too wide for PCA in chunks, are copied: 16 bytes a
    number.

    `benchmarks/tsne_scale.py` compares it with measured peaks, which it exceeds by 15 to 60 %.
    """
    n, number = size.points, BYTES_A_NUMBER if size.columns <= WIDE else BYTES_A_WIDE_NUMBER
    # Offsets into more entries than an int32 counts are int64, and so are the neighbours beside them.
    neighbour = BYTES_A_NEIGHBOUR if 2 * n * size.neighbours < 2**31 else BYTES_A_NEIGHBOUR + 16
    grid = min(GRID_BYTES_A_POINT[size.dims] * n, MOST_GRID_BYTES[size.dims])
    if size.dims == 3 and size.placed:
        grid = MOST_GRID_BYTES[3]
    rows = n * (number * size.columns + neighbour * size.neighbours + BYTES_A_POINT + 16 * size.features)
    return ALWAYS_BYTES + rows + grid + size.placed * (4 * size.dims + 17)


def check_memory(size: Size) -> None:
    """Say what many points take, and refuse what the machine has not free.

    Raises:
        InputError: It does not fit; the sentence says how much is needed, how much is free, and which landmarks fit.
    """
    needed, free = needed_bytes(size), free_bytes()
    what = f"{size.points:,} {'landmarks' if size.placed else 'points'}"
    if needed > max(free, NEVER_REFUSED_BYTES):
        raise InputError(
            f"t-SNE of {what} needs {_gigabytes(needed)} of memory, but {_gigabytes(free)} are free; "
            f"{_suggestion(size, free)}."
        )
    if size.points + size.placed > SAID_FROM_POINTS:
        say(f"t-SNE of {what} needs up to {_gigabytes(needed)} of the {_gigabytes(free)} of free memory")


def _suggestion(size: Size, free: int) -> str:
    """Name the most landmarks that fit, or the fewest worth a picture where none do."""
    total = size.points + size.placed
    fewer = [count for count in LANDMARKS if count < size.points] or [max(4, size.points // 10)]
    for count in fewer:
        sample = Size(
            points=count,
            columns=size.columns,
            neighbours=min(size.neighbours, count - 1),
            dims=size.dims,
            features=size.features or size.columns,
            placed=total - count,
        )
        if needed_bytes(sample) <= free or count == fewer[-1]:
            break
    return (
        f"landmarks={count} (--landmarks {count}) fits only that many points, in {_gigabytes(needed_bytes(sample))}, "
        "and places the others among them"
    )


def free_bytes() -> int:
    """Memory that this process may still take: the machine's, or less where its control group has a limit."""
    free = int(psutil.virtual_memory().available)
    for limit, used, cache in GROUPS:
        left = _left(Path(limit), Path(used), cache)
        free = free if left is None else min(free, left)
    return free


FIRST = "/sys/fs/cgroup/memory"
GROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current", "inactive_file"),
    (
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/memory.usage_in_bytes",
        "total_inactive_file",
    ),
)
"""Files of Linux's control groups, second and first version: the limit, what is used, what of it is a mere cache."""


def _left(limit: Path, used: Path, cache: str) -> int | None:
    """Return what a control group leaves; None where there is none, or it has no limit."""
    try:
        most, now = limit.read_text().strip(), int(used.read_text())
        statistics = dict(line.split() for line in (used.parent / "memory.stat").read_text().splitlines())
        return int(most) - now + int(statistics.get(cache, 0)) if most.isdecimal() else None
    except (OSError, ValueError):
        return None


def _gigabytes(number: float) -> str:
    return f"{number / 1e9:.1f} GB"
