"""Figures 1, 2 and 3 as pictures: networks compared, the own network layer by layer, its filters tuned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import torch

from glassnet import figures
from glassnet.experiment import Run
from glassnet.models import create_model
from glassnet.models.summary import layer_table
from glassnet.reproduction.claims import Verdict
from glassnet.reproduction.networks import Row
from glassnet.reproduction.numbers import OWN_NETWORK
from glassnet.reproduction.reproduction import Drawn
from glassnet.reproduction.tables import effect_text
from glassnet.run import RunDirectory


def draw_networks(
    kept: RunDirectory, networks: Sequence[Row], tuned: Sequence[Row], verdicts: Sequence[Verdict], run: Run
) -> list[Drawn]:
    """Draw what was trained, and the own network, into the folder's figures/."""
    drawn = []
    if any(row.cell for row in networks):
        claims = _claims(verdicts, "1")
        drawn.append(_compared(kept, "figure-1", "Figure 1: networks compared", networks, claims))
    drawn.append(_own_network(kept, run))
    if any(row.cell for row in tuned):
        claims = _claims(verdicts, "3")
        drawn.append(_compared(kept, "figure-3", f"Figure 3: filters of {OWN_NETWORK}", tuned, claims))
    return drawn


def _claims(verdicts: Sequence[Verdict], figure: str) -> list[str]:
    """Write the verdicts on a figure's claims, a line each."""
    judged = [verdict for verdict in verdicts if verdict.figure == figure]
    shown = [
        f"{v.claim}: {v.supported}, {effect_text(v)}" if v.interval else f"{v.claim}: {v.supported}" for v in judged
    ]
    return [line.replace("-0.", "−0.") for line in shown]


def _compared(kept: RunDirectory, name: str, title: str, rows: Sequence[Row], claims: Sequence[str]) -> Drawn:
    finished = [row for row in rows if row.cell]
    figure = figures.tuning_figure(
        [row.name for row in finished],
        [row.cell.test_accuracy for row in finished if row.cell],
        metric="test accuracy",
        report=[row.reported.accuracy if row.reported else None for row in finished],
        columns={"parameters": [f"{row.cell.parameters:,}" for row in finished if row.cell]},
        claims=claims,
        title=title,
    )
    alt = f"{title}: test accuracy of each, a dot a seed, the report's beside it."
    kept.save_figure(name, figure, title=title, alt=alt)
    return Drawn(name, title, alt)


def _own_network(kept: RunDirectory, run: Run) -> Drawn:
    """Draw the own network at the size of the images that were trained on."""
    shape = run.manifest["model"]
    channels, size = shape["in_channels"], shape["image_size"]
    with torch.device("meta"):
        model = create_model(OWN_NETWORK, in_channels=channels, num_classes=shape["num_classes"], image_size=size)
    rows = [asdict(row) for row in layer_table(model, (1, channels, size, size))]
    title = f"Figure 2: the report's own network, {OWN_NETWORK}"
    alt = f"{title}, layer by layer, with sizes and {sum(row['parameters'] for row in rows):,} parameters."
    kept.save_figure("figure-2", figures.architecture(rows, title=OWN_NETWORK), title=title, alt=alt)
    return Drawn("figure-2", title, alt)
