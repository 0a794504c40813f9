"""Which versions made a number."""

import platform
from importlib.metadata import version


def versions(*packages: str) -> dict[str, str]:
    """Return the versions of glassnet, Python and the named packages."""
    from glassnet import __version__

    return {"glassnet": __version__, "python": platform.python_version(), **{name: version(name) for name in packages}}
