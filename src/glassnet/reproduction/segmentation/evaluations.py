"""The trainings of section 3, their test images and its tables: overlaps and accuracies over seeds, with intervals."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64, Int64

from glassnet.data import Dataset
from glassnet.devices import choose_device
from glassnet.experiment import Run, resolve
from glassnet.measuring import run_evaluation
from glassnet.reproduction.budget import epochs_of
from glassnet.reproduction.part import Stage, run_inputs, stage
from glassnet.reproduction.reported import OWN_SEGMENTER, PIXEL_ACCURACY, compare
from glassnet.reproduction.trainings import Training, folder_of
from glassnet.rng import PerImageRNG
from glassnet.run import RunDirectory
from glassnet.settings import TrainSettings
from glassnet.settings.train import ReproduceSettings
from glassnet.stats import Interval, percentile_interval, resampled_sums
from glassnet.tables import Table
from glassnet.tasks import Records
from glassnet.tasks.segmentation.metrics import DRAWS, iou_of, mean_iou_of
from glassnet.tasks.segmentation.result import Segmentation
from glassnet.tuning import spread

EPOCHS: Mapping[str, int] = {"unet_small": 24}
"""Passes over the images of VOC, where --epochs does not say otherwise and these are not the USUAL_EPOCHS."""
USUAL_EPOCHS = 36
PLAIN = 0.2
"""Share of them at the end that are mirrored alone."""
LONG_EPOCHS = 100
"""Passes of the report's network over voc-aug: most on smaller images, with objects pasted into half of them.

The two splits of the leak are compared with each other only, so they keep the shorter training: half of the time.
"""


def training_settings(settings: ReproduceSettings, model: str, data: str, seed: int) -> TrainSettings:
    """Return how the networks of this part are trained: on data other than VOC as `glassnet train` does by default."""
    base = TrainSettings(
        data=data,
        model=model,
        seed=seed,
        device=settings.device,
        precision=settings.precision,
        data_root=settings.data_root,
    )
    if not data.startswith("voc-aug"):
        return replace(base, epochs=epochs_of(settings, resolve(base).epochs))
    if (model, data) == (OWN_SEGMENTER, "voc-aug"):
        epochs = epochs_of(settings, LONG_EPOCHS)
        return replace(base, epochs=epochs, plain_epochs=0.06, low_res_epochs=0.7, copy_paste=0.5)
    usual = EPOCHS.get(model, USUAL_EPOCHS)
    return replace(base, epochs=epochs_of(settings, usual), plain_epochs=PLAIN)


def training_of(settings: ReproduceSettings, model: str, data: str, *, seed: int, out: Path) -> Training:
    """Return how a network is trained, and where its run goes.

    Raises:
        InputError: The data set or the network is not one for segmentation.
    """
    name = f"{model}-{data.replace('/', '_').replace(':', '_')}-seed{seed}"
    figures = ("4", "5") if model == OWN_SEGMENTER else ("5",)
    return Training(resolve(training_settings(settings, model, data, seed)), folder_of(out) / name, figures)


class Evaluations:
    """The data sets of runs and what is found on their test images, each read or computed once."""

    def __init__(self, settings: ReproduceSettings, folder: RunDirectory) -> None:
        """Begin with what the folder keeps; device and data root are the settings'."""
        self._settings = settings
        self._folder = folder
        self._datasets: dict[str, Dataset] = {}
        self._records: dict[Path, Records] = {}
        self._evaluated: dict[Path, Segmentation] = {}

    def dataset(self, run: Run) -> Dataset:
        """Return the run's data set."""
        name = run.settings.data
        if name not in self._datasets:
            # A path of the user's own does not lie below the data root.
            self._datasets[name] = run.dataset(None if ":" in name else self._settings.data_root)
        return self._datasets[name]

    def records(self, run: Run) -> Records:
        """Return what is remembered of each test image, from its stage where it was measured before."""

        def compute() -> Stage:
            recorder = run.task.test_stats(run.settings, len(run.classes))
            model = run.model(choose_device(self._settings.device))
            rng = PerImageRNG(run.settings.seed, "test")
            records = run_evaluation(model, self.dataset(run).test, recorder, task=run.task, rng=rng)
            return Stage({name: rows.numpy() for name, rows in records.items()}, {})

        if run.path not in self._records:
            made = stage(self._folder, f"segmentation-{run.name}", run_inputs(run), compute)
            self._records[run.path] = {name: torch.from_numpy(rows) for name, rows in made.arrays.items()}
        return self._records[run.path]

    def counts(self, runs: Sequence[Run]) -> Int64[np.ndarray, "seeds n 3 classes"]:
        """Return hits, true and predicted pixels of each test image by class, of runs on the same data."""
        return np.stack([self.records(run)["counts"].numpy() for run in runs])

    def evaluated(self, run: Run) -> Segmentation:
        """Return all that the task tells of the test images, in fp32; earlier trainings may have tested in bf16."""
        if run.path not in self._evaluated:
            self._evaluated[run.path] = run.task.evaluate(self.records(run), run.classes)
        return self._evaluated[run.path]


