"""What the explorer's server answers: each class is a type of its OpenAPI schema, and so one of the page's TypeScript.

Arrays travel as bytes, described by `ArrayMeta` in the header X-Arrays; the header X-Meta holds the route's Meta model.
"""

from glassnet.explorer.schemas.base import Answer, ArrayMeta, Dtype, Job, Measure, Problem
from glassnet.explorer.schemas.channels import LayerChannelsMeta
from glassnet.explorer.schemas.features import (
    EmbeddingList,
    EmbeddingMeta,
    EmbeddingOnDisk,
    LabelError,
    LabelErrors,
    LayerScore,
    LayerScores,
    NeighboursMeta,
    PlaceMeta,
)
from glassnet.explorer.schemas.images import (
    Atlas,
    ChannelsMeta,
    ColumnsMeta,
    ImageFacts,
    JudgedLabel,
    JudgedLabels,
    LatentsMeta,
    MapsMeta,
    Names,
    ReadMeta,
    ReconstructionMeta,
    SegmentationMeta,
)
from glassnet.explorer.schemas.networks import Cka, Comparison, Curve, Disagreement, Network, NetworkLayer, Training
from glassnet.explorer.schemas.subjects import LayerInfo, MethodInfo, PartInfo, Session, SubjectInfo, SubjectSummary

__all__ = [
    "Answer",
    "ArrayMeta",
    "Atlas",
    "ChannelsMeta",
    "Cka",
    "ColumnsMeta",
    "Comparison",
    "Curve",
    "Disagreement",
    "Dtype",
    "EmbeddingList",
    "EmbeddingMeta",
    "EmbeddingOnDisk",
    "ImageFacts",
    "Job",
    "JudgedLabel",
    "JudgedLabels",
    "LabelError",
    "LabelErrors",
    "LatentsMeta",
    "LayerChannelsMeta",
    "LayerInfo",
    "LayerScore",
    "LayerScores",
    "MapsMeta",
    "Measure",
    "MethodInfo",
    "Names",
    "NeighboursMeta",
    "Network",
    "NetworkLayer",
    "PartInfo",
    "PlaceMeta",
    "Problem",
    "ReadMeta",
    "ReconstructionMeta",
    "SegmentationMeta",
    "Session",
    "SubjectInfo",
    "SubjectSummary",
    "Training",
]
