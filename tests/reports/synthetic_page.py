"""Pages of invented results on real digits: every block of a report, and the shapes that are hard to show."""

import io
from collections.abc import Callable

import numpy as np
from markupsafe import Markup
from PIL import Image
from sklearn.datasets import load_digits

from glassnet.blocks import (
    Answer,
    Answers,
    ConfusionMatrix,
    Example,
    Fold,
    Gallery,
    Headline,
    Map,
    Missing,
    Page,
    Picture,
    Points,
    Prose,
    Row,
    RunReport,
    Scatter,
    Section,
    Template,
    Terms,
    Thumbnails,
)
from glassnet.figures.style import PALETTE, in_house_style, new_figure
from glassnet.tables import make_table

DIGITS = tuple("0123456789")
LONG = ("Cavalier King Charles spaniel", "West Highland white terrier", "Nova Scotia duck tolling retriever")
LAYERS = ("conv4", "conv3", "conv2", "conv1")
COUNT = 600


def png(pixels: np.ndarray) -> bytes:
    """Write uint8 pixels, (h, w) or (h, w, 3)."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", optimize=True)
    return file.getvalue()


def digits(count: int = COUNT) -> tuple[np.ndarray, np.ndarray]:
    """Give digits as uint8 (n, 24, 24), light on black, with their labels."""
    data = load_digits()
    images = np.kron(data.images[:count] * 15.9, np.ones((3, 3))).astype(np.uint8)
    return images, data.target[:count]


def overlay(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Lay a warm spot over a digit, as Grad-CAM would."""
    size = len(image)
    y, x = np.mgrid[:size, :size]
    row, column = random.uniform(0.3, 0.7, 2) * size
    heat = np.exp(-((y - row) ** 2 + (x - column) ** 2) / (0.08 * size**2))[..., None]
    base = image[..., None].repeat(3, axis=2) * 0.6
    return np.clip(base + heat * np.array((230, 90, 20)), 0, 255).astype(np.uint8)


