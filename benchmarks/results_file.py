"""Where and how a benchmark's numbers are kept: the machine they are of, and a file that is never half-written."""

import argparse
import json
import os
import platform
from collections.abc import Callable, Mapping
from pathlib import Path


def machine() -> dict:
    """Name the processor, the cores that this process may use, and the system."""
    cpu = platform.processor()
    information = Path("/proc/cpuinfo")
    if information.exists():
        named = [line for line in information.read_text().splitlines() if line.startswith("model name")]
        cpu = named[0].split(":", 1)[1].strip() if named else cpu
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"cpu": cpu, "cores": cores, "system": platform.platform()}


def save(results: dict, out: Path) -> None:
    """Write the results to a temporary name in the same folder, and rename it."""
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_suffix(".partial")
    partial.write_text(json.dumps(results, indent=1) + "\n")
    partial.replace(out)


def measure(parts: Mapping[str, Callable[[argparse.Namespace], object]], options: argparse.Namespace) -> None:
    """Measure each part of `options.part`, print it, and keep it in `options.out` next to the other parts."""
    results = json.loads(options.out.read_text()) if options.out.exists() else {}
    results["machine"] = machine()
    for name in options.part:
        results[name] = parts[name](options)
        print(name, json.dumps(results[name]), flush=True)
        save(results, options.out)
