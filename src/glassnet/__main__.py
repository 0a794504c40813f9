"""`python -m glassnet`, `torchrun -m glassnet` and the `glassnet` script."""

import contextlib
import os
import sys
import warnings


def main() -> None:
    """Run the command line and leave with its exit code."""
    _prepare()
    from glassnet.cli import run

    sys.exit(run(sys.argv[1:]))


def _prepare() -> None:
    """Let this process print what a terminal cannot show, and draw into files whatever MPLBACKEND says."""
    from glassnet.console import printable

    os.environ["MPLBACKEND"] = "agg"
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError):  # closed, or in place of it what a test puts there
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    written = warnings.formatwarning
    warnings.formatwarning = lambda *args, **kwargs: printable(written(*args, **kwargs))


if __name__ == "__main__":
    main()
