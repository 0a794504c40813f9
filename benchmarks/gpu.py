"""What a GPU gives, and whether it gives the same: one script of at most eight minutes, which goes on where it stopped.

    python benchmarks/gpu.py --data-root DIR                # `make gpu`: all parts
    python benchmarks/gpu.py --only tests tsne              # some of them
    python benchmarks/gpu.py --again --only gradcam         # measure again what the results hold
    python benchmarks/gpu.py --device cpu --quick           # small sizes: tries the script where there is no GPU

The parts (gpu_parts.py): the tests marked `gpu`; determinism, a training, maps, features and a t-SNE done twice;
agreement of the same with the CPU; seconds from process start to 0.9955 and 0.9965 on MNIST; t-SNE of 60,000 and of
1,000,000 rows of 50 columns; Grad-CAM of all layers of VGG16 at 224 pixels beside captum and torchcam; images per
second of two segmentation networks; five seeds of the MNIST row.

Each part's figures are saved as they come, and a part that the results hold is not measured again. What a part asserts
stands in its "holds", and what failed is told at the end, with exit code 1. A part for which the minutes would not
last is left for the next call. Nothing is downloaded: MNIST must lie in the data root, else its parts are left out.
"""

import argparse
import json
import platform
import sys
import time
from datetime import date
from importlib.metadata import version
from pathlib import Path

import torch
from gpu_parts import PARTS, Part, Sizes
from results_file import machine, save

from glassnet.devices import choose_device, choose_precision, code_digest

PACKAGES = ("glassnet", "torch", "accelerate", "numpy", "captum", "torchcam")
CODE = ("attribution", "data", "embedding", "models", "tasks", "training")


def main(words: list[str] | None = None) -> int:
    """Measure the parts that are missing, as long as the minutes last; print all that is known."""
    arguments = _arguments(words)
    device, results, begun = choose_device(arguments.device), _opened(arguments), time.perf_counter()
    sizes = Sizes.quick() if arguments.quick else Sizes()
    for name in arguments.only:
        known = results["parts"].get(name, {})
        if "holds" in known and not arguments.again:
            continue
        left = 60 * arguments.minutes - (time.perf_counter() - begun)
        if not arguments.quick and PARTS[name].seconds > left:
            print(
                f"{name}: left for another call ({left:.0f} s left, it takes about {PARTS[name].seconds})", flush=True
            )
            continue
        results["parts"][name] = _measured(PARTS[name], device, sizes, arguments.data_root)
        save(results, arguments.out)
        print(f"{name}: {json.dumps(results['parts'][name])}", flush=True)
    return _told(results, arguments)


def _arguments(words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--data-root", type=Path, help="where MNIST lies")
    parser.add_argument("--minutes", type=float, default=8, help="in which no part is begun that would not end in them")
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--quick", action="store_true", help="small sizes, to try the script")
    parser.add_argument("--again", action="store_true", help="measure again what the results hold")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "gpu.json")
    arguments = parser.parse_args(words)
    if arguments.device == "cuda" and not torch.cuda.is_available():
        parser.error("torch sees no GPU here; --device cpu --quick tries the script without one.")
    return arguments


def _opened(arguments: argparse.Namespace) -> dict:
    """Return the results so far, which must be of this device, these sizes and this code."""
    device = choose_device(arguments.device)
    here = {
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
        "precision": choose_precision("auto", device),
        "quick": arguments.quick,
        "machine": machine(),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
        "code": code_digest(*CODE),
    }
    if not arguments.out.exists():
        return {**here, "date": date.today().isoformat(), "parts": {}}
    results = json.loads(arguments.out.read_text())
    other = [name for name, value in here.items() if results.get(name) != value]
    if other:
        sys.exit(f"{arguments.out} was measured with another {', '.join(other)}; give another --out, or remove it.")
    return results


def _measured(part: Part, device: torch.device, sizes: Sizes, data_root: Path | None) -> dict:
    """Run a part; what it raises is its result, and the other parts follow."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    begun = time.perf_counter()
    try:
        found = part.measure(device, sizes, data_root)
    except Exception as error:
        found = {"failed": f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"}
    found["seconds_in_all"] = round(time.perf_counter() - begun, 2)
    if device.type == "cuda":
        found["peak_gpu_bytes"] = torch.cuda.max_memory_allocated()
    return found


def _told(results: dict, arguments: argparse.Namespace) -> int:
    """Print what each part asserts; return 1 where one failed or does not hold."""
    wrong = 0
    print(f"\n{results['device']}, {results['precision']}\n\n| part | asserted | holds |\n|---|---|---|")
    for name in arguments.only:
        found = results["parts"].get(name)
        rows = {"not measured": None} if found is None else dict(found.get("holds", {}))
        rows |= {found[why]: broken for why, broken in (("failed", False), ("left_out", None)) if why in (found or {})}
        for what, holds in rows.items():
            wrong += holds is False
            print(f"| {name} | {what} | {'–' if holds is None else 'yes' if holds else 'NO'} |")
    print(f"\nwritten: {arguments.out}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
