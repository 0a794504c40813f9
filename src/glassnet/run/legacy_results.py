"""What the evaluations and embeddings of schema 1 say, as analysis.json says it today: plain values, arrays by key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

ALL_IMAGES, PERPLEXITY = 5000, 30.0
"""What was asked for where nothing was said."""
OVERLAP = ("pixel_accuracy", "mean_accuracy", "mean_iou", "weighted_iou", "boundary_f")
MEASURES = (
    *("explained_variance", "kl_divergence", "ari", "nmi", "silhouette", "trustworthiness", "continuity"),
    *("neighbours_kept", "distance_correlation", "knn_accuracy"),
)
"""Measures of a picture of features that have the name of today; `accuracy` is `cluster_accuracy` now."""
_APART = ("data", "split", "precision", "versions", "selection")
"""What stands in an old evaluation and is no result."""


def array(key: str) -> dict[str, str]:
    """Name an array of the result."""
    return {"array": key}


def evaluation(record: Mapping[str, Any], arrays: Sequence[str]) -> dict[str, Any]:
    """Return the result of an evaluation, whatever the task."""
    result = {key: value for key, value in record.items() if key not in _APART}
    if "per_class" in record:
        result["per_class"] = [
            {"name": row["class"], **{key: value for key, value in row.items() if key != "class"}}
            for row in record["per_class"]
        ]
    if "psnr" in record:
        return result | {"values": {name: array(name) for name in arrays}}
    if "mean_iou" in record:
        return _segmentation(result)
    return result | {name: array(name) for name in ("probabilities", "targets")}


def _segmentation(result: Mapping[str, Any]) -> dict[str, Any]:
    flipped = result.get("flipped")
    return {
        **{key: value for key, value in result.items() if not key.endswith("_interval")},
        "intervals": _intervals(result),
        "counts": array("counts"),
        "flipped": None if flipped is None else {key: flipped.get(key) for key in OVERLAP},
        "flipped_intervals": None if flipped is None else _intervals(flipped),
    }


def _intervals(measured: Mapping[str, Any]) -> dict[str, Any]:
    return {key: measured[f"{key}_interval"] for key in OVERLAP if f"{key}_interval" in measured}


def images_asked(manifest: Mapping[str, Any], images: int, part: str) -> int:
    """Return how many images were asked for: of so many as there are, what was asked where nothing was said."""
    data = manifest["data"]
    whole = data["test"] if part == "test" else data["train"] + data["validation"]
    return ALL_IMAGES if images == whole <= ALL_IMAGES else images


def features(layer: str) -> dict[str, Any]:
    """Return the features of a layer."""
    return {"layer": layer, "files": None, **{key: array(key) for key in ("features", "labels", "numbers")}}


def embedding_settings(manifest: Mapping[str, Any], picture: Mapping[str, Any], images: int) -> dict[str, Any]:
    """Return a picture's own settings, those that are today's usual ones as nothing."""
    method, told = picture["method"], picture["settings"]
    usual = min(PERPLEXITY, (images - 1) / 3)
    perplexity = told.get("perplexity") if method == "tsne" else None
    several = perplexity if isinstance(perplexity, list) else [perplexity]
    free = picture["clustering"] == "hdbscan" or picture["clusters"] == len(manifest["data"]["classes"])
    return {
        "method": method,
        "dims": picture["dims"],
        "engine": told.get("engine", "glassnet"),
        "perplexity": None if perplexity in (None, usual) else several,
        "clustering": picture["clustering"],
        "clusters": None if free else picture["clusters"],
    }


def embedding(
    record: Mapping[str, Any], picture: Mapping[str, Any], components: Sequence[float] | None
) -> dict[str, Any]:
    """Return a picture of a layer's features."""
    silhouette = picture.get("class_silhouette")
    more = {} if silhouette is None else {"silhouette of the classes": round(silhouette, 3)}
    return {
        "layer": record["layer"],
        "method": picture["method"],
        **{key: array(key) for key in ("points", "labels", "numbers", "assignment")},
        "files": None,
        "clustering": picture["clustering"],
        "matching": None,
        "clusters": picture["clusters"],
        "fitted": picture["clusters_fitted"],
        "features": record["features"],
        "method_settings": picture["settings"] | more,
        "measures": {"cluster_accuracy": picture["accuracy"], **{key: picture[key] for key in MEASURES}},
        "neighbours": picture["neighbours"],
        "sample": picture["sample"],
        "noise_share": picture["noise_share"],
        "components": None if components is None else array("components"),
    }


def layers_settings(manifest: Mapping[str, Any], record: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was compared."""
    names = [row["layer"] for row in record["layers"]]
    return {
        "layers": ["conv", "linear"] if names == of_kind(manifest, "Conv", "Linear") else names,
        "against": None,
        "images": images_asked(manifest, record["test_images"], "test"),
        "seed": record["seed"],
        "precision": record["precision"],
    }


def layers(record: Mapping[str, Any], aligned: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the layers compared, and how alike they are within the run and with others."""
    return {
        "rows": record["layers"],
        "alignments": [
            {
                "against": one["against"] or "",
                **{key: one[key] for key in ("first", "second", "images")},
                "matrix": array(f"matrix/{place}"),
            }
            for place, one in enumerate(aligned)
        ],
        "fitted": record["train_images"],
        "scored": record["test_images"],
        "neighbours": record["neighbours"],
        "part": "training images",
    }


def matrices(aligned: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the arrays of `layers`."""
    return {f"matrix/{place}": one["matrix"] for place, one in enumerate(aligned)}


def of_kind(manifest: Mapping[str, Any], *kinds: str) -> list[str]:
    """Name the run's layers of some kinds."""
    return [row["name"] for row in manifest["model"]["layers"] if str(row["kind"]).startswith(kinds)]
