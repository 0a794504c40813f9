"""What the attributions of schema 1 say, as analysis.json says it today: groups of images, maps, how faithful they are.

A number that was not kept then (the values of each image behind a mean, the points of a curve) is left empty, or stands
in the smallest form that has the number that was kept: a curve of two points with the area below it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from glassnet.errors import InputError
from glassnet.run.legacy_results import array, of_kind

NOTHING = "nothing"
"""Key of an array without values."""
DIGITS = ("mnist", "mnist-sample")
"""Data sets whose images had their strokes marked where nothing was said."""
INSIDE = ("mask_share", "pointing_game")


@dataclass(frozen=True)
class OldGroup:
    """A group of explained images.

    Attributes:
        document: What its file says.
        title: Its heading.
        maps: Keys of its maps, as in gradcam/conv1.
        regions: Whether a part of each image was explained.
        targets: Index of the class explained for each image; None where it is no class.
    """

    document: Mapping[str, Any]
    title: str
    maps: tuple[str, ...]
    regions: bool
    targets: list[int] | None

    @property
    def name(self) -> str:
        """Its short name."""
        return str(self.document["name"])

    @property
    def figures(self) -> tuple[str, ...]:
        """The names of its figures: the maps first."""
        return tuple(self.document["figures"])

    @property
    def versions(self) -> Mapping[str, str]:
        """The versions that made it."""
        versions: Mapping[str, str] = self.document["versions"]
        return versions

    @property
    def measured(self) -> bool:
        """Whether it was measured how faithful the maps are."""
        return "random_order" in self.document and "sanity" in self.document

    @property
    def asked(self) -> tuple[Any, ...]:
        """What groups of one call have in common."""
        return (*(str(self.document[key]) for key in ("target", "methods", "layers")), self.measured, self.count)

    @property
    def count(self) -> int:
        """How many images the rule names, as in "The first 4 test images"; those there are where it names none."""
        number = re.match(r"The (?:first )?(\d+) test images", self.document["rule"])
        return int(number[1]) if number else len(self.rows)

    @property
    def rows(self) -> list[Mapping[str, Any]]:
        """What is known of each image."""
        return list(self.document["scores"] if "scores" in self.document else self.document["images"])


def read_group(record: Mapping[str, Any], arrays: Sequence[str], title: str, manifest: Mapping[str, Any]) -> OldGroup:
    """Read a group's file; `arrays` are the keys of its arrays.

    Raises:
        InputError: The arrays are not those of maps.
    """
    if "images" not in arrays:
        raise InputError(f"the attributions '{record['name']}' are damaged (their arrays have no images).")
    maps = tuple(key for key in arrays if "/" in key)
    classes, rows = manifest["data"]["classes"], record.get("images", ())
    one_class = manifest["settings"]["task"] == "classification"
    targets = [classes.index(row["target"]) for row in rows] if one_class else None
    group = OldGroup(record, title, maps, "regions" in arrays, targets)
    _ = (_group(group), group.asked, group.figures[0], group.versions)  # here, where what is damaged is left out
    return group


def joined(groups: Sequence[OldGroup]) -> dict[str, list[OldGroup]]:
    """Put groups of one call together: the correctly and the wrongly classified images, as --images mixed gives."""
    named = {one.name: one for one in groups}
    both = [named[name] for name in ("correct", "wrong") if name in named]
    if len(both) == 2 and both[0].asked == both[1].asked:
        rest = {name: [one] for name, one in named.items() if one not in both}
        return {"mixed": both, **rest}
    return {name: [one] for name, one in named.items()}


def attribution_settings(manifest: Mapping[str, Any], groups: Sequence[OldGroup]) -> dict[str, Any]:
    """Return what was asked for; the precision of the passes is not known."""
    first, data = groups[0].document, manifest["settings"]["data"]
    marked, settings = "mask" in first, manifest["settings"]
    names = list(first["layers"])
    error = settings["task"] == "reconstruction" and first["target"] == "predicted"
    return {
        "images": _images(groups),
        "layers": ["conv"] if names == of_kind(manifest, "Conv") else names,
        "methods": list(first["methods"]),
        "target": "error" if error else first["target"],
        "mask": "auto" if marked == (data in DIGITS) else "stroke" if marked else "none",
        "split": "test",
    }


def _images(groups: Sequence[OldGroup]) -> str:
    if len(groups) == 2:
        return f"mixed:{2 * groups[0].count}"
    (one,) = groups
    places = [row["index"] for row in one.rows]
    if one.name == "files" and all(isinstance(place, str) for place in places):
        return str(places[0] if len(places) == 1 else places[0].rpartition("/")[0])
    if one.name in ("correct", "wrong"):
        return f"{one.name}:{one.count}"
    return f"first:{one.count}" if one.document["rule"].startswith("The first") else ",".join(map(str, places))


def attribution(groups: Sequence[OldGroup]) -> dict[str, Any]:
    """Return the maps of some groups."""
    first = groups[0].document
    return {
        "groups": [_group(one) for one in groups],
        "methods": list(first["methods"]),
        "layers": list(first["layers"]),
        "threshold": first["mask"]["threshold"] if "mask" in first else None,
    }


def _group(one: OldGroup) -> dict[str, Any]:
    places = [row["index"] for row in one.rows]
    score = one.name.replace("-", " ", 1)
    facts = [
        {"target": score, "score": row[score]}
        if score in row
        else {key: value for key, value in row.items() if key != "index"}
        for row in one.rows
    ]
    return {
        "name": one.name,
        "title": one.title,
        "rule": one.document["rule"],
        "names": [place.rpartition("/")[2] if isinstance(place, str) else f"test image {place}" for place in places],
        "numbers": [-1 if isinstance(place, str) else place for place in places],
        "facts": facts,
        "note": _mask_note(one.document.get("mask")),
        "images": array(f"{one.name}/images"),
        "maps": {_pair(*key.split("/", 1)): array(f"{one.name}/{key}") for key in one.maps},
        "targets": None if one.targets is None else array(f"{one.name}/targets"),
        "regions": array(f"{one.name}/regions") if one.regions else None,
        "mask": None,
        "inside": _numbers(one, INSIDE),
    }


def _mask_note(mask: Mapping[str, Any] | None) -> str:
    if mask is None:
        return ""
    return (
        f"The stroke, pixels above {mask['threshold']:g}, covers {100 * mask['area']:.1f}% of these images: a uniform "
        "map has that share of its attribution in it."
    )


def _pair(*words: str) -> str:
    return " @ ".join(words)


def _numbers(one: OldGroup, keys: Sequence[str] | None = None) -> dict[str, Any]:
    """Return the measures of each kind of map; of all kinds, also where nothing was measured."""
    rows = {_pair(row["method"], row["layer"]): row for row in one.document.get("measures", ())}
    pairs = [_pair(*key.split("/", 1)) for key in one.maps]
    return {
        pair: {
            key: _mean(value)
            for key, value in rows.get(pair, {}).items()
            if key not in ("method", "layer") and (keys is None or key in keys)
        }
        for pair in pairs
    }


def _mean(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return a mean with its interval; none where all images have one value, which then was the interval."""
    same = value["low"] == value["high"]
    return {
        "values": array(NOTHING),
        "mean": value["mean"],
        "low": None if same else value["low"],
        "high": None if same else value["high"],
        "count": value["images"],
    }


