"""What each command is asked to do: one frozen dataclass a command, validated, saved in run.json to be replayed."""

from glassnet.settings.analysis import (
    AnalysesSettings,
    DataSettings,
    EvalSettings,
    ExplainSettings,
    ExploreSettings,
    FeaturesSettings,
    ModelsSettings,
    ReportSettings,
)
from glassnet.settings.channels import ChannelsSettings
from glassnet.settings.convert import OLD_NAMES, from_json, to_json, to_text
from glassnet.settings.train import DemoSettings, ReproduceSettings, ResolvedSettings, TrainSettings, TuneSettings

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
