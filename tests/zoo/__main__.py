"""Compare every network of the zoo and write docs/results/networks.md: `PYTHONPATH=tests python -m zoo`.

`make networks` does. Names after it pick networks, as in `python -m zoo Swin resnet`, and only print their rows.
"""

import os
import platform
import sys
import time
import warnings
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

from zoo.architectures import ARCHITECTURES, missing
from zoo.comparison import CHECKS, NOT_MADE, Architecture, compare, describe, failures

PAGE = Path(__file__).parents[2] / "docs" / "results" / "networks.md"
LIBRARIES = ("pytorchcv", "transformers", "monai")


def main() -> int:
    """Write the page, or print the rows that were asked for; 1 if a check failed."""
    warnings.simplefilter("ignore")
    asked = sys.argv[1:]
    chosen = [one for name, one in ARCHITECTURES.items() if not asked or any(word in name for word in asked)]
    lacking = sorted({missing(one) for one in chosen} - {""})
    if lacking:
        print(f"{', '.join(lacking)} are not installed: pip install 'glassnet[zoo]'", file=sys.stderr)
        return 2
    outcomes = {}
    for one in chosen:
        start = time.perf_counter()
        outcomes[one.name] = compare(one)
        line = f"{time.perf_counter() - start:6.1f} s  {one.name}  {failures(outcomes[one.name]) or 'right'}"
        print(line, file=sys.stderr, flush=True)
    rows = [_row(one, outcomes[one.name]) for one in chosen]
    if asked:
        print("\n".join(rows))
    else:
        PAGE.write_text(_page(rows, outcomes))
    return int(any(map(failures, outcomes.values())))


def _row(architecture: Architecture, outcome: dict[str, str]) -> str:
    try:
        parameters, calls = describe(architecture)
        facts = f"{parameters:,} | {calls:,}"
    except Exception:  # the checks say why
        facts = "– | –"
    cells = [_cell(outcome[check]) for check in CHECKS]
    library, _, name = architecture.name.partition(" ")
    shape = f"{architecture.channels}×{architecture.size}×{architecture.size}"
    return f"| {library} | {name} | {shape} | {facts} | {' | '.join(cells)} |"


def _cell(what: str) -> str:
    if not what:
        return "✓"
    return what if what.startswith(NOT_MADE) else "✗ " + what.replace("|", "/")


def _page(rows: list[str], outcomes: dict[str, dict[str, str]]) -> str:
    right = sum(not failures(outcome) for outcome in outcomes.values())
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", *LIBRARIES))
    head = ("Library", "Network", "Image", "Parameters", "Calls", *CHECKS)
    wrong = [
        f"- {name}: {check}: {what}" for name, outcome in outcomes.items() for check, what in failures(outcome).items()
    ]
    return "\n".join([
        "# Networks of other libraries",
        "",
        f"{right} of {len(rows)} networks pass every check. `make networks` writes this page, and `make zoo` runs the",
        "checks as tests. Weights are random, and nothing is downloaded. Each network is compared with plain PyTorch:",
        "",
        "- parameters: the rows of `layer_table` add up to `sum(p.numel() for p in model.parameters())`;",
        "- MACs: within 2% of half the flops of `torch.utils.flop_counter`;",
        "- features: `extract_features` equals what hooks return, within 1e-4 of the largest number;",
        "- Grad-CAM: `explain` equals autograd's result at every convolution, and at every linear layer and layer norm",
        "  that returns a grid of tokens, within 1e-4 of the map's largest value;",
        "- guided: guided backpropagation equals that of the same network with every ReLU replaced by a guided one. It",
        "  is refused if the network has other activations, or functions with their own backward pass;",
        "- as found: parameters, buffers, modes, hooks, `.grad` and the random generator are unchanged afterwards.",
        "",
        "✓ passes, – could not be checked, for the reason given, ✗ fails. Calls: rows of the layer table.",
        "",
        f"Made with {packages}, Python {platform.python_version()}.",
        "",
        "## What fails",
        "",
        *(wrong or ["Nothing."]),
        "",
        "## Every network",
        "",
        f"| {' | '.join(head)} |",
        f"|{'---|' * len(head)}",
        *rows,
        "",
    ])  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
