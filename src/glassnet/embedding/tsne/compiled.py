"""How the loops of t-SNE are compiled: once a machine, and free to run beside each other."""

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from numba import njit

from glassnet.console import say


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a loop by numba at its first call, and keep the machine code on disk for the next process.

    Sums may be taken in another order than written, which vector instructions need; the order is settled when the
    loop is compiled, so equal numbers give equal sums. NaN and infinity keep their meaning.
    """
    compile_loop = njit(nogil=True, fastmath={"reassoc", "contract", "nsz", "arcp"}, error_model="numpy")
    loop = compile_loop(function)
    try:
        loop.enable_caching()
    except (AttributeError, RuntimeError):
        # There is no folder that can be written to, or numba is told to compile nothing: each process for itself.
        return loop
    kept = _kept(loop)
    if kept is not None:
        # numba stamps machine code with the loop's own file, and would go on using it when a loop that is called from
        # there, and so compiled into it, has changed in another file.
        kept._source_stamp = sources_stamp()
    return loop


def say_if_compiling(loop: Callable[..., Any]) -> None:
    """Tell that the next seconds go into compiling, unless a loop's machine code is at hand or on disk."""
    kept = _kept(loop)
    if not getattr(loop, "signatures", ()) and not (kept is not None and kept._load_index()):
        say("compiling the loops of t-SNE, which takes some seconds the first time")


@cache
def sources_stamp() -> str:
    """Digest of all files that the machine code may have come from: those of this package."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _kept(loop: Callable[..., Any]) -> Any:
    """What numba knows of a loop's machine code on disk; None where it keeps none."""
    return getattr(getattr(loop, "_cache", None), "_cache_file", None)
