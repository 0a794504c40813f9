"""A classifier's evaluation: confusion matrix, worst mistakes, and a table of the classes."""

from __future__ import annotations

import numpy as np

from glassnet import figures
from glassnet.commands.evaluated import Evaluated, Shown
from glassnet.tables import text_table


def _arrays(found: Evaluated) -> dict[str, np.ndarray]:
    probabilities = found.records["logits"].softmax(dim=1).numpy()
    return {"probabilities": probabilities, "targets": found.records["targets"].numpy()}


def _draw(found: Evaluated) -> None:
    result, classes = found.result, found.dataset.classes
    confusion = np.array(result["confusion"])
    wrong = int(result["images"] - np.trace(confusion))
    found.run.save_figure(
        f"confusion-matrix{found.suffix}",
        figures.confusion_matrix(confusion, classes),
        title="Confusion matrix",
        alt=f"Table of true against predicted classes: {result['images']:,} images, {wrong} off the diagonal.",
        caption="Rows are true classes, columns predicted ones; each cell counts images.",
    )
    kept = _arrays(found)
    probabilities, images = kept["probabilities"], found.split.take(slice(None))[0]
    found.run.save_figure(
        f"worst-mistakes{found.suffix}",
        figures.worst_mistakes(images.numpy(), kept["targets"], probabilities.argmax(axis=1), probabilities, classes),
        title="Worst mistakes",
        alt="Wrongly classified images of the highest confidence, each with its true and its predicted class.",
        caption=f"{wrong} of {result['images']:,} images are classified wrongly; the most confident of them are shown.",
    )


def _text(found: Evaluated) -> str:
    result = found.result
    low, high = result["accuracy_interval"]
    rows = [
        (
            row["class"],
            row["images"],
            *(f"{row[k]:.4f}" if row[k] is not None else "–" for k in ("precision", "recall", "f1")),
        )
        for row in result["per_class"]
    ]
    return (
        f"{found.run.name} on {result['data']} ({result['split']}, {result['images']:,} images): "
        f"loss {result['loss']:.4f}, accuracy {result['accuracy']:.4f} (95% interval {low:.4f} to {high:.4f}), "
        f"calibration error {result['calibration_error']:.4f}\n\n"
        + text_table(("class", "images", "precision", "recall", "f1"), rows)
    )


SHOWN = Shown(_arrays, _draw, _text)
