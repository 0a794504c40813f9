"""The settings of each command: one frozen dataclass per command, validated, and saved in run.json to repeat it."""

from glassnet.settings.analysis import (
    AnalysesSettings,
    EvalSettings,
    ExplainSettings,
    ExploreSettings,
    FeaturesSettings,
    ReportSettings,
)
from glassnet.settings.catalogue import DataSettings, ModelsSettings
from glassnet.settings.channels import ChannelsSettings
from glassnet.settings.convert import OLD_NAMES, from_json, to_json, to_text
from glassnet.settings.engine import TuneSettings
from glassnet.settings.train import DemoSettings, ReproduceSettings, ResolvedSettings, TrainSettings

__all__ = [
    "OLD_NAMES",
    "AnalysesSettings",
    "ChannelsSettings",
    "DataSettings",
    "DemoSettings",
    "EvalSettings",
    "ExplainSettings",
    "ExploreSettings",
    "FeaturesSettings",
    "ModelsSettings",
    "ReportSettings",
    "ReproduceSettings",
    "ResolvedSettings",
    "TrainSettings",
    "TuneSettings",
    "from_json",
    "to_json",
    "to_text",
]
