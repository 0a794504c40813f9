"""Drawings made safe to stand inside a page: only elements, attributes and styles on a list pass."""

import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass

from markupsafe import Markup

from glassnet.errors import InputError
from glassnet.figures.style import GRID, INK, MUTED, SURFACE

SVG = "http://www.w3.org/2000/svg"
XLINK = "http://www.w3.org/1999/xlink"
THEME = {INK: "var(--ink)", MUTED: "var(--muted)", GRID: "var(--grid)", SURFACE: "var(--surface)"}
PIXELS_PER_UNIT = {"pt": 96 / 72, "px": 1.0, "": 1.0, "in": 96.0, "mm": 96 / 25.4, "cm": 96 / 2.54}
LEAST_TEXT_PIXELS = 11.0

ELEMENTS = frozenset(
    (
        "svg", "g", "defs", "symbol", "use", "path", "rect", "circle", "ellipse", "line", "polyline", "polygon",
        "text", "tspan", "image", "clipPath", "mask", "marker", "pattern", "linearGradient", "radialGradient", "stop",
    )
)  # fmt: skip
PAINT = frozenset(
    (
        "fill", "fill-opacity", "fill-rule", "stroke", "stroke-width", "stroke-opacity", "stroke-linecap",
        "stroke-linejoin", "stroke-dasharray", "stroke-dashoffset", "stroke-miterlimit", "opacity", "clip-path",
        "clip-rule", "mask", "marker-start", "marker-mid", "marker-end", "stop-color", "stop-opacity", "color",
        "font", "font-family", "font-size", "font-style", "font-weight", "font-variant", "font-stretch", "text-anchor",
        "dominant-baseline", "alignment-baseline", "baseline-shift", "letter-spacing", "word-spacing", "paint-order",
        "visibility", "image-rendering", "shape-rendering", "text-rendering", "vector-effect", "white-space",
    )
)  # fmt: skip
"""What both an attribute and a style may set; none of it moves a drawing out of its place."""
GEOMETRY = frozenset(
    (
        "id", "style", "d", "x", "y", "x1", "y1", "x2", "y2", "cx", "cy", "r", "rx", "ry", "fx", "fy", "dx", "dy",
        "width", "height", "points", "offset", "rotate", "transform", "viewBox", "preserveAspectRatio", "href",
        "gradientUnits", "gradientTransform", "spreadMethod", "patternUnits", "patternContentUnits",
        "patternTransform", "clipPathUnits", "maskUnits", "maskContentUnits", "markerWidth", "markerHeight",
        "markerUnits", "refX", "refY", "orient", "textLength", "lengthAdjust",
    )
)  # fmt: skip
LINK = re.compile(r"#[\w.-]+|data:image/(?:png|jpeg);base64,[A-Za-z0-9+/=]*")
LOCAL = re.compile(r"url\(\s*[\"']?#([\w.-]+)[\"']?\s*\)")
DANGER = re.compile(r"url\(|expression|javascript|[\\@<>{}]|/\*", re.IGNORECASE)
NUMBER = r"\d{1,6}(?:\.\d{0,9})?|\.\d{1,9}"
FONT_SIZE = re.compile(rf"\bfont(?:-size)?:[^;]*?(?<![\d.])({NUMBER})px")


@dataclass(frozen=True)
class Drawing:
    """A drawing ready for a page."""

    markup: Markup
    width: float
    """Width in pixels at which it stands best."""
    least: float
    """Width in pixels below which its smallest text could not be read."""


def safe_svg(drawing: bytes, *, name: str, alt: str, prefix: str) -> Drawing:
    """Turn an SVG file into an element that follows the page's theme and can neither run, load nor cover anything.

    Args:
        drawing: The file.
        name: What an error calls it.
        alt: Its text alternative.
        prefix: What the ids inside start with, so that none stands twice in a page.

    Raises:
        InputError: It is no SVG, or damaged.
    """
    root = _parse(drawing, name)
    try:
        _clean(root)
    except RecursionError:
        raise InputError(f"{name}.svg is nested too deeply, expected a plain drawing; draw it again.") from None
    _finish(root, prefix)
    width, height = (_pixels(root.get(side, "")) for side in ("width", "height"))
    if not width or not height:
        width, height = 640.0, 480.0
    root.attrib.setdefault("viewBox", f"0 0 {width:g} {height:g}")
    least = _least_width(root, width)
    width = max(width, least)
    for side in ("width", "height"):
        root.attrib.pop(side, None)
    root.attrib.update({"class": "drawing", "role": "img", "aria-label": alt})
    root.set("style", f"--width:{width:.0f}px;--least:{least:.0f}px")
    ET.register_namespace("", SVG)
    ET.register_namespace("xlink", XLINK)
    return Drawing(Markup(ET.tostring(root, encoding="unicode")), width, least)


