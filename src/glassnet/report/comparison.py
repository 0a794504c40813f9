"""The layers beside each other: where the classes come apart, and which layers see the images alike."""

from dataclasses import dataclass
from typing import Any

from glassnet.report import numbers
from glassnet.report.inline import Picture, find_picture
from glassnet.report.records import files, mapping, names, rows, text
from glassnet.report.tables import Table, code, strong, table
from glassnet.run import RunDirectory

FOLDER = "embeddings/comparison"
COLUMNS = (
    ("features", "Features", numbers.count),
    ("probe_accuracy", "Linear probe", numbers.percent),
    ("probe_interval", "95% interval", numbers.interval),
    ("knn_accuracy", "Nearest neighbours", numbers.percent),
    ("nearest_mean_accuracy", "Nearest class mean", numbers.percent),
    ("scatter_ratio", "Scatter ratio", numbers.decimal),
    ("effective_rank", "Effective rank", lambda value: numbers.decimal(value, 1)),
)
MEANINGS = (
    (
        "Linear probe",
        "Share of test images whose class a linear classifier reads from the layer. It is fitted to training images, "
        "and how strongly it is held back is chosen on a part of these. 100% = all.",
    ),
    (
        "Nearest neighbours",
        "Share of test images whose class is that of most of their nearest training images in the layer. 100% = all.",
    ),
    (
        "Nearest class mean",
        "Share of all images that lie nearest to the mean of their own class, leaving themselves out. 100% = all.",
    ),
    (
        "Scatter ratio",
        "How far the class means scatter, over how far images scatter about the mean of their class. "
        "0 = the classes have one mean; it has no upper end.",
    ),
    (
        "Effective rank",
        "In how many directions the features spread: 1 for a line, the number of features if all directions are alike. "
        "It tells of the layer, and neither end is better.",
    ),
)


@dataclass(frozen=True)
class Aligned:
    """How alike the layers of one or two runs see the images."""

    sentence: str
    picture: Picture | None
    missing: str
    """Name of the figure that was not drawn; empty where it was."""


@dataclass(frozen=True)
class Compared:
    """All that is shown of the layers beside each other."""

    sentence: str
    picture: Picture | None
    missing: str
    table: Table | None
    meanings: tuple[tuple[str, str], ...]
    alignments: tuple[Aligned, ...]


def comparison(run: RunDirectory) -> Compared | None:
    """Collect what was compared; None where no layers were.

    Raises:
        InputError: A file of the comparison is damaged.
    """
    found = [mapping(run, name) for name in files(run, FOLDER, first=("layers", "cka"))]
    if not found:
        return None
    scores = [document for document in found if "layers" in document]
    alignments = tuple(_aligned(run, document) for document in found if "matrix" in document)
    if not scores:
        return Compared("", None, "", None, (), alignments)
    figure = text(scores[0].get("figure"))
    picture = find_picture(run, figure) if figure else None
    missing = "" if picture else figure or "of the comparison"
    return Compared(_sentence(scores[0]), picture, missing, _scores(scores[0]), MEANINGS, alignments)


def _sentence(document: dict[str, Any]) -> str:
    fitted, scored = (numbers.count(document.get(key)) for key in ("train_images", "test_images"))
    return f"The probe and the neighbours are fitted to {fitted} training images and scored on {scored} test images."


def _scores(document: dict[str, Any]) -> Table:
    layers = rows(document, "layers")
    known = [n for layer in layers if numbers.is_number(n := layer.get("probe_accuracy"))]
    best = max(known) if len(known) > 1 else None
    cells = [
        (
            code(text(layer.get("layer"))),
            *(
                strong(show(layer.get(key)))
                if key == "probe_accuracy" and best is not None and layer.get(key) == best
                else show(layer.get(key))
                for key, _, show in COLUMNS
            ),
        )
        for layer in layers
    ]
    caption = "The layers from input to output; the best linear probe is bold"
    return table(caption, ("Layer", *(name for _, name, _ in COLUMNS)), cells)


def _aligned(run: RunDirectory, document: dict[str, Any]) -> Aligned:
    figure = text(document.get("figure"))
    picture = find_picture(run, figure) if figure else None
    return Aligned(_most_alike(document), picture, "" if picture else figure or "of the alignment")


def _most_alike(document: dict[str, Any]) -> str:
    """Say which two layers are the most alike: in one run, of the different ones."""
    first, second, matrix = names(document, "first"), names(document, "second"), document.get("matrix")
    within = not text(document.get("against"))
    found = [
        (value, a, b)
        for i, (a, values) in enumerate(zip(first, matrix if isinstance(matrix, list) else [], strict=False))
        for j, (b, value) in enumerate(zip(second, values if isinstance(values, list) else [], strict=False))
        if numbers.is_number(value) and (j > i or not within)
    ]
    if not found:
        return ""
    value, a, b = max(found, key=lambda item: item[0])
    here, there = ("", "") if within else (f" of {text(document.get('run'))}", f" of {text(document.get('against'))}")
    images = numbers.count(document.get("images"))
    return f"Most alike are {a}{here} and {b}{there}, with {numbers.decimal(value)} on {images} test images."
