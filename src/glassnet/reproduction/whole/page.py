"""One page of the report done again, in the order of its sections: each figure, its number beside ours, each claim."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from glassnet.blocks import Block, Fold, Headline, Missing, Page, Picture, Prose, RunReport, Section
from glassnet.console import say
from glassnet.errors import InputError
from glassnet.files import regular, write_text
from glassnet.formats import count
from glassnet.reports import render
from glassnet.reports.material import LARGEST_SVG, check_picture
from glassnet.reproduction.claims import Verdict, whole_claims
from glassnet.reproduction.part import Reproduction, SavedFigure
from glassnet.reproduction.reported import OWN_NETWORK, effect_text
from glassnet.reproduction.whole.index import DASH, Entry, entries_table
from glassnet.reproduction.whole.plan import WholePlan, data_table, trainings_table
from glassnet.tables import Table

TITLE = "The 2019 report, done again"
FEW = 8
"""Verdicts that a section shows in full; of more it shows each claim once, and folds what decides it."""


@dataclass(frozen=True)
class Chapter:
    """A section of the report.

    Attributes:
        key: Of its address.
        title: As the report numbers it.
        part: That does it again.
        figures: Of the report, that stand in it.
        says: What the report does and concludes, in our words.
    """

    key: str
    title: str
    part: str
    figures: tuple[str, ...]
    says: tuple[str, ...]


CHAPTERS = (
    Chapter(
        "classification", "2 Multi-category classification", "classification", ("1", "2", "3"),
        (
            "The report trains simplified AlexNet, ResNet and VGG on MNIST (Figure 1), designs a network of its own "
            "after VGG (Figure 2), and tries five settings of its filters (Figure 3).",
            "It concludes that VGG does best, and that more filters help until the network overfits.",
        ),
    ),
    Chapter(
        "segmentation", "3 Image segmentation", "segmentation", ("§3", "4", "5"),
        (
            "The report extends its network to label every pixel of PASCAL VOC images at 96 pixels (Figure 4), and "
            "shows some results (Figure 5).",
            "It gives a pixel accuracy of about 0.78, and finds people segmented best, since they face the camera from "
            "the middle of the picture.",
        ),
    ),
    Chapter(
        "reconstruction", "4 Image reconstruction", "reconstruction", ("6", "7", "8", "9", "10", "11"),
        (
            "The report removes noise with a fully connected autoencoder, a VAE (Figure 6) and a deeper VAE, on MNIST "
            "(Figures 7 and 8), CIFAR-10 (Figures 9 and 10) and Stanford Dogs (Figure 11). It gives pictures and no "
            "numbers.",
            "It finds the simple network good on digits and bad on photographs, where the VAEs do better.",
        ),
    ),
    Chapter(
        "pca", "5.1 PCA", "features", ("12", "13"),
        (
            "The report reduces the features of the first fully connected layer to two and three principal components "
            "and clusters them (Figures 12 and 13).",
            "It finds that three components separate the ten digits where two do not.",
        ),
    ),
    Chapter(
        "tsne", "5.2 t-SNE", "features", ("14",),
        (
            "The report shows t-SNE of the same features, and of their principal components (Figure 14).",
            "It finds the boundaries between the digits clearer than with PCA.",
        ),
    ),
    Chapter(
        "gradcam", "5.3 Grad-CAM", "gradcam", ("15", "16", "17"),
        (
            "The report shows Grad-CAM and Guided Grad-CAM of VGG16, VGG19 and its own network (Figures 15 to 17).",
            "It finds that its own network looks mainly at the stroke of a digit, and VGG at a circle.",
        ),
    ),
)  # fmt: skip


def write_page(plan: WholePlan, parts: Mapping[str, Reproduction], index: Sequence[Entry], out: Path) -> Path:
    """Write OUT/report.html: one file that loads nothing from elsewhere."""
    path = out / "report.html"
    write_text(path, render(Page((_report(plan, parts, index, out),))))
    return path


def _report(plan: WholePlan, parts: Mapping[str, Reproduction], index: Sequence[Entry], out: Path) -> RunReport:
    verdicts = [verdict for part in parts.values() for verdict in whole_claims(part.verdicts)]
    networks = len({one.training.settings.model for one in plan.trainings})
    sections = [
        Section("introduction", "1 Introduction", tuple(_introduction(plan))),
        *(
            Section(chapter.key, chapter.title, tuple(_chapter(chapter, parts[chapter.part], index, out)))
            for chapter in CHAPTERS
            if chapter.part in parts
        ),
        Section("thinking", "6 Challenges and thinking", tuple(_thinking(plan, parts))),
        *_beyond(parts, out),
        Section("index", "Index of tables and figures", (entries_table(index, ""),)),
        Section("how", "How this was made", tuple(_how(plan, parts)), folded=True),
    ]
    return RunReport(
        name=TITLE,
        model=f"{networks} networks, {len(plan.trainings)} trainings",
        data=", ".join(dict.fromkeys(one.used for one in plan.data)),
        headlines=tuple(_headlines(index, verdicts)),
        summary=tuple(_summary(plan)),
        sections=tuple(sections),
    )


def _headlines(index: Sequence[Entry], verdicts: Sequence[Verdict]) -> Iterator[Headline]:
    numbers = [entry for entry in index if entry.report is not None]
    figures = {entry.figure for entry in index}
    yield Headline(
        "Figures done again", f"{len(figures - {'§3'})} of 17", f"{len(numbers)} of our numbers have one of 2019"
    )
    decided = Counter(verdict.supported for verdict in verdicts)
    for name in ("supported", "refuted", "undecided"):
        yield Headline(f"Claims {name}", str(decided[name]), f"of {len(verdicts)}")
    for figure, measure, title in (("1", "test accuracy", "VGG, digits"), ("§3", "pixel accuracy", "Segmentation")):
        found = [entry for entry in numbers if (entry.figure, entry.measure) == (figure, measure)]
        if found:
            best = max(found, key=lambda entry: entry.report or 0)
            yield Headline(title, f"{best.ours:.4f}", f"{measure} on {best.data}; {best.report:g} in 2019")


def _summary(plan: WholePlan) -> Iterator[str]:
    yield (
        "Every table and figure of the report “Deep Learning and Feature Visualization” (May 2019) is made again here, "
        "with the report's number beside ours, a 95% interval where there is one, and a verdict on each claim."
    )
    samples = [one.wanted for one in plan.data if not one.official]
    if samples:
        yield (
            f"Embedded samples stand in for {', '.join(samples)}: numbers on them are not comparable with the report's."
        )
    if plan.budget == "quick":
        yield "The budget is quick: each network was trained for a twelfth of its epochs. The numbers are a first look."


def _introduction(plan: WholePlan) -> Iterator[Block]:
    yield Prose(
        (
            "The report trains networks on three tasks (classification, segmentation and reconstruction), and then "
            "looks at what they have learned with PCA, t-SNE and Grad-CAM.",
            "This page follows its sections. These are the data it was done again on:",
        )
    )
    yield data_table(plan.data)


def _chapter(chapter: Chapter, part: Reproduction, index: Sequence[Entry], out: Path) -> Iterator[Block]:
    yield Prose(chapter.says)
    yield entries_table([entry for entry in index if entry.figure in chapter.figures], "The report's numbers and ours")
    verdicts = [verdict for verdict in part.verdicts if _belongs(verdict, chapter)]
    yield from _claims(verdicts)
    drawn = [figure for figure in part.figures if _drawn_in(figure, chapter)]
    yield from (_picture(figure, out) for figure in drawn)
    first = next(one for one in CHAPTERS if one.part == chapter.part)
    if chapter is first:
        yield Fold(f"All tables of part {part.part}", part.tables)
        yield Fold("How these numbers were made", tuple(Prose((note,)) for note in part.notes))


def _belongs(verdict: Verdict, chapter: Chapter) -> bool:
    """Tell whether a claim stands in a chapter; where a part has several, by the claim's first figure."""
    several = sum(one.part == chapter.part for one in CHAPTERS) > 1
    return not several or verdict.figure.partition(",")[0] in chapter.figures