def _parse(drawing: bytes, name: str) -> ET.Element:
    if b"<!ENTITY" in drawing:
        raise InputError(f"{name}.svg declares entities, expected a plain drawing; draw it again.")
    try:
        root = ET.fromstring(drawing)
    except ET.ParseError as error:
        raise InputError(f"{name}.svg is damaged ({error}); draw it again.") from None
    if root.tag != f"{{{SVG}}}svg":
        raise InputError(f"{name}.svg is no SVG drawing; draw it again.")
    return root


def _clean(parent: ET.Element) -> None:
    """Drop every element and attribute that is not on a list; what a link holds stays as a group."""
    for key, value in list(parent.attrib.items()):
        name = "href" if key == f"{{{XLINK}}}href" else key
        del parent.attrib[key]
        if (allowed := _attribute(name, value)) is not None:
            parent.set(key, allowed)
    for child in list(parent):
        if child.tag == f"{{{SVG}}}a":
            child.tag = f"{{{SVG}}}g"
        if child.tag in {f"{{{SVG}}}{tag}" for tag in ELEMENTS}:
            _clean(child)
        else:
            parent.remove(child)


def _attribute(name: str, value: str) -> str | None:
    """Return an attribute's value as it may stand, None where it may not."""
    if name == "href":
        link = re.sub(r"\s", "", value)
        return link if LINK.fullmatch(link) else None
    if name == "style":
        pairs = (part.split(":", 1) for part in value.split(";") if ":" in part)
        return "; ".join(f"{key.strip()}: {text.strip()}" for key, text in pairs if _paints(key.strip(), text))
    if name in GEOMETRY or name in PAINT:
        return None if DANGER.search(LOCAL.sub("", value)) else value
    return None


def _paints(key: str, value: str) -> bool:
    return key in PAINT and not DANGER.search(LOCAL.sub("", value))


def _finish(root: ET.Element, prefix: str) -> None:
    """Make ids unique to the page, and named colours follow its theme."""
    colours = re.compile("|".join(map(re.escape, THEME)), re.IGNORECASE)
    for element in root.iter():
        for name, value in element.attrib.items():
            if name == "id":
                element.set(name, prefix + value)
            elif name.endswith("href"):
                element.set(name, f"#{prefix}{value[1:]}" if value.startswith("#") else value)
            else:
                value = LOCAL.sub(rf"url(#{prefix}\1)", value)
                element.set(name, colours.sub(lambda match: THEME[match.group().lower()], value))


def _least_width(root: ET.Element, width: float) -> float:
    """Find the width at which the smallest text has eleven pixels; without text any three fifths of its own do."""
    sizes = [float(size) for text in root.iter() for size in FONT_SIZE.findall(text.get("style", ""))]
    sizes += [float(text.get("font-size", "").removesuffix("px")) for text in root.iter() if _is_size(text)]
    box = root.get("viewBox", "").replace(",", " ").split()
    if not sizes or len(box) != 4 or not re.fullmatch(NUMBER, box[2]):
        return 0.6 * width
    return min(float(box[2]) * LEAST_TEXT_PIXELS / max(min(sizes), 1.0), 2 * width)


def _is_size(element: ET.Element) -> bool:
    return bool(re.fullmatch(rf"(?:{NUMBER})(?:px)?", element.get("font-size", "")))


def _pixels(length: str) -> float | None:
    match = re.fullmatch(rf"({NUMBER})\s*([a-z]*)", length.strip())
    return float(match[1]) * PIXELS_PER_UNIT[match[2]] if match and match[2] in PIXELS_PER_UNIT else None
