"""The rate of this machine's own matrix products, in a process of its own, and what a training step asks of them."""

import argparse
import json
import statistics
import sys
import time

import torch

SIZES = (1024, 2048, 4096)
SECONDS_PER_SIZE = 2.0


def main() -> None:
    """Print the best median rate over square sizes, in each precision that the hardware multiplies."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    from glassnet.devices import choose_device, choose_precision

    device = choose_device(arguments.device)
    precisions = {"fp32": torch.float32}
    if choose_precision("auto", device) == "bf16":
        precisions["bf16"] = torch.bfloat16
    rates = {name: {size: rate(size, dtype, device) for size in SIZES} for name, dtype in precisions.items()}
    best = {name: max(by_size.values()) for name, by_size in rates.items()}
    json.dump({"flops_per_second": best, "by_size": rates, "threads": torch.get_num_threads()}, sys.stdout)


def rate(size: int, dtype: torch.dtype, device: torch.device) -> float:
    """Multiply square matrices over and over; the median of 2 n^3 / seconds."""
    first, second = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    out = torch.empty(size, size, dtype=dtype, device=device)
    seconds: list[float] = []
    torch.mm(first, second, out=out)
    end = time.perf_counter() + SECONDS_PER_SIZE
    while time.perf_counter() < end or len(seconds) < 5:
        if device.type == "cuda":
            torch.cuda.synchronize()
        begun = time.perf_counter()
        torch.mm(first, second, out=out)
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - begun)
    return 2 * size**3 / statistics.median(seconds)


if __name__ == "__main__":
    main()