def thumbnails(images: np.ndarray, columns: int = 25) -> Thumbnails:
    """Lay images out as one PNG."""
    count, height, width = images.shape
    rows = -(-count // columns)
    sheet = np.zeros((rows * height, columns * width), np.uint8)
    for place, image in enumerate(images):
        row, column = divmod(place, columns)
        sheet[row * height : (row + 1) * height, column * width : (column + 1) * width] = image
    return Thumbnails(png(sheet), width, height, columns)


@in_house_style
def picture(title: str, width: float = 7.5, height: float = 2.6) -> Picture:
    """Draw two panels of curves in the house style."""
    figure = new_figure(width, height)
    for panel, name in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        panel.plot(np.exp(-np.arange(12) / 4), label=name)
        panel.set(title=f"{title}: {name}", xlabel="epoch", ylabel=name)
        panel.legend()
    file = io.BytesIO()
    figure.savefig(file, format="svg")
    lead = "Both curves flatten after the eighth epoch: more epochs would not help."
    return Picture(title, f"{title}: loss falls, accuracy rises.", file.getvalue(), lead, "Twelve epochs.")


def example(key: int, image: np.ndarray, true: str, predicted: str, random: np.random.Generator) -> Example:
    """Invent an example with a map per layer."""
    heading = true if true == predicted else f"{true} taken for {predicted}"
    maps = tuple(Map(layer, png(overlay(image, random)), f"IoU {random.uniform():.2f}") for layer in LAYERS)
    facts = (("probability", f"{random.uniform(0.5, 1):.1%}"),)
    return Example(key, f"test image {key:,}", heading, png(image), facts, maps)


def demo(name: str = "demo", classes: tuple[str, ...] = DIGITS, *, count: int = COUNT, seed: int = 0) -> RunReport:
    """Build a run's report with every block."""
    random = np.random.default_rng(seed)
    images, labels = digits(count)
    labels = labels % len(classes) if len(classes) <= 10 else random.integers(0, len(classes), count)
    predicted = np.where(random.uniform(size=count) < 0.93, labels, (labels * 3 + 1) % len(classes))
    counts = np.zeros((len(classes), len(classes)), int)
    np.add.at(counts, (labels, predicted), 1)
    wrong = np.flatnonzero(labels != predicted)[:24]
    typical = [int(np.flatnonzero(labels == place)[0]) for place in range(len(classes)) if (labels == place).any()]
    shown = sorted({*map(int, wrong), *typical[:20]})
    examples = tuple(example(k, images[k], classes[labels[k]], classes[predicted[k]], random) for k in shown)
    cells: dict[tuple[int, int], list[int]] = {}
    for key in shown:
        cells.setdefault((int(labels[key]), int(predicted[key])), []).append(key)
    matrix = ConfusionMatrix(
        "Confusion matrix", classes, counts, cells,
        lead="Warm cells are errors, the warmer the larger their share of the true class; click one to see its images.",
        caption="Colour follows the square root of an error’s share of its row.",
    )  # fmt: skip
    points = Points(
        tuple(f"test image {k:,}" for k in range(count)), labels, classes, PALETTE, predicted,
        np.array([k if k in shown else -1 for k in range(count)]), thumbnails(images),
    )  # fmt: skip
    tables = layers_table()
    sections = (
        Section("confusion", "Which classes are confused", (matrix,)),
        Section(
            "mistakes",
            "Where it looks",
            (*galleries(tuple(map(int, wrong[:6])), tuple(typical[:20])), answers(examples[:3], classes)),
        ),
        Section("embedding", "What it has learned to tell apart", embeddings(points, random)),
        Section(
            "layers", "Layer by layer", (tables, Missing("Faithfulness was not measured.", "glassnet explain demo"))
        ),
        Section("learning", "Learning curves and the network", (Row((picture("Curves"), tables)), picture("Wide", 14))),
        Section("methods", "How these numbers were made", (terms(), fold()), folded=True),
        Section(
            "settings", "Settings and versions", (make_table("Settings", ("Name", "Value"), [("lr", "0.01")]),), True
        ),
    )
    share = float((labels == predicted).mean())
    return RunReport(
        name, "convnet", "mnist-sample",
        (
            Headline("Test accuracy", f"{share:.1%}", "95% interval 91.2 to 95.4%, Wilson"),
            Headline("Parameters", "467,818"), Headline("Training", "1 min 12 s", "12 epochs, 2 cores"),
        ),
        ("The network recognises most digits.", "It takes a few of every class for another one."),
        sections, examples, when="27 November 2026",
    )  # fmt: skip


def answers(examples: tuple[Example, ...], classes: tuple[str, ...]) -> Answers:
    """Answer for some examples as for images without labels."""
    made = []
    for one in examples:
        channels = tuple(Map(f"channel {number}", map.png, "+0.42") for number, map in enumerate(one.maps[1:]))
        shares = tuple((name, 0.6 / 2**place) for place, name in enumerate(classes[:5]))
        made.append(Answer(one.name, one.thumbnail, shares, one.maps[:1], channels))
    return Answers(
        "What the network sees in each image", tuple(made), "It must choose among these.", "Orange raises the score."
    )


def galleries(wrong: tuple[int, ...], typical: tuple[int, ...]) -> tuple[Gallery | Prose, ...]:
    """Show the worst mistakes, and an image per class."""
    sentence = "In the mistakes the warm spot often covers a stroke that two digits share."
    return (
        Gallery("Worst mistakes", wrong, sentence, "Grad-CAM of the predicted class at conv4.")
        if wrong
        else Prose(("It makes no mistake.",)),
        Gallery("A typical image of each class", typical, "Each class is told by one stroke.", compact=True),
    )


def embeddings(points: Points, random: np.random.Generator) -> tuple[Scatter, ...]:
    """Place classes around a circle, or a helix."""
    angle = points.labels * 2 * np.pi / len(points.classes)
    centres = np.stack([np.cos(angle), np.sin(angle), np.sin(2 * angle)], axis=1) * 4
    positions = (centres + random.normal(size=centres.shape) * 0.5)[: len(points.labels)]
    measures = make_table(
        "Clusters of k-means against the classes", ("Measure", "Value"), [("ARI", "0.91"), ("NMI", "0.93")]
    )
    flat = Scatter(
        "t-SNE of fc1", "Ten groups of points, one per digit.", positions[:, :2], points,
        "Each digit has a group of its own; ringed points lie between groups.", "600 test images.",
        points.labels // 2, ("t-SNE 1", "t-SNE 2"), measures,
    )  # fmt: skip
    deep = Scatter(
        "PCA of fc1",
        "A ring of groups.",
        positions,
        points,
        "The groups lie on a bent ring.",
        axes=("PC 1 (31%)", "PC 2 (20%)", "PC 3 (9%)"),
    )
    return flat, deep


def layers_table():
    """Make a table with a name one could type."""
    rows = [
        (Markup("<code>{}</code>").format(layer), f"{0.9 - 0.1 * place:.2f}", "32 × 28 × 28")
        for place, layer in enumerate(LAYERS)
    ]
    return make_table("Share of the map inside the digit, per layer", ("Layer", "Share", "Output"), rows, words=(0, 2))


def terms() -> Terms:
    """Explain a word."""
    return Terms((("Grad-CAM", "Where a layer’s activation raises the score (Selvaraju et al. 2017)."),))


def fold() -> Fold:
    """Fold a task's own template."""
    own = Template("<p>{{ words }} {{ show(inner) }}</p>", {"words": "<i>", "inner": Prose((Markup("<b>inner</b>"),))})
    return Fold("More", (Prose(("Folded.",)), own))


def methods_alone() -> RunReport:
    """Build a report of input methods alone: no embedding, no test."""
    images, _ = digits(4)
    random = np.random.default_rng(0)
    examples = tuple(
        Example(k, f"photographs/IMG_{k:04}_from_the_old_camera.jpeg", "no class", png(image), (),
                (Map("Integrated gradients", png(overlay(image, random))),))
        for k, image in enumerate(images)
    )  # fmt: skip
    shown = Section("mistakes", "Where it looks", (Gallery("Four images", (0, 1, 2, 3), "It looks at strokes."),))
    return RunReport("a network", "Net", "photographs", (), (), (shown,), examples)


PAGES: dict[str, Callable[[], Page]] = {
    "demo": lambda: Page((demo(),)),
    "long": lambda: Page((demo("dogs", LONG),)),
    "sixty": lambda: Page((demo("sixty", tuple(f"class number {k}" for k in range(60))),)),
    "two": lambda: Page((demo("two", ("cat", "dog"), count=2),)),
    "methods": lambda: Page((methods_alone(),)),
    "several": lambda: Page(
        (demo("first"), demo("second <b>", seed=1)),
        make_table("Runs", ("Run", "Accuracy"), [("first", "98.4%"), ("second <b>", "98.1%")]),
        "The first is better, but their intervals overlap.",
    ),
}  # fmt: skip