SEED = 0
"""Of the bootstrap."""
Counts = Int64[np.ndarray, "seeds n 3 classes"]


@dataclass(frozen=True)
class Overlap:
    """A class's IoU over all test images.

    Attributes:
        mean: Over seeds; None for a class that is in no mask, true or predicted.
        deviation: Standard deviation over seeds, n - 1 in the denominator; None for one seed.
        interval: Of the mean at 95%, over images drawn with replacement, the same ones for every seed; None likewise,
            and where one image has the class.
    """

    mean: float | None
    deviation: float | None
    interval: Interval | None


def class_overlaps(counts: Counts) -> tuple[Overlap, ...]:
    """Measure each class: its IoU by seed, and the percentile bootstrap (Efron 1979) of the mean over seeds.

    Args:
        counts: Hits, true and predicted pixels of each test image by class, for each seed.
    """
    intervals = intervals_over_images(counts, iou_of)
    return tuple(map(_overlap, iou_of(counts.sum(axis=1)).T, intervals))


def intervals_over_images(
    counts: Counts, measure: Callable[[Int64[np.ndarray, "draws 3 classes"]], Float64[np.ndarray, "draws ..."]]
) -> list[Interval | None]:
    """Bound a measure's mean over seeds at 95%, over images drawn with replacement, the same ones for every seed.

    Args:
        counts: Hits, true and predicted pixels of each test image by class, for each seed.
        measure: From sums of such counts over images to one number, or one a class; NaN where there is nothing to
            measure.

    Returns:
        An interval of each number.
    """
    sums = resampled_sums(counts.swapaxes(0, 1), seed=SEED, draws=DRAWS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # the mean of nothing is NaN, as it should be
        means = np.nanmean([measure(one) for one in sums.swapaxes(0, 1)], axis=0)
    return [percentile_interval(one) for one in means.reshape(DRAWS, -1).T]


def pixel_accuracy_of(counts: Int64[np.ndarray, "draws 3 classes"]) -> Float64[np.ndarray, " draws"]:
    """Share of the known pixels that are named rightly."""
    with np.errstate(invalid="ignore", divide="ignore"):
        shares: np.ndarray = counts[:, 0].sum(axis=1) / counts[:, 1].sum(axis=1)
    return shares


def _overlap(values: np.ndarray, interval: Interval | None) -> Overlap:
    values = values[~np.isnan(values)]
    if not len(values):
        return Overlap(None, None, None)
    deviation = float(values.std(ddof=1)) if len(values) > 1 else None
    return Overlap(float(values.mean()), deviation, interval)


LEAKY = "voc-aug-union"
"""The report's own split, with its leak."""
Runs = Mapping[tuple[str, str], Sequence[Run]]
"""The runs of a network and a data set, one a seed."""


def measures_table(runs: Runs, tests: Evaluations) -> Table:
    """List every network's measures beside the report's number, where it has one, and all background."""
    rows = []
    for (model, where), by_seed in runs.items():
        reported = PIXEL_ACCURACY if (model, where) == (OWN_SEGMENTER, LEAKY) else None  # it tells of no other split
        tested = [tests.evaluated(run) for run in by_seed]
        empty, counts = tested[0].background, tests.counts(by_seed)
        accuracy = compare(reported, [one.pixel_accuracy for one in tested if one.pixel_accuracy is not None]).cells
        rows.append(
            (
                model,
                where,
                f"{by_seed[0].manifest['model']['parameters']:,}",
                *accuracy[:2],
                _bounds(*intervals_over_images(counts, pixel_accuracy_of)),
                f"{empty.pixel_accuracy:.4f}",
                _spread([one.mean_iou for one in tested]),
                _bounds(*intervals_over_images(counts, mean_iou_of)),
                f"{empty.mean_iou:.4f}",
                _spread([one.boundary_f for one in tested]),
            )
        )
    header = (
        "network", "data", "parameters", "pixel accuracy: report", "ours (seeds)", "95% interval", "all background",
        "mean IoU: ours", "95% interval", "all background", "boundary F",
    )  # fmt: skip
    note = (
        "Ours: mean ± standard deviation over seeds; intervals of that mean are bootstraps over images. "
        "All background: calling every pixel background, which finds no outline, so that its boundary F is 0."
    )
    return Table("Section 3: segmentation on the test images", header, tuple(rows), note=note)


def measures_to_json(by_seed: Sequence[Run], tests: Evaluations) -> dict[str, Any]:
    """Return the main measures as JSON values: each seed's, and the interval of their mean over images."""
    tested, counts = [tests.evaluated(run) for run in by_seed], tests.counts(by_seed)
    measured = {"pixel_accuracy": pixel_accuracy_of, "mean_iou": mean_iou_of}
    return {
        "training_images": sum(by_seed[0].manifest["data"][name] for name in ("train", "validation")),
        "test_images": counts.shape[1],
        **{
            name: {
                "values": [getattr(one, name) for one in tested],
                "interval": intervals_over_images(counts, measure)[0],
            }
            for name, measure in measured.items()
        },
    }


def classes_table(runs: Mapping[str, Sequence[Run]], tests: Evaluations) -> Table:
    """List each class's overlap in networks, each with its runs, on the same data."""
    overlaps = [class_overlaps(tests.counts(by_seed)) for by_seed in runs.values()]
    per_class = tests.evaluated(next(iter(runs.values()))[0]).per_class  # of the truth, which is the same for all
    rows = []
    for number, about in enumerate(per_class):
        empty = "–" if about.background is None else f"{about.background:.3f}"
        share = f"{100 * about.share:.2f}%"
        cells = [_overlap_cell(classes[number]) for classes in overlaps]
        rows.append((about.name, str(about.images), share, empty, *cells))
    header = ("class", "images", "share of pixels", "all background", *(f"{model}: IoU" for model in runs))
    note = (
        "IoU: mean ± standard deviation over seeds, and in brackets the mean's 95% interval, a bootstrap over images; "
        "a class that is in no mask, true or predicted, has none."
    )
    return Table("Overlap by class", header, tuple(rows), note=note)


def _overlap_cell(one: Overlap) -> str:
    if one.mean is None:
        return "–"
    deviation = "" if one.deviation is None else f" ± {one.deviation:.3f}"
    bounds = "–" if one.interval is None else f"{one.interval[0]:.3f}, {one.interval[1]:.3f}"
    return f"{one.mean:.3f}{deviation} [{bounds}]"


def _bounds(interval: Interval | None) -> str:
    return "–" if interval is None else f"{interval[0]:.4f} to {interval[1]:.4f}"


def _spread(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "–"
    mean, deviation = spread(known)
    return f"{mean:.4f}" + ("" if deviation is None else f" ± {deviation:.4f}")
