"""`glassnet features`: what layers know, as pictures with numbers beside them, and layer beside layer."""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from glassnet import figures
from glassnet.commands.answer import Answer
from glassnet.commands.feature_pictures import TITLES, Embedded, embed_all, keep_picture
from glassnet.commands.layer_comparison import compare, keep_comparison
from glassnet.data import Split
from glassnet.data.sampling import balanced_draw
from glassnet.devices import choose_device, choose_precision
from glassnet.errors import InputError
from glassnet.experiment import Run
from glassnet.models.features import extract_features
from glassnet.models.layers import select_layers
from glassnet.settings import FeaturesSettings
from glassnet.tables import text_table
from glassnet.versions import versions

STREAMED_FROM_IMAGES = 20_000
"""The features of more images stream to files, one a layer, that anything can map."""
_SHOWN = {
    "explained_variance": "variance",
    "ari": "ARI",
    "nmi": "NMI",
    "accuracy": "matched",
    "silhouette": "silhouette",
    "trustworthiness": "trust",
    "continuity": "contin",
    "neighbours_kept": "kept",
    "distance_correlation": "Spearman",
    "kl_divergence": "KL",
    "knn_accuracy": "kNN",
}
_MADE_BY = {
    "pca": ("scikit-learn",),
    "tsne": ("scikit-learn", "scipy", "numba", "faiss-cpu"),
    "umap": ("umap-learn", "numba"),
    "opentsne": ("openTSNE", "scikit-learn"),
}


def features(settings: FeaturesSettings) -> Answer:
    """Extract features, embed, cluster and compare them, and keep all of it in the run."""
    run = Run.open(settings.run)
    if run.task.name == "segmentation":
        raise InputError(
            f"{run.path} learned segmentation, and features are embedded by the class of each image, which it has not; "
            "`glassnet explain` shows where its layers look."
        )
    device = choose_device(settings.device)
    precision = choose_precision(settings.precision, device)
    model, data = run.model(device), run.dataset(settings.data_root)
    part: Split = getattr(data, settings.split)
    chosen = balanced_draw(part.targets, settings.images, seed=settings.seed)
    _check(settings, model, len(chosen))
    with ExitStack() as stack:
        folder = None
        if len(chosen) > STREAMED_FROM_IMAGES:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix=".features-", dir=run.path))
        images, targets = part.take(slice(None) if len(chosen) == len(part) else chosen)
        extracted = extract_features(model, images, list(settings.layers), precision=precision, out=folder)
        compared = compare(run, model, data, settings, precision)
        embedded = embed_all(extracted, targets.numpy(), settings, max(2, len(run.classes)))
        # All is computed before anything is written.
        common = {"split": settings.split, "seed": settings.seed, "precision": precision}
        arrays = {"targets": targets.numpy(), "indices": chosen.numpy()}
        documents = [_keep(run, item, arrays, common, folder) for item in embedded]
        comparison = keep_comparison(run, compared, common)
    answer = {"run": str(run.path), "layers": documents, **comparison.data}
    return Answer("\n".join([_text(documents), *comparison.lines, f"figures: {run.path / 'figures'}"]), answer)


def _check(settings: FeaturesSettings, model: nn.Module, images: int) -> None:
    """Refuse, before any work is done, what the work would refuse."""
    select_layers(model, list(settings.layers))
    largest = (images - 1) / 3
    for perplexity in settings.perplexity or ():
        if "tsne" in settings.methods and perplexity > largest:
            raise InputError(
                f"--perplexity is {perplexity:g}, expected at most {largest:g} for {images} images; "
                "lower it or use more images."
            )
    if settings.clusters is not None and not 2 <= settings.clusters <= images:
        raise InputError(f"--clusters is {settings.clusters}, expected 2 to {images}, the number of images.")
    if "umap" in settings.methods and importlib.util.find_spec("umap") is None:
        raise InputError("method 'umap' needs umap-learn; install it with `pip install 'glassnet[umap]'`.")


def _keep(
    run: Run, embedded: Embedded, arrays: Mapping[str, np.ndarray], common: Mapping[str, Any], folder: str | None
) -> dict[str, Any]:
    """Write a layer's features, pictures and numbers, and return what the report says of it."""
    layer, values = embedded.layer, embedded.features
    if folder is None:
        run.save_arrays(f"features/{layer}.npz", {"features": values, **arrays})
        run.file(f"features/{layer}.npy").unlink(missing_ok=True)  # of more images, asked for before
    else:
        run.save_arrays(f"features/{layer}.npz", arrays)
        run.file("features").mkdir(exist_ok=True)
        Path(str(getattr(values, "filename"))).replace(run.file(f"features/{layer}.npy"))  # noqa: B009
    document = {
        "layer": layer,
        "images": len(values),
        "features": values.shape[1],
        **common,
        "versions": versions(*dict.fromkeys(("torch", "matplotlib", *_makers(embedded)))),
        "pictures": [keep_picture(run, layer, picture, arrays["targets"]) for picture in embedded.pictures],
        **_keep_scree(run, embedded),
    }
    run.save_json(f"embeddings/{layer}.json", document)
    return document


def _makers(embedded: Embedded) -> Iterator[str]:
    for picture in embedded.pictures:
        engine = picture.embedding.settings.get("engine")
        yield from _MADE_BY["opentsne" if engine == "opentsne" else picture.method]


def _keep_scree(run: Run, embedded: Embedded) -> dict[str, Any]:
    shares = embedded.variance
    if shares is None:
        return {}
    name, title = f"scree-{embedded.layer}", f"Variance of {embedded.layer} by component"
    run.save_figure(
        name,
        figures.scree(shares, title=title),
        title=title,
        alt=f"{title}: a bar for each of the first components, and their running sum.",
        caption=f"Share of the variance of {len(embedded.features):,} images’ {embedded.features.shape[1]:,} features "
        "that each principal component explains, and that all up to it explain together.",
    )
    return {"scree": {"figure": name, "explained_variance": [float(share) for share in shares]}}


def _text(documents: list[dict[str, Any]]) -> str:
    rows = [
        (
            document["layer"],
            f"{TITLES[picture['method']]} {picture['dims']}-D",
            *("–" if picture[key] is None else f"{picture[key]:.3f}" for key in _SHOWN),
        )
        for document in documents
        for picture in document["pictures"]
    ]
    sizes = sorted({(d["images"], p["sample"]) for d in documents for p in d["pictures"]})
    told = ", ".join(f"{images:,} {documents[0]['split']} images, measured on {sample:,}" for images, sample in sizes)
    header = ("layer", "picture", *_SHOWN.values())
    return f"{text_table(header, rows, names=2)}\n{told}"
