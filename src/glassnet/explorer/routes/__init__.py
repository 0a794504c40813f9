"""The routes: a file for what belongs together, a line here."""

from __future__ import annotations

from fastapi import APIRouter

from glassnet.explorer.routes import (
    channels,
    embedding,
    images,
    labels,
    maps,
    masks_and_codes,
    neighbours,
    session,
    training,
)

ROUTERS: dict[str, APIRouter] = {
    "session": session.ROUTER,
    "images": images.ROUTER,
    "embedding": embedding.ROUTER,
    "training": training.ROUTER,
    "maps": maps.ROUTER,
    "neighbours": neighbours.ROUTER,
    "channels": channels.ROUTER,
    "labels": labels.ROUTER,
    "masks_and_codes": masks_and_codes.ROUTER,
}
