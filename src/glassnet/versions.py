"""Which versions made a number."""

import hashlib
import platform
from functools import cache
from importlib.metadata import version
from pathlib import Path


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
