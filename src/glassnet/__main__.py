"""`python -m glassnet`, `torchrun -m glassnet` and the `glassnet` script."""

import sys


def main() -> None:
    """Run the command line and leave with its exit code."""
    from glassnet.cli import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
