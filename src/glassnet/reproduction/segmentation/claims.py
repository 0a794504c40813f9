"""The claims of section 3: what the split's leak gains, and whether people stand out because they are in the centre."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64, UInt8

from glassnet.images import VOID
from glassnet.reproduction.claims import CLAIMS, ONE_EACH, Verdict, decide
from glassnet.reproduction.segmentation.evaluations import pixel_accuracy_of
from glassnet.stats import percentile_interval, resampled_sums
from glassnet.tasks.segmentation.metrics import DRAWS, iou_of, mean_iou_of

ImageCounts = Int64[np.ndarray, "n 3 classes"]
Sums = Int64[np.ndarray, "draws 3 classes"]
Measure = Callable[[Sums], Float64[np.ndarray, " draws"]]


def judge_leak(
    leaky: ImageCounts, clean: ImageCounts, leaked: Bool[np.ndarray, " n"], *, seed: int
) -> tuple[Verdict, ...]:
    """Judge the leak by the difference in differences, which neither further images nor easier ones can make.

    effect = (leaky - clean on the leaked images) - (leaky - clean on the other test images). A network of the leaking
    split has more images to learn from, which helps on all test images; the leak helps on those that it trained on or
    chose the epoch by: about a tenth of them are held out of the training to choose it. The interval is a percentile
    bootstrap (Efron 1979) over the images of either kind, the same draws for both networks. Mean IoU is taken over the
    classes that the masks of both kinds of image have: one that is called by mistake alone would count 0 for one
    network, and not at all for the other.

    Args:
        leaky: Counts of the test images of the network that trained on some of them or chose the epoch by them.
        clean: The same images' of the network that did neither with any of them.
        leaked: Which of the images the leaky one trained on or chose the epoch by.
        seed: Of the bootstrap.

    Returns:
        A verdict a measure; none where no image leaked, or all did.
    """
    if not leaked.any() or leaked.all():
        return ()
    ground = (
        f"on the {leaked.sum():,} test images that it trained on or chose the epoch by minus that on the other "
        f"{(~leaked).sum():,}, against the network that did neither; bootstrap over images"
    )
    common = leaky[leaked][:, 1].any(axis=0) & leaky[~leaked][:, 1].any(axis=0)
    parts = [(one[leaked], one[~leaked]) for one in (leaky, clean)]
    measures: Mapping[str, Measure] = {
        "pixel accuracy": pixel_accuracy_of,
        "mean IoU": lambda sums: _overlap(sums[:, :, common]),
    }
    return tuple(_leak_verdict(label, measure, parts, ground, seed) for label, measure in measures.items())


def _overlap(sums: Sums) -> Float64[np.ndarray, " draws"]:
    """Mean IoU of the classes that a draw's masks have."""
    there = sums[:, 1] > 0
    with np.errstate(invalid="ignore", divide="ignore"):
        means: np.ndarray = np.where(there, iou_of(sums), 0).sum(axis=1) / there.sum(axis=1)
    return means


def _leak_verdict(
    label: str, measure: Measure, parts: list[tuple[ImageCounts, ImageCounts]], ground: str, seed: int
) -> Verdict:
    """Judge one measure; `parts` are the leaked images' counts and the others', of the leaky and the clean network."""
    rng = np.random.default_rng(seed)
    inside, outside = (_sums(np.stack(networks, axis=1), rng) for networks in zip(*parts, strict=True))
    leaky, clean = (measure(inside[:, network]) - measure(outside[:, network]) for network in (0, 1))
    effects = leaky - clean
    interval = percentile_interval(effects[1:])
    claim = f"{CLAIMS['leak']} ({label}), {ONE_EACH}"
    return Verdict(claim, "5", decide(interval), float(effects[0]), interval, f"difference of {label} {ground}")


def _sums(counts: Int64[np.ndarray, "n networks 3 classes"], rng: np.random.Generator) -> np.ndarray:
    """Sum the images: each once in the first row, as drawn with replacement in the others."""
    return np.concatenate([counts.sum(axis=0)[None], resampled_sums(counts, seed=rng, draws=DRAWS)])


PERSON = "person"
ANIMALS = ("bird", "cat", "cow", "dog", "horse", "sheep")
SMALLEST_SHARE = 0.01
"""Of the image's pixels: smaller objects have no IoU to speak of at 96 pixels."""
Counts = Int64[np.ndarray, "seeds n 3 classes"]
"""Hits, true and predicted pixels of each test image by class, of a network trained with each seed."""


@dataclass(frozen=True, eq=False)
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


def judge_people(counts: Counts, objects: Objects, classes: tuple[str, ...], *, seed: int) -> tuple[Verdict, ...]:
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
    bounds = "–" if first.interval is None else ", ".join(f"{bound:+.3f}" for bound in first.interval)
    leads = (
        f"lead of people among objects of their size {lead(objects):+.3f} [{bounds}], "
        f"among equally centred ones of it {adjusted:+.3f}, {seeds}"
    )
    verdict = _of_objects(claim, objects, effect, f"{leads}; the claim: more than half is lost", seed)
    if first.interval is not None and first.interval[0] > 0:
        return verdict
    return Verdict(
        claim, verdict.figure, "undecided", verdict.effect, verdict.interval, f"{leads}: no clear lead to explain"
    )


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
    interval = percentile_interval(np.asarray(drawn))
    return Verdict(claim, "5", decide(interval), effect, interval, ground)
