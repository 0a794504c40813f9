"""The channels of a layer: what each responds to, and what the network loses without it."""

from __future__ import annotations

from glassnet.explorer.schemas.base import Answer


class LayerChannelsMeta(Answer):
    """What was measured of a layer's channels.

    Attributes:
        layer: The layer that was asked for.
        measured: The layer that was measured: the same, or the batch normalisation behind it.
        channels: Their number.
        images: That they were measured on.
        dead: How many no image activates.
        lost: What a removed channel costs, such as "accuracy"; empty where that is not known.
        lost_is_share: Whether that is a share, to be written in percent.
        lost_images: Images that it was measured on; 0 where it was not.
        baseline: The same of the whole network; None likewise.
        notes: What was left out, and why.
        entry: In the store; empty where it is not kept.
    """

    layer: str
    measured: str
    channels: int
    images: int
    dead: int
    lost: str
    lost_is_share: bool
    lost_images: int
    baseline: float | None
    notes: list[str]
    entry: str
