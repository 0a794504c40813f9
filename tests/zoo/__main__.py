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
    if what.startswith(NOT_MADE):  # the page says the rest once
        return NOT_MADE + what.removeprefix(NOT_MADE).removeprefix("this model ").partition(", ")[0].replace("|", "/")
    return "✗ " + what.replace("|", "/")


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
        f"glassnet was compared with plain PyTorch on {len(rows)} networks of other libraries. {right} of them pass",
        "every check that applies to them. Their weights are random, so nothing is downloaded. `make networks`",
        "writes this page; `make zoo` runs the same checks as tests.",
        "",
        "The columns of the table are:",
        "",
        "- **Calls**: the number of rows in the network's layer table.",
        "- **parameters**: the rows of `layer_table` add up to `sum(p.numel() for p in model.parameters())`.",
        "- **MACs**: they differ by at most 2% from half the flops that `torch.utils.flop_counter` counts.",
        "- **features**: `extract_features` returns what hooks return, within 1e-4 of the largest value.",
        "- **Grad-CAM**: `explain` returns what autograd gives at every convolution, and at every linear layer and",
        "  layer norm that returns a grid of tokens, within 1e-4 of the map's largest value.",
        "- **guided**: guided backpropagation gives the same result as on a copy of the network with guided ReLUs.",
        "- **as found**: parameters, buffers, modes, hooks, `.grad` and the random generator are unchanged",
        "  afterwards.",
        "",
        "✓ means that the check passes, ✗ that it fails, and – that it does not apply. Guided backpropagation is",
        "defined only for ReLU. So glassnet refuses a network with another activation, or with a custom function",
        "whose backward pass cannot be inspected. The cell names it.",
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
