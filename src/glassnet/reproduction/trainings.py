"""How the report's networks are trained here: as `glassnet train` has it by default, but for what the user says."""

from __future__ import annotations

from dataclasses import replace

from glassnet.reproduction.numbers import OWN_NETWORK
from glassnet.settings import TrainSettings
from glassnet.settings.reproduce import ReproduceSettings


def base_settings(settings: ReproduceSettings, *, model_options: tuple[str, ...] = ()) -> TrainSettings:
    """Return the settings that all trainings of a reproduction share, for the report's own network."""
    base = TrainSettings(
        data=settings.data,
        model=OWN_NETWORK,
        model_options=model_options,
        device=settings.device,
        precision=settings.precision,
        data_root=settings.data_root,
    )
    return base if settings.epochs is None else replace(base, epochs=settings.epochs)
