"""glassnet: train a vision network, then see through it.

Names are loaded when they are first used, so that `import glassnet` costs no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from glassnet.attribution import Explanation, explain
    from glassnet.attribution.engine.targets import segmented_region
    from glassnet.attribution.faithfulness import (
        Faithfulness,
        SanityCheck,
        deletion_insertion,
        faithfulness,
        sanity_check,
        share_inside,
        stroke_mask,
    )
    from glassnet.data import DATASETS, Dataset, Split, load_dataset
    from glassnet.embedding import (
        Clustering,
        Embedding,
        Quality,
        cka,
        cluster,
        embed,
        layer_scores,
        linear_probe,
        quality,
        separability,
    )
    from glassnet.errors import GlassnetError, InputError, WorkError
    from glassnet.experiment import Run
    from glassnet.models import MODELS, create_model
    from glassnet.models.features import extract_features
    from glassnet.models.summary import layer_table
    from glassnet.settings import TrainSettings
    from glassnet.training import train
    from glassnet.tuning import tune

__version__ = "0.1.0"

_HOME = {
    "GlassnetError": "errors",
    "InputError": "errors",
    "WorkError": "errors",
    "TrainSettings": "settings",
    "Run": "experiment",
    "train": "training",
    "DATASETS": "data",
    "Dataset": "data",
    "Split": "data",
    "load_dataset": "data",
    "MODELS": "models",
    "create_model": "models",
    "layer_table": "models.summary",
    "extract_features": "models.features",
    "embed": "embedding",
    "Embedding": "embedding",
    "cluster": "embedding",
    "Clustering": "embedding",
    "quality": "embedding",
    "Quality": "embedding",
    "cka": "embedding",
    "layer_scores": "embedding",
    "linear_probe": "embedding",
    "separability": "embedding",
    "tune": "tuning",
    "explain": "attribution",
    "Explanation": "attribution",
    "Faithfulness": "attribution.faithfulness",
    "SanityCheck": "attribution.faithfulness",
    "deletion_insertion": "attribution.faithfulness",
    "faithfulness": "attribution.faithfulness",
    "sanity_check": "attribution.faithfulness",
    "segmented_region": "attribution.engine.targets",
    "share_inside": "attribution.faithfulness",
    "stroke_mask": "attribution.faithfulness",
}

__all__ = [
    "DATASETS",
    "MODELS",
    "Clustering",
    "Dataset",
    "Embedding",
    "Explanation",
    "Faithfulness",
    "GlassnetError",
    "InputError",
    "Quality",
    "Run",
    "SanityCheck",
    "Split",
    "TrainSettings",
    "WorkError",
    "cka",
    "cluster",
    "create_model",
    "deletion_insertion",
    "embed",
    "explain",
    "extract_features",
    "faithfulness",
    "layer_scores",
    "layer_table",
    "linear_probe",
    "load_dataset",
    "quality",
    "sanity_check",
    "segmented_region",
    "separability",
    "share_inside",
    "stroke_mask",
    "train",
    "tune",
]


def __getattr__(name: str) -> Any:
    """Load a public name from its home when it is first used."""
    if name not in _HOME:
        raise AttributeError(f"module 'glassnet' has no attribute '{name}'")
    value = getattr(import_module(f"glassnet.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names."""
    return sorted([*__all__, "__version__"])
