"""How a network was trained, and what it is made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from markupsafe import Markup

from glassnet import figures
from glassnet.blocks import Block, Fold
from glassnet.errors import InputError
from glassnet.formats import DASH, count, decimal, duration, shape
from glassnet.models.layer_table import layer_table
from glassnet.reports.material import as_far_as_made, drawn
from glassnet.run.store import FigureWords, Plot
from glassnet.subject import Subject
from glassnet.tables import Table, make_table


def learning_blocks(subject: Subject) -> Iterator[Block]:
    """Return the learning curves and the table of epochs of a run."""
    if subject.run is None:
        return
    history = subject.run.history
    if not history:
        return
    views, best = subject.task.views(), int(subject.run.metrics["epoch"])
    words = FigureWords(
        name="learning-curves",
        title="Learning curves",
        alt=f"Loss and error over {len(history)} epochs, for training and validation; epoch {best} was saved.",
        caption=f"The weights of epoch {best} were saved: {subject.task.checkpoint_rule}.",
        lead="If validation levels off or turns while training still improves, more epochs would not help.",
    )
    yield drawn(Plot(views.curves(history, best), words))
    yield Fold("Every epoch in numbers", (_epochs(subject, history, best),))


def _epochs(subject: Subject, history: Sequence[Mapping[str, Any]], best: int) -> Table:
    views = subject.task.views()
    measured = [(key, head, write) for key, head, write in views.history if any(key in row for row in history)]
    rows = [
        (
            Markup("<strong>{} (saved)</strong>").format(row["epoch"]) if row["epoch"] == best else str(row["epoch"]),
            *(write(row.get(key)) for key, _, write in measured),
            decimal(row.get("learning_rate"), 5),
            duration(row.get("seconds")),
        )
        for row in history
    ]
    last = views.history_total(history[-1])
    total = [last.get("epoch", ""), *(last.get(key, DASH) for key, _, _ in measured), DASH, DASH] if last else []
    columns = ("Epoch", *(head for _, head, _ in measured), "Learning rate", "Time")
    return make_table(views.history_caption(history), columns, rows, words=(), total=total)


def network_blocks(subject: Subject) -> Iterator[Block]:
    """Return the picture of the network and the table of its layers."""
    described = _described(subject)
    if described is None:
        return
    drawings = as_far_as_made(map(drawn, _plots(subject, described)))
    yield Fold("The network, layer by layer", (*drawings, _layers(described["layers"])))


def _plots(subject: Subject, described: Mapping[str, Any]) -> Iterator[Plot]:
    """Draw the network, and what its task draws of it."""
    words = FigureWords(
        name="architecture",
        title=f"The network: {subject.model_name}",
        alt=f"{len(described['layers'])} layers from input to output, each with its sizes.",
        lead="Layers from input to output; a taller block has a larger map, a wider block has more channels.",
    )
    yield Plot(figures.architecture(described["layers"], subject.model_name), words)
    yield from subject.task.views().network(described)


def _described(subject: Subject) -> Mapping[str, Any] | None:
    """Return the model's layers; None where they cannot be found."""
    if subject.run is not None:
        described: Mapping[str, Any] = subject.run.manifest["model"]
        return described if described.get("layers") else None
    try:
        layers = [asdict(row) for row in layer_table(subject.model(), (1, *subject.image_shape))]
    except InputError:
        return None
    return {"name": subject.model_name, "layers": layers} if layers else None


def _layers(layers: Sequence[Mapping[str, Any]]) -> Table:
    rows = [
        (
            Markup("<code>{}</code>").format(layer["name"]),
            layer["kind"],
            shape(layer["input"]),
            shape(layer["output"]),
            shape(layer.get("receptive_field")),
            count(layer["parameters"]),
            count(layer["macs"]),
        )
        for layer in layers
    ]
    sums = [count(sum(layer[key] for layer in layers)) for key in ("parameters", "macs")]
    return make_table(
        "Layers from input to output; sizes are channels × height × width for one image. Sees: height and width in "
        "pixels of the area that one output unit depends on, away from the borders",
        ("Layer", "Kind", "Input", "Output", "Sees", "Parameters", "Multiply-accumulates"),
        rows,
        words=(0, 1),
        total=("All layers", "", "", "", "", *sums),
    )
