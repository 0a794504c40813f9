"""Two parts of a few seconds that stand in for all: `python small_parts.py PICTURES OUT` reproduces them.

The first trains three small networks; the second needs the first of these too, and names its run by itself.
"""

import sys
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt

from glassnet.experiment import resolve
from glassnet.reproduction import PARTS
from glassnet.reproduction.claims import Verdict
from glassnet.reproduction.part import Part, Reproduction, open_folder, save_plot
from glassnet.reproduction.trainings import Training, folder_of
from glassnet.settings import TrainSettings
from glassnet.settings.train import ReproduceSettings
from glassnet.tables import Table
from glassnet.training import train_or_resume

EPOCHS = 3


def small_parts(pictures):
    """Parts by name, on a folder of pictures."""

    def listed(settings, out):
        base = TrainSettings(
            data=pictures, model="convnet", model_options=("filters=2,2,4,4", "hidden=4"), epochs=EPOCHS,
            precision="fp32", device="cpu",
        )  # fmt: skip
        return [
            Training(resolve(replace(base, seed=seed)), folder_of(out) / f"small-seed{seed}", ("1",))
            for seed in settings.seeds
        ]

    def first(settings, out):
        runs = [train_or_resume(one.settings, one.path) for one in listed(settings, out)]
        accuracies = [run.metrics["test_accuracy"] for run in runs]
        losses = [run.metrics["test_loss"] for run in runs]
        mean = sum(accuracies) / len(accuracies)
        row = {
            "name": "vgg_small", "accuracy": {"report": 0.9955, "mean": mean}, "loss": None,
            "test_accuracy": accuracies, "test_loss": losses,
        }  # fmt: skip
        verdict = Verdict("Small networks learn", "1", "undecided", None, None, "nothing")
        return made("classification", out, accuracies, (verdict,), figure_1=[row])

    def second(settings, out):
        (one,) = only(settings, out)
        run = train_or_resume(one.settings, folder_of(out) / "small-seed0")
        return made("channels", out, [run.metrics["test_accuracy"]], ())

    def only(settings, out):
        (one,) = listed(replace(settings, seeds=(settings.seed,)), out)
        return [replace(one, path=folder_of(out) / "base", figures=("17",))]

    return {
        "classification": Part("three small networks", listed, first, ("seeds",)),
        "channels": Part("one of them again", only, second, ("seed",)),
    }


def made(name, out, accuracies, verdicts, **details):
    figure, axes = plt.subplots()
    axes.plot(accuracies)
    saved = save_plot(open_folder(out), f"figure-{name}", figure, title=f"Figure of {name}", alt="A line.")
    plt.close(figure)
    table = Table("Accuracies", ("seed", "accuracy"), tuple((str(i), f"{a:.4f}") for i, a in enumerate(accuracies)))
    told = {"data": "mnist-sample", "test_images": 40, "figure_1": [], "figure_3": []} | details
    return Reproduction(name, out, (table,), verdicts, (saved,), ("A note.",), told)


def put_in(pictures):
    """Put them in the place of the report's parts."""
    PARTS.clear()
    PARTS.update(small_parts(pictures))


if __name__ == "__main__":
    from glassnet.reproduction.whole import reproduce_all

    put_in(sys.argv[1])
    reproduce_all(ReproduceSettings(data="mnist-sample", seeds=(0, 1, 2)), Path(sys.argv[2]))
