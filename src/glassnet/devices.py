"""Where to compute and in which precision, and which versions made a number; all of it is written into the run."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import platform
from collections.abc import Iterator
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from glassnet.errors import InputError

if TYPE_CHECKING:
    import torch


def choose_device(name: str = "auto") -> torch.device:
    """Turn "auto", "cpu" or "cuda" into a device; auto takes a GPU if there is one.

    Raises:
        InputError: A GPU is asked for and there is none, or the name is unknown.
    """
    import torch

    if name not in ("auto", "cpu", "cuda"):
        raise InputError(f"the device is '{name}', expected auto, cpu or cuda.")
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("--device is cuda, but torch sees no GPU here; use --device cpu or auto.")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def choose_precision(name: str, device: torch.device) -> Literal["fp32", "bf16"]:
    """Turn "auto", "fp32" or "bf16" into a precision; auto takes bf16 where the hardware multiplies it natively.

    On a CPU without AVX-512 bf16 or AMX, bf16 is emulated and many times slower than fp32.

    Raises:
        InputError: The name is unknown.
    """
    if name not in ("auto", "fp32", "bf16"):
        raise InputError(f"the precision is '{name}', expected auto, fp32 or bf16.")
    if name == "auto":
        return "bf16" if _multiplies_bf16(device) else "fp32"
    return "bf16" if name == "bf16" else "fp32"


@contextlib.contextmanager
def autocast(device: torch.device, precision: str) -> Iterator[None]:
    """Compute what is inside in bf16 where that is safe, or all of it in fp32, which is never TF32."""
    import torch

    from glassnet.turns import exact_convolutions

    with exact_convolutions(device), torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
        yield


def _multiplies_bf16(device: torch.device) -> bool:
    import torch

    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    has = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return bool(has.get("avx512_bf16") or has.get("amx_bf16"))


def keep_freed_memory() -> None:
    """Tell glibc to keep what the process frees for its next tensors, instead of giving it back to the system.

    A training step on a CPU frees and takes megabytes dozens of times; getting them anew costs page faults, which were
    measured to take a seventh of the time. For a process of our own only: it changes malloc everywhere in it. Does
    nothing where there is no glibc.
    """
    m_trim_threshold, m_mmap_threshold, largest = -1, -3, 2**31 - 1
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL("libc.so.6").mallopt
        mallopt(m_mmap_threshold, 2**30)
        mallopt(m_trim_threshold, largest)


def versions(*packages: str) -> dict[str, str]:
    """Return the versions of glassnet, Python and the named packages."""
    from glassnet import __version__

    return {"glassnet": __version__, "python": platform.python_version(), **{name: version(name) for name in packages}}


@cache
def code_digest(*packages: str) -> str:
    """Return a digest of the source files of some of glassnet's packages, as in "embedding".

    A version number stays while code is worked on; a result that is kept for later must know the code that made it.
    """
    digest = hashlib.sha256()
    for package in packages:
        for file in sorted((Path(__file__).parent / package).rglob("*.py")):
            digest.update(file.relative_to(Path(__file__).parent).as_posix().encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:16]
