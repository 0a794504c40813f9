"""What can be asked of a model. A kind of analysis is one file and one line in KINDS.

`analyse` is the one way to all of them: the command line, the report, the explorer and a notebook call it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from torch import nn

from glassnet.analysis.alignment import ALIGNMENT
from glassnet.analysis.attribution import ATTRIBUTION
from glassnet.analysis.base import Analysis, Context, Kind, get, load
from glassnet.analysis.channels import CHANNELS
from glassnet.analysis.embedding import EMBEDDING
from glassnet.analysis.evaluation import EVALUATION
from glassnet.analysis.examples import EXAMPLES
from glassnet.analysis.faithfulness import FAITHFULNESS
from glassnet.analysis.features import FEATURES
from glassnet.analysis.layers import LAYERS
from glassnet.analysis.predictions import PREDICTIONS
from glassnet.analysis.ranking import RANKING
from glassnet.devices import choose_device
from glassnet.errors import InputError, unknown_name
from glassnet.experiment import Run
from glassnet.models.layers import layer_words
from glassnet.settings import from_json
from glassnet.subject import Subject, as_subject

__all__ = ["KINDS", "Analysis", "Context", "Kind", "analyse", "evaluate", "get", "load", "stored"]

KINDS: dict[str, Kind] = {
    "evaluation": EVALUATION,
    "features": FEATURES,
    "embedding": EMBEDDING,
    "layers": LAYERS,
    "alignment": ALIGNMENT,
    "attribution": ATTRIBUTION,
    "faithfulness": FAITHFULNESS,
    "ranking": RANKING,
    "channels": CHANNELS,
    "examples": EXAMPLES,
    "predictions": PREDICTIONS,
}


def analyse(
    subject: Subject | Run | str | Path,
    kind: str,
    *,
    name: str | None = None,
    device: str = "auto",
    data_root: Path | None = None,
    context: Context | None = None,
    figures: bool = True,
    **settings: Any,
) -> Analysis:
    """Return an analysis of a subject. If one with the same settings has been kept, it is not computed again.

    Args:
        subject: A `Subject`, a `Run`, or the path of a run.
        kind: Key of KINDS.
        name: Name of a new analysis; by default a short name made from its settings.
        device: Where to compute: "auto", "cpu" or "cuda".
        data_root: Folder that holds the data sets; default: the one used when the run was trained.
        context: Intermediate results that several analyses of the same subject can share; a new one if not given.
        figures: Whether to draw figures; see `get`.
        settings: Fields of the kind's request, as in layer="fc1" or layers=[model.conv1]. For faithfulness, also those
            of its attribution.

    Returns:
        The settings, the result, and where it is kept.

    Raises:
        InputError: There is no such kind or setting, or for a reason given by the kind's `compute`.
    """
    if kind not in KINDS:
        raise unknown_name("kind of analysis", kind, KINDS, noun="kinds")
    context, subject = context or Context(choose_device(device), data_root), as_subject(subject, data_root=data_root)
    request = build_request(kind, _with_layer_names(subject, settings, context))
    return get(KINDS[kind], subject, request, context=context, name=name, figures=figures)


def _with_layer_names(subject: Subject, settings: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """Put names in place of the modules that stand for layers.

    Raises:
        InputError: One is not in the model.
    """

    def named(key: str, value: Any) -> Any:
        if isinstance(value, Mapping):
            return _with_layer_names(subject, value, context)
        several = value if isinstance(value, list | tuple) else [value]
        if key not in ("layer", "layers") or not any(isinstance(one, nn.Module) for one in several):
            return value
        words = layer_words(context.once(("model", id(subject)), lambda: subject.model(context.device)), value)
        return words[0] if key == "layer" and len(words) == 1 else words

    return {key: named(key, value) for key, value in settings.items()}


def build_request(kind: str, settings: dict[str, Any]) -> Any:
    """Build a kind's request from its fields, and from those of a request that is one of its fields.

    Raises:
        InputError: There is no such field, one that must be given is not, or a value is none of its field's.
    """
    return _built(KINDS[kind].request, kind, settings)


def _built(request: type, kind: str, settings: Mapping[str, Any]) -> Any:
    fields = {field.name: field for field in dataclasses.fields(request)}
    for name, field in fields.items():
        inner: Any = field.default_factory
        if dataclasses.is_dataclass(inner):
            settings = _with_inner(name, cast(type, inner), fields, settings)
    for name in settings:
        if name not in fields:
            raise unknown_name("setting", name, fields, where=f" of {kind}", noun="settings")
    lacking = [name for name, field in fields.items() if _must_be_given(field) and name not in settings]
    if lacking:
        raise InputError(f"{kind} needs {' and '.join(lacking)}; give it, as in {lacking[0]}='fc1'.")
    values = {name: _plain(fields[name], value) for name, value in settings.items()}
    requests = {name: value for name, value in values.items() if dataclasses.is_dataclass(value)}
    plain = {name: value for name, value in values.items() if name not in requests}
    return dataclasses.replace(from_json(request, plain), **requests)


def _with_inner(name: str, inner: type, outer: Collection[str], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Gather the settings of a field that is a request itself: a mapping under its name, or loose among the others."""
    given = settings.get(name, {})
    if not isinstance(given, Mapping) and not dataclasses.is_dataclass(given):
        return dict(settings)  # refused as no value of the field
    own = {field.name for field in dataclasses.fields(inner)} - set(outer)
    loose = {key: value for key, value in settings.items() if key in own}
    known = {**(vars(given) if dataclasses.is_dataclass(given) else given), **loose}
    rest = {key: value for key, value in settings.items() if key not in own}
    return {**rest, name: _built(inner, name, known)}


