"""The routes: a file for what belongs together, a line here."""

from __future__ import annotations

from fastapi import APIRouter

from glassnet.explorer.routes import images, session

ROUTERS: dict[str, APIRouter] = {
    "session": session.ROUTER,
    "images": images.ROUTER,
}
