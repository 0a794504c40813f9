"""Whether people are segmented better than animals and things, and whether it is because they stand in the centre."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64, UInt8

from glassnet.images import VOID
from glassnet.reproduction.claims import Verdict, decide
from glassnet.reproduction.numbers import CLAIMS
from glassnet.tasks.segmentation_metrics import mean_iou_of

PERSON = "person"
ANIMALS = ("bird", "cat", "cow", "dog", "horse", "sheep")
DRAWS = 1000
SMALLEST_SHARE = 0.01
"""Of the image's pixels: smaller objects have no IoU to speak of at 96 pixels."""
Counts = Int64[np.ndarray, "seeds n 3 classes"]
"""Hits, true and predicted pixels of each test image by class, of a network trained with each seed."""


@dataclass(frozen=True)
class Objects:
    """The objects of all test images: a row for each class in an image.

    Attributes:
        image: Number of the image.
        label: Its class.
        iou: Overlap of the class's true and predicted pixels in the image, the mean over seeds.
        centred: 1 at the image's centre, 0 at a corner: one minus the mask's distance over half the diagonal.
        share: Of the image's pixels.
    """

    image: Int64[np.ndarray, " m"]
    label: Int64[np.ndarray, " m"]
    iou: Float64[np.ndarray, " m"]
    centred: Float64[np.ndarray, " m"]
    share: Float64[np.ndarray, " m"]

    def take(self, rows: Int64[np.ndarray, " k"]) -> Objects:
        """Return some of the objects, with repetition."""
        return Objects(self.image[rows], self.label[rows], self.iou[rows], self.centred[rows], self.share[rows])


def find_objects(masks: UInt8[np.ndarray, "n h w"], counts: Counts) -> Objects:
    """Describe every class in every image but the background, where it fills a hundredth of the image or more.

    An object's IoU is the mean of those of all seeds: the networks' own chance is averaged out before images are drawn.
    """
    rows = []
    height, width = masks.shape[1:]
    down, across = (np.arange(side) + 0.5 - side / 2 for side in (height, width))
    for number, mask in enumerate(masks):
        for label in np.unique(mask):
            where = mask == label
            if label in (0, VOID) or where.mean() < SMALLEST_SHARE:
                continue
            y, x = down[where.nonzero()[0]].mean(), across[where.nonzero()[1]].mean()
            hits, truth, guess = counts[:, number, :, label].T
            away = np.hypot(y, x) / (np.hypot(height, width) / 2)
            rows.append((number, label, (hits / (truth + guess - hits)).mean(), 1 - away, where.mean()))
    table = np.array(rows, dtype=float).reshape(-1, 5)
    return Objects(table[:, 0].astype(int), table[:, 1].astype(int), *table[:, 2:].T)


def judge(counts: Counts, objects: Objects, classes: tuple[str, ...], *, seed: int) -> tuple[Verdict, ...]:
    """Judge what the report says of people: that they are segmented better, and that the centre is why.

    Args:
        counts: Of all seeds; what is judged is the mean over them.
        objects: Of the same images and seeds.
        classes: Names of the classes.
        seed: Of the bootstrap, which draws images.
    """
    person, seeds = classes.index(PERSON), _seeds(len(counts))
    groups = {
        "animals": [classes.index(name) for name in ANIMALS if name in classes],
        "things": [i for i, name in enumerate(classes) if i and name not in (PERSON, *ANIMALS)],
    }
    verdicts = []
    for key, members in groups.items():

        def lead(drawn: Counts, members: list[int] = members) -> float:
            return _iou(drawn, [person]) - _iou(drawn, members)

        measure = f"IoU of people minus that of {key}, {seeds}"
        verdicts.append(_of_counts(CLAIMS[f"people-{key}"], counts, lead, measure, seed))
    verdicts.append(
        _of_objects(
            CLAIMS["centre"], objects, centre_slope,
            f"slope of an object's IoU on how centred it is, within its class and at its size, {seeds}", seed,
        )
    )  # fmt: skip
    verdicts.append(_explained(objects, person, seed, seeds))
    return tuple(verdicts)


