"""The numbers of `glassnet explain`: how faithful its maps are, with intervals over the images shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool

from glassnet.attribution import Explanation
from glassnet.attribution.faithfulness import (
    STROKE_THRESHOLD,
    Curves,
    Faithfulness,
    MeanCI,
    SanityCheck,
    agreement,
    deletion_insertion,
    faithfulness,
    inside,
    sanity_check,
    stroke_mask,
)
from glassnet.commands.selection import Selection
from glassnet.commands.subject import Subject
from glassnet.console import say
from glassnet.data import DIGITS
from glassnet.settings import ExplainSettings
from glassnet.tables import text_table

SHOWN = {
    "mask_share": "in mask",
    "pointing_game": "pointing",
    "deletion": "deletion",
    "insertion": "insertion",
    "average_drop": "avg drop",
    "increase": "increase",
}
"""Numbers by key, as the table heads them."""
NOTICES = {True: "yes", False: "no", None: "undecided"}
"""What `SanityCheck.passes` says, in the table."""
SEED = 0


@dataclass(frozen=True)
class Numbers:
    """What was measured of one selection's maps.

    Attributes:
        mask: The stroke of each image; None without.
        found: Numbers and, where asked for, curves by (method, layer).
        random: Curves of pixels in random order; None where no curves were asked for.
        sanity: Likewise.
        agreed: By two methods and a layer; empty likewise.
    """

    mask: Bool[np.ndarray, "n h w"] | None
    found: Faithfulness
    random: Curves | None
    sanity: SanityCheck | None
    agreed: Mapping[tuple[str, str, str], MeanCI]

    def to_json(self) -> dict[str, Any]:
        """Return the numbers as JSON values; empty where nothing was measured."""
        if not any(self.found.numbers.values()):
            return {}
        rows = [
            {"method": method, "layer": layer, **{name: plain(value) for name, value in numbers.items()}}
            for (method, layer), numbers in self.found.numbers.items()
        ]
        document: dict[str, Any] = {"measures": rows}
        if self.mask is not None:
            document["mask"] = {"kind": "stroke", "threshold": STROKE_THRESHOLD, "area": float(self.mask.mean())}
        if self.random is not None:
            areas = {"deletion": self.random.deletion_area, "insertion": self.random.insertion_area}
            document["random_order"] = {name: float(area.mean()) for name, area in areas.items()}
            document["agreement"] = [
                {"methods": [first, second], "layer": layer, **plain(value)}
                for (first, second, layer), value in self.agreed.items()
            ]
        if self.sanity is not None:
            document["sanity"] = {
                "layers": list(self.sanity.layers),
                "rank_correlation": {m: [plain(s) for s in self.sanity.steps(m)] for m in self.sanity.rank_correlation},
                "passes": {method: self.sanity.passes(method) for method in self.sanity.rank_correlation},
            }
        return document


def plain(value: MeanCI) -> dict[str, float | int | None]:
    """Return a mean with its interval as JSON values."""
    return {"mean": value.mean, "low": value.low, "high": value.high, "images": value.count}


def measure(subject: Subject, selection: Selection, explanation: Explanation, settings: ExplainSettings) -> Numbers:
    """Measure the maps by the mask, if there is one, and by the model where --faithfulness asks for it."""
    stroke = settings.mask == "stroke" or (settings.mask == "auto" and subject.data in DIGITS)
    mask = stroke_mask(selection.images) if stroke else None
    if not settings.faithfulness:
        found = {key: {} if mask is None else inside(maps, mask) for key, maps in explanation.maps.items()}
        return Numbers(mask, Faithfulness(found, {}), None, None, {})
    say(f"measuring {len(explanation.maps)} kinds of maps of {len(selection.images)} images")
    model, images, targets = subject.model, selection.images, explanation.targets
    assert targets is not None  # the command explains classes
    flat = np.zeros((len(images), *images.shape[-2:]))  # all pixels equal, hence in random order
    checked = sanity_check(
        model, images, methods=explanation.methods, layers=explanation.layers[-1:] or "last-conv", target=targets
    )
    return Numbers(
        mask,
        faithfulness(model, images, explanation, mask=mask, seed=SEED),
        deletion_insertion(model, images, flat, targets, seed=SEED),
        checked,
        agreement(explanation, seed=SEED),
    )


def text(name: str, document: Mapping[str, Any]) -> str:
    """Lay the numbers of one selection out as tables; empty where there are none."""
    rows = document.get("measures", [])
    if not rows:
        return ""
    keys = [key for key in SHOWN if key in rows[0]]
    lines = [(row["method"], row["layer"], *(_cell(row[key]) for key in keys)) for row in rows]
    parts = [
        f"\n{name}, {len(document['images'])} images: mean [95% interval over images]",
        text_table(("method", "layer", *(SHOWN[key] for key in keys)), lines, names=2),
    ]
    if "mask" in document:
        area, line = document["mask"]["area"], document["mask"]["threshold"]
        parts.append(f"mask: the stroke, pixels brighter than {line:g}; a uniform map has {area:.3f} of itself in it")
    if "random_order" in document:
        areas = document["random_order"]
        parts.append(f"pixels in random order: deletion {areas['deletion']:.3f}, insertion {areas['insertion']:.3f}")
    if document.get("agreement"):
        agreed = [(" and ".join(row["methods"]), row["layer"], _cell(row)) for row in document["agreement"]]
        parts.append(text_table(("agreement of", "layer", "rank correlation"), agreed))
    if "sanity" in document:
        parts.append(_sanity(document["sanity"]))
    return "\n".join(parts)


def _sanity(found: Mapping[str, Any]) -> str:
    rows = [
        (method, _cell(steps[len(steps) // 2]), _cell(steps[-1]), NOTICES[found["passes"][method]])
        for method, steps in found["rank_correlation"].items()
    ]
    return text_table(("weights randomised", "correlation, upper half", "all layers", "map notices"), rows)


def _cell(value: Mapping[str, Any]) -> str:
    if value["mean"] is None:
        return "–"
    bounds = "–" if value["low"] is None else f"{value['low']:.3f}, {value['high']:.3f}"
    return f"{value['mean']:.3f} [{bounds}]"
