"""Figures of a run as HTML that needs no other file: SVG that follows the page's theme, PNG as data."""

import base64
import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup

from glassnet.errors import InputError
from glassnet.figures.style import GRID, INK, MUTED, SURFACE
from glassnet.report.records import mapping, text
from glassnet.run import RunDirectory

SVG_LIMIT_BYTES = 1_500_000
"""A larger SVG would make the page slow to open, so its PNG is shown instead."""
THEME = {INK: "var(--ink)", MUTED: "var(--muted)", GRID: "var(--grid)", SURFACE: "var(--surface)"}
PIXELS_PER_UNIT = {"pt": 96 / 72, "px": 1.0, "": 1.0, "in": 96.0, "mm": 96 / 25.4, "cm": 96 / 2.54}
SVG = "http://www.w3.org/2000/svg"
XLINK = "http://www.w3.org/1999/xlink"
DROPPED = frozenset(f"{{{SVG}}}{tag}" for tag in ("metadata", "style", "script", "foreignObject", "title"))


@dataclass(frozen=True)
class Picture:
    """A figure of a run: its words, and its drawing as it stands on disk."""

    name: str
    title: str
    alt: str
    caption: str
    kind: Literal["svg", "png"]
    drawing: bytes


def find_picture(run: RunDirectory, name: str) -> Picture | None:
    """Read the figure `name` of a run; None where it was not drawn.

    Raises:
        InputError: What is said of the figure is damaged.
    """
    svg, png = (run.file(f"figures/{name}.{suffix}") for suffix in ("svg", "png"))
    small = svg.exists() and svg.stat().st_size <= SVG_LIMIT_BYTES
    file = svg if small or not png.exists() else png
    if not file.exists():
        return None
    words = mapping(run, f"figures/{name}.json") if run.has(f"figures/{name}.json") else {}
    title = text(words.get("title")) or name
    kind: Literal["svg", "png"] = "svg" if file == svg else "png"
    return Picture(name, title, text(words.get("alt")) or title, text(words.get("caption")), kind, file.read_bytes())


def inline(picture: Picture, prefix: str) -> Markup:
    """Turn a picture into an element with a text alternative.

    Args:
        picture: The picture.
        prefix: What the ids inside start with, so that none stands twice in a page.

    Raises:
        InputError: The drawing is damaged.
    """
    if picture.kind == "png":
        source = base64.b64encode(picture.drawing).decode("ascii")
        width, height = _png_size(picture)
        return Markup(
            '<img class="drawing" style="--width:{}px" width="{}" height="{}" alt="{}" src="data:image/png;base64,{}">'
        ).format(width, width, height, picture.alt, source)
    try:
        root = ET.fromstring(picture.drawing)
    except ET.ParseError as error:
        raise InputError(f"figures/{picture.name}.svg is damaged ({error}); draw it again.") from None
    if root.tag != f"{{{SVG}}}svg":
        raise InputError(f"figures/{picture.name}.svg is no SVG drawing; draw it again.")
    _clean(root)
    _retouch(root, prefix)
    _frame(root, picture.alt)
    ET.register_namespace("", SVG)
    ET.register_namespace("xlink", XLINK)
    return Markup(ET.tostring(root, encoding="unicode"))


def _png_size(picture: Picture) -> tuple[int, int]:
    """Read a PNG's size and bring it from the 150 dpi of `save_figure` to the 96 of a page."""
    header = picture.drawing[:24]
    if len(header) < 24 or not header.startswith(b"\x89PNG\r\n\x1a\n"):
        raise InputError(f"figures/{picture.name}.png is damaged (it is no PNG image); draw it again.")
    width, height = int.from_bytes(header[16:20], "big"), int.from_bytes(header[20:24], "big")
    return round(width * 96 / 150), round(height * 96 / 150)


def _clean(root: ET.Element) -> None:
    """Drop what a still picture has no use for, and what could run or load something."""
    for parent in root.iter():
        for child in [child for child in parent if child.tag in DROPPED]:
            parent.remove(child)
        for name, value in list(parent.attrib.items()):
            is_link = name.endswith("href") and not value.startswith(("#", "data:image/"))
            if is_link or name.lower().startswith("on"):
                del parent.attrib[name]


def _retouch(root: ET.Element, prefix: str) -> None:
    """Make ids unique to the page, and named colours follow its theme."""
    colours = re.compile("|".join(map(re.escape, THEME)), re.IGNORECASE)
    for element in root.iter():
        for name, value in element.attrib.items():
            if name == "id":
                element.set(name, prefix + value)
            elif name.endswith("href"):
                element.set(name, f"#{prefix}{value[1:]}" if value.startswith("#") else value)
            else:
                value = re.sub(r"url\([\"']?#([^)\"']+)[\"']?\)", rf"url(#{prefix}\1)", value)
                element.set(name, colours.sub(lambda found: THEME[found.group().lower()], value))


def _frame(root: ET.Element, alt: str) -> None:
    """Give the drawing its width in pixels and its text alternative."""
    width, height = (_pixels(root.get(side, "")) for side in ("width", "height"))
    if width is None or height is None:
        width, height = 640.0, 480.0
    root.attrib.setdefault("viewBox", f"0 0 {width:g} {height:g}")
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    root.attrib.update({"class": "drawing", "role": "img", "aria-label": alt, "style": f"--width:{width:.0f}px"})


def _pixels(length: str) -> float | None:
    match = re.fullmatch(r"([0-9.]+)\s*([a-z]*)", length.strip())
    return float(match[1]) * PIXELS_PER_UNIT[match[2]] if match and match[2] in PIXELS_PER_UNIT else None