def _must_be_given(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _plain(field: dataclasses.Field[Any], value: Any) -> Any:
    """Take a list, or one text, where a tuple is wanted, numbers for --images, and NumPy's; 30 and 30.0 are one."""
    value = value.item() if isinstance(value, np.generic) else value
    if field.name == "images" and field.type == "str" and not isinstance(value, str):
        return str(value) if isinstance(value, Path) else ",".join(map(str, np.atleast_1d(value).tolist()))
    if "tuple" not in str(field.type) or value is None:
        return value
    several = (value,) if isinstance(value, str | int | float) else tuple(value)
    return tuple(map(float, several)) if "float" in str(field.type) else several


def evaluate(
    subject: Subject | Run | str | Path,
    *,
    data: str | None = None,
    split: str = "test",
    flip: bool = False,
    nll_samples: int | None = None,
    nll_images: int | None = None,
    precision: str = "fp32",
    device: str = "auto",
    data_root: Path | None = None,
    name: str | None = None,
) -> Any:
    """Measure a model on images and return the measures of its task, with intervals.

    Args:
        subject: A `Subject`, a `Run`, or the path of a run.
        data: Another data set to measure a run on.
        split: "test" or "train".
        flip: Segmentation: also measure the prediction averaged over each image and its mirror image.
        nll_samples: Variational autoencoder: number of codes per image from which to estimate the likelihood by
            importance sampling (Burda et al. 2016), as .importance of the result; papers use 5,000. None skips it.
        nll_images: Number of images for this, the first ones; None for all.
        precision: "fp32" or "bf16".
        device: Where to compute.
        data_root: Folder that holds the data sets.
        name: Name to keep the analysis under.

    Returns:
        The task's result: a frozen dataclass such as `Classification`, with .accuracy and .accuracy_interval.

    Raises:
        InputError: There are no labels, or data set and model do not fit each other.
    """
    settings: dict[str, Any] = {"data": data, "split": split, "flip": flip, "precision": precision}
    settings |= {"nll_samples": nll_samples, "nll_images": nll_images}
    return analyse(subject, "evaluation", name=name, device=device, data_root=data_root, **settings).result


def stored(subject: Subject, kind: str | None = None) -> Sequence[Analysis]:
    """Return the analyses that are kept of a subject, of one kind or of all, the oldest first.

    Raises:
        InputError: One is damaged.
    """
    if subject.store is None:
        return []
    return [load(KINDS[entry.kind], subject, entry) for entry in subject.store.entries(kind) if entry.kind in KINDS]