def _drawn_in(figure: SavedFigure, chapter: Chapter) -> bool:
    several = sum(one.part == chapter.part for one in CHAPTERS) > 1
    return not several or figure.name.removeprefix("figure-") in chapter.figures


def _claims(verdicts: Sequence[Verdict]) -> Iterator[Block]:
    if not verdicts:
        yield Missing("What was trained here decides no claim of this section.")
        return
    whole = verdicts if len(verdicts) <= FEW else whole_claims(verdicts)
    yield _claims_table(whole, "The report's claims")
    if rest := [verdict for verdict in verdicts if verdict not in whole]:
        yield Fold(f"The {len(rest)} comparisons behind them", (_claims_table(rest, "Comparisons"),))


def _claims_table(verdicts: Sequence[Verdict], title: str) -> Table:
    rows = tuple((v.claim, v.supported, effect_text(v), v.figure, v.decided) for v in verdicts)
    header = ("claim", "verdict", "effect [95% interval]", "figure", "decided by")
    ours = any(verdict.figure == DASH for verdict in verdicts)
    note = f"{DASH} in the column of figures: a claim of ours, which the report does not make." if ours else ""
    return Table(title, header, rows, words=frozenset(range(5)), note=note)


def _picture(figure: SavedFigure, out: Path) -> Picture | Missing:
    """Read a figure: its SVG, or its PNG where the SVG is very large or damaged."""
    problem = "its files are not there"
    for kind, dpi, largest in (("svg", 96, LARGEST_SVG), ("png", 150, None)):
        file = out / "figures" / f"{figure.name}.{kind}"
        if not file.exists() or (largest is not None and file.stat().st_size > largest):
            continue
        try:
            drawing = regular(file).read_bytes()
            picture = Picture(figure.title, figure.alt, drawing, kind=kind, name=figure.name, dpi=dpi)  # type: ignore[arg-type]
            check_picture(picture)
        except InputError as error:
            problem = str(error)
            say(f"left out: {file} is damaged; delete it, and run the same command to draw it again")
        else:
            return picture
    return Missing(f"The figure “{figure.title}” is left out: {problem}.")