def faithfulness(of: str, groups: Sequence[OldGroup]) -> dict[str, Any]:
    """Return how faithful the maps of some groups are."""
    return {"of": of, "groups": [_measured(one) for one in groups]}


def _measured(one: OldGroup) -> dict[str, Any]:
    sanity = one.document["sanity"]
    correlations = sanity["rank_correlation"]
    return {
        "name": one.name,
        "title": one.title,
        "images": len(one.rows),
        "numbers": _numbers(one),
        "curves": {pair: _curves(f"{one.name}/{pair}") for pair in _areas(one)},
        "random": _curves(f"{one.name}/random"),
        "sanity": {
            "layers": sanity["layers"],
            "rank_correlation": {method: array(f"{one.name}/sanity/{method}") for method in correlations},
            "similarity": {},
            "seed": 0,
        },
        "passes": sanity["passes"],
        "agreement": {_pair(*row["methods"], row["layer"]): _mean(row) for row in one.document["agreement"]},
        "randomised": {method: [_mean(step) for step in steps] for method, steps in correlations.items()},
    }


def _curves(key: str) -> dict[str, Any]:
    return {"fractions": array("fractions"), **{end: array(f"{key}/{end}") for end in ("deletion", "insertion")}}


def _areas(one: OldGroup) -> dict[str, dict[str, float]]:
    """Return the mean areas below the curves of each kind of map."""
    rows = {_pair(row["method"], row["layer"]): row for row in one.document["measures"]}
    return {
        pair: {end: row[end]["mean"] for end in ("deletion", "insertion")}
        for pair, row in rows.items()
        if row["deletion"]["mean"] is not None
    }


def faithfulness_arrays(groups: Sequence[OldGroup]) -> dict[str, Any]:
    """Return the arrays of `faithfulness`: curves of two points that have the areas kept, and means over images."""
    arrays: dict[str, Any] = {NOTHING: [], "fractions": [0.0, 1.0]}
    for one in groups:
        areas = {**_areas(one), "random": one.document["random_order"]}
        for pair, ends in areas.items():
            arrays |= {f"{one.name}/{pair}/{end}": [[area, area]] for end, area in ends.items()}
        for method, steps in one.document["sanity"]["rank_correlation"].items():
            values = [[float("nan") if step["mean"] is None else step["mean"]] for step in steps]
            arrays[f"{one.name}/sanity/{method}"] = values
    return arrays