def person_lead(objects: Objects, person: int, *, adjusted: bool) -> float:
    """Return how much higher the IoU of people is than that of other objects of their size, and as centred if adjusted.

    The coefficient of "is a person" in a least-squares fit of the IoU, beside the logarithm of the object's size and,
    if adjusted, how centred it is. Large objects are segmented better, and lie nearer the centre since they must.
    """
    columns = [(objects.label == person).astype(float), np.log(objects.share)]
    columns += [objects.centred] if adjusted else []
    return _coefficient(objects.iou, [*columns, np.ones(len(objects.iou))])


def centre_slope(objects: Objects) -> float:
    """Return how the IoU grows with how centred an object is, among objects of the same class and size."""
    classes = [(objects.label == label).astype(float) for label in np.unique(objects.label)]
    return _coefficient(objects.iou, [objects.centred, np.log(objects.share), *classes])


def _coefficient(values: Float64[np.ndarray, " m"], columns: Sequence[Float64[np.ndarray, " m"]]) -> float:
    """Return the first column's coefficient in a least-squares fit; the one of least norm where they depend."""
    return float(np.linalg.lstsq(np.stack(columns, axis=1), values, rcond=None)[0][0])


def _explained(objects: Objects, person: int, seed: int, seeds: str) -> Verdict:
    """Decide whether more than half of people's lead goes away among equally centred objects."""

    def lead(drawn: Objects) -> float:
        return person_lead(drawn, person, adjusted=False)

    def effect(drawn: Objects) -> float:
        return lead(drawn) - 2 * person_lead(drawn, person, adjusted=True)

    claim, adjusted = CLAIMS["centre-explains"], person_lead(objects, person, adjusted=True)
    first = _of_objects(claim, objects, lead, "", seed)
    low, high = first.interval or (0.0, 0.0)
    told = (
        f"lead of people among objects of their size {lead(objects):+.3f} [{low:+.3f}, {high:+.3f}], "
        f"among equally centred ones of it {adjusted:+.3f}, {seeds}"
    )
    found = _of_objects(claim, objects, effect, f"{told}; the claim: more than half is lost", seed)
    if low > 0:
        return found
    return Verdict(claim, found.figure, "undecided", found.effect, found.interval, f"{told}: no clear lead to explain")


def _seeds(count: int) -> str:
    return f"mean over {count} seeds" if count > 1 else "of one seed"


def _iou(counts: Counts, members: list[int]) -> float:
    """Return the mean IoU of some classes over all images, and of that the mean over seeds; 0 where there is none."""
    return float(np.nan_to_num(mean_iou_of(counts.sum(axis=1)[..., members])).mean())


def _of_counts(claim: str, counts: Counts, effect: Callable[[Counts], float], measure: str, seed: int) -> Verdict:
    """Draw images, the same ones of every seed."""
    random, images = np.random.default_rng(seed), counts.shape[1]
    drawn = [effect(counts[:, random.integers(images, size=images)]) for _ in range(DRAWS)]
    return _verdict(claim, effect(counts), drawn, f"{measure}, bootstrap over {images:,} images")


def _of_objects(claim: str, objects: Objects, effect: Callable[[Objects], float], measure: str, seed: int) -> Verdict:
    """Draw images, and with each all of its objects, which are no independent sample."""
    random, images = np.random.default_rng(seed), np.unique(objects.image)
    members = [np.flatnonzero(objects.image == image) for image in images]
    drawn = [
        effect(objects.take(np.concatenate([members[i] for i in random.integers(len(images), size=len(images))])))
        for _ in range(DRAWS)
    ]
    ground = f"{measure}, bootstrap over {len(images):,} images with {len(objects.iou):,} objects"
    return _verdict(claim, effect(objects), drawn, ground)


def _verdict(claim: str, effect: float, drawn: list[float], ground: str) -> Verdict:
    low, high = (float(bound) for bound in np.percentile(drawn, (2.5, 97.5)))
    return Verdict(claim, "5", decide((low, high)), effect, (low, high), ground)