def _thinking(plan: WholePlan, parts: Mapping[str, Reproduction]) -> Iterator[Block]:
    yield Prose(
        (
            "The report names the lack of computing power as its main difficulty: simple networks, the simplest data "
            "set, one training of each network, and images of 96 pixels.",
            f"Here {count(len(plan.trainings))} trainings were made, several seeds of a network where the budget has "
            "them, and each claim is judged by an interval.",
            "Its last thought, that classification, segmentation and reconstruction are one kind of task, shows in "
            "the code: all three are trained by the same loop.",
        )
    )
    rows = []
    for name, part in parts.items():
        decided = Counter(verdict.supported for verdict in whole_claims(part.verdicts))
        if part.verdicts:
            rows.append((name, *(str(decided[one]) for one in ("supported", "refuted", "undecided"))))
    yield Table("Verdicts by part", ("part", "supported", "refuted", "undecided"), tuple(rows))


def _beyond(parts: Mapping[str, Reproduction], out: Path) -> Iterator[Section]:
    part = parts.get("channels")
    if part is None:
        return
    says = f"The report does not look into single channels. This is what each layer of {OWN_NETWORK} has learned."
    blocks = (Prose((says,)), *part.tables, Prose(part.notes), *(_picture(figure, out) for figure in part.figures))
    yield Section("channels", "Beyond the report: channels", blocks)


def _how(plan: WholePlan, parts: Mapping[str, Reproduction]) -> Iterator[Block]:
    yield Prose(
        (
            f"Made by `glassnet reproduce --budget {plan.budget}`.",
            "All parts share one seed plan and one folder of runs: the report's network is trained once a seed, and "
            "the same run serves Figures 1, 2, 3, 12 to 14 and 17.",
            "Every figure is in the folder figures/ as PNG and SVG, every number in results.json.",
        )
    )
    yield trainings_table(plan.trainings)
    yield Fold(
        "Notes of every part", tuple(Prose((f"{name}: {note}",)) for name, part in parts.items() for note in part.notes)
    )
