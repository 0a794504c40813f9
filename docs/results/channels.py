"""What the channels of a network have learned, which can be removed, and whether the selective ones matter.

    python docs/results/channels.py runs/mnist-convnet-seed0 --out docs/results/figures

Everything that is chosen (which channels go, in which order) is chosen on the validation images, by which the run also
chose its epoch; what is lost is measured on the test images. Prints tables in Markdown and saves a sheet a layer.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

import glassnet as gn
from glassnet.analysis.measured_channels import MeasuredChannels
from glassnet.images import image_batches
from glassnet.microscope.agreement import agreement
from glassnet.models.undisturbed import undisturbed
from glassnet.stats import bootstrap_ci
from glassnet.tables import make_table

SHARES = (0.25, 0.5, 0.75)
RANDOM = 3


def main() -> None:
    """Measure a run, print what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--out", type=Path, help="folder for the sheets")
    options = parser.parse_args()
    run = gn.Run.open(options.run)
    everything = {"images": 60_000, "ablation_images": 60_000, "seed": 0}
    chosen = run.channels(split="validation", **everything).result
    print(_removed(run, chosen).markdown(), end="\n\n", flush=True)
    tested = run.channels(split="test", visualize=True, **everything)
    for table in (_layers(chosen, tested.result), _matter(chosen, tested.result)):
        print(table.markdown(), end="\n\n", flush=True)
    if options.out is not None:
        for words in tested.figures:
            shutil.copy(tested.entry.figure_file(words.name, "png"), options.out / f"{words.name}.png")


def _layers(chosen: MeasuredChannels, tested: MeasuredChannels):
    """Lay out what each layer's channels are, on the test images, and how many cost nothing alone."""
    columns = (
        "layer", "channels", "dead", "active, median", "selectivity, median (quartiles)", "best AUROC, median",
        "driven above every image", "no accuracy lost alone: validation", "test",
    )  # fmt: skip
    rows = []
    for name, one in tested.channels.layers.items():
        quartiles = np.nanpercentile(one.selectivity, (50, 25, 75))
        made = tested.pictures[name]
        free = [int((found.ablations[name].lost() <= 0).sum()) for found in (chosen, tested)]
        rows.append((
            chosen.title(name), len(one), len(one.dead), f"{np.median(one.active):.1%}",
            "{:.2f} ({:.2f} to {:.2f})".format(*quartiles), f"{np.median(np.nanmax(one.auroc, axis=1)):.3f}",
            f"{(made.rank == 1).sum()} of {len(made.channels)}", *free,
        ))  # fmt: skip
    return make_table("", columns, rows)


def _matter(chosen: MeasuredChannels, tested: MeasuredChannels):
    """Correlate what a channel is with what its removal costs, layer by layer and over all."""
    columns = ("layer", "images", "selectivity and loss", "selectivity and accuracy", "AUROC and loss", "mean and loss")
    rows = []
    for split, found in (("validation", chosen), ("test", tested)):
        for name in (*found.channels, None):
            title = "all, ranks within layers" if name is None else found.title(name)
            rows.append((title, split, *(_of(found, name, *pair) for pair in PAIRS)))
    return make_table("", columns, rows)


PAIRS = (("selectivity", "loss"), ("selectivity", "accuracy"), ("auroc", "loss"), ("mean", "loss"))


def _of(found: MeasuredChannels, layer: str | None, figure: str, measure: str) -> str:
    pairs = []
    for name in found.channels if layer is None else (layer,):
        one = found[name]
        values = {
            "selectivity": one.selectivity,
            "auroc": np.nanmax(one.auroc, axis=1),
            "mean": one.rectified_means.mean(axis=1),
        }[figure]
        pairs.append((np.where(one.is_dead, np.nan, values), found.ablations[name].lost(measure)))
    result = agreement(pairs, seed=0)
    if result is None:
        return "–"
    bounds = "" if result.interval is None else " ({:.2f} to {:.2f})".format(*result.interval)
    return f"{result.correlation:.2f}{bounds}".replace("-", "−")


def _removed(run: gn.Run, chosen: MeasuredChannels):
    """Remove shares of each layer's channels together, in orders chosen on validation images; test it."""
    model, test = run.model(), run.dataset().test
    right = _right(model, test)
    columns = ("layer", "removed", *ORDERS, f"random, mean of {RANDOM} (lowest to highest)")
    rows = []
    for name in chosen.channels:
        orders = dict(_orders(chosen, name))
        for share in SHARES:
            count = round(share * len(chosen[name]))
            cells = []
            for words in ORDERS:
                lost = right.astype(float) - _right(model, test, name, orders[words][:count])
                bounds = bootstrap_ci(lost, seed=0)
                cells.append(f"{lost.mean():.2%}" + ("" if bounds is None else " ({:.2%} to {:.2%})".format(*bounds)))
            drawn = [np.random.default_rng(seed).permutation(len(chosen[name]))[:count] for seed in range(RANDOM)]
            losses = [float(right.mean() - _right(model, test, name, one).mean()) for one in drawn]
            cells.append(f"{np.mean(losses):.2%} ({min(losses):.2%} to {max(losses):.2%})")
            rows.append(
                (chosen.title(name), f"{count} of {len(chosen[name])}", *(one.replace("-", "−") for one in cells))
            )
    note = (
        f"Accuracy lost, of {right.mean():.2%} of {len(test):,} test images, with 95% bootstrap intervals over images."
    )
    return make_table("", columns, rows, note=note)


ORDERS = ("least needed first", "least selective first", "most selective first")


def _orders(chosen: MeasuredChannels, name: str) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the orders in which channels are removed; dead ones count as not selective."""
    selectivity = np.nan_to_num(chosen[name].selectivity)
    for words, key in zip(ORDERS, (chosen.ablations[name].lost("loss"), selectivity, -selectivity), strict=True):
        yield words, np.argsort(key, kind="stable")


def _right(model: nn.Module, test: gn.Split, layer: str = "", channels: Sequence[int] = ()) -> np.ndarray:
    """Tell which test images are classified rightly while some channels of a layer give 0."""

    def cut(_module, _taken, output):
        kept = output.clone()
        kept[:, list(channels)] = 0
        return kept

    predicted = []
    with undisturbed(model), torch.no_grad():
        hook = model.get_submodule(layer).register_forward_hook(cut) if layer else None
        try:
            for _, batch in image_batches(model, test.images, 500):
                predicted.append(model(batch).argmax(dim=1))
        finally:
            if hook is not None:
                hook.remove()
    return (torch.cat(predicted) == test.targets).numpy()


if __name__ == "__main__":
    main()
