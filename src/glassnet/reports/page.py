"""A page of blocks → one HTML file with everything inside: no other file, no network, readable without scripts."""

import base64
import hashlib
from collections.abc import Callable, Iterable
from importlib.resources import files
from types import MappingProxyType
from typing import Any

from jinja2 import BytecodeCache, Environment, PackageLoader, StrictUndefined
from jinja2.bccache import Bucket
from markupsafe import Markup

import glassnet
from glassnet import blocks
from glassnet.blocks import Block, Example, Page, Picture, Points, RunReport
from glassnet.console import printable
from glassnet.errors import InputError
from glassnet.formats import percent
from glassnet.reports.confusion import confusion_view
from glassnet.reports.scatter import points_data, scatter_view
from glassnet.reports.svg import Drawing, safe_svg
from glassnet.tables import Table

STYLES = ("page", "blocks", "moving")
SCRIPTS = ("theme", "layout", "tip", "panel", "save", "scatter", "start")
"""Files of templates/js in the order in which they make one script."""
MACROS = MappingProxyType(
    {
        blocks.Prose: "prose",
        blocks.Terms: "terms",
        blocks.Missing: "missing",
        Table: "table",
        Picture: "picture",
        blocks.Gallery: "gallery",
        blocks.Answers: "answers",
        blocks.ConfusionMatrix: "confusion",
        blocks.Scatter: "scatter",
        blocks.Row: "row",
        blocks.Fold: "fold",
    }
)
"""Block → its macro in templates/blocks.html.j2."""
VIEWS: MappingProxyType[type, Callable[[Any], Any]] = MappingProxyType(
    {blocks.ConfusionMatrix: confusion_view, blocks.Scatter: scatter_view}
)
"""Blocks whose macro takes a second argument, computed here."""


def render(page: Page) -> str:
    """Write a page.

    Raises:
        InputError: The page has no run, or a drawing in it is damaged.
    """
    if not page.runs:
        raise InputError("no run was given, expected at least one run directory; train one with `glassnet train`.")
    script = '(() => {\n"use strict";\n' + "\n".join(_resource(f"js/{name}.js") for name in SCRIPTS) + "})();\n"
    writer = _Writer()
    several = len(page.runs) > 1
    runs = [writer.run(run, f"run{number}-" if several else "") for number, run in enumerate(page.runs, 1)]
    written = writer.environment.get_template("page.html.j2").render(
        page=page,
        runs=runs,
        several=several,
        comparison=writer.show(page.comparison) if page.comparison else "",
        version=glassnet.__version__,
        policy=_policy(script),
        style=Markup("\n".join(_resource(f"css/{name}.css") for name in STYLES)),
        script=Markup(script),
    )
    return printable(written)


class _Compiled(BytecodeCache):
    """The templates as code, for all pages of a process: to compile them takes a fifth of the time of a page."""

    def __init__(self) -> None:
        self.codes: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        """Give the code of a template where it is there."""
        if bucket.key in self.codes:
            bucket.bytecode_from_string(self.codes[bucket.key])

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keep the code of a template."""
        self.codes[bucket.key] = bucket.bytecode_to_string()


_COMPILED = _Compiled()


class _Writer:
    """What must be known of the whole page while its blocks are written: ids given, images and points that stand."""

    def __init__(self) -> None:
        self.environment = Environment(
            loader=PackageLoader("glassnet.reports"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            bytecode_cache=_COMPILED,
        )
        self.environment.globals.update(
            show=self.show, place=self.place, link=self.link, image=_png, is_small=_is_small, drawing=self.drawing,
            points=self.points, new_id=self.new_id, percent=percent,
        )  # fmt: skip
        self.macros: Any = self.environment.get_template("blocks.html.j2").module
        self.number = 0
        self.prefix = ""
        self.examples: dict[int, Example] = {}
        self.placed: set[int] = set()
        self.linked: set[int] = set()
        self.shared: list[Points] = []

    def run(self, run: RunReport, prefix: str) -> dict[str, Any]:
        """Write a run's sections, and the examples that only a cell or a point leads to."""
        self.prefix, self.placed, self.linked = prefix, set(), set()
        self.examples = {example.id: example for example in run.examples}
        sections = [(section, Markup("").join(map(self.show, section.blocks))) for section in run.sections]
        hidden = [key for key in self.examples if key in self.linked - self.placed]
        return {"report": run, "prefix": prefix, "sections": sections, "hidden": [self.macros.card(k) for k in hidden]}

    def show(self, block: Block) -> Markup:
        """Write one block."""
        if isinstance(block, blocks.Template):
            return Markup(self.environment.from_string(block.source).render(**block.context))
        macro = getattr(self.macros, MACROS[type(block)])
        view = VIEWS.get(type(block))
        return macro(block, view(block)) if view else macro(block)

    def new_id(self) -> str:
        """Give an id that stands nowhere else."""
        self.number += 1
        return f"f{self.number}"

    def place(self, key: int) -> dict[str, Any]:
        """Look an example up; the first time it is written it gets the address that links lead to."""
        first = key not in self.placed
        self.placed.add(key)
        return {"example": self._known(key), "address": self.link([key]), "first": first}

    def link(self, keys: Iterable[int]) -> str:
        """Note that something leads to these examples, and give the addresses of all."""
        known = [self._known(key).id for key in keys]
        self.linked.update(known)
        return " ".join(f"{self.prefix}image-{key}" for key in known)

    def _known(self, key: int) -> Example:
        if key not in self.examples:
            raise ValueError(f"example {key} is not among the run's {len(self.examples)} examples")
        return self.examples[key]

    def drawing(self, picture: Picture) -> Drawing:
        """Make a picture's element."""
        name = picture.name or picture.title
        if picture.kind == "svg":
            return safe_svg(picture.drawing, name=name, alt=picture.alt, prefix=f"{self.new_id()}-")
        width, height = (round(pixels * 96 / picture.dpi) for pixels in _png_size(picture.drawing, name))
        size = 'style="--width:{0}px;--least:{0}px" width="{0}" height="{1}"'
        element = Markup(f'<img class="drawing" {size} alt="{{2}}" src="{{3}}">')
        return Drawing(element.format(width, height, picture.alt, _png(picture.drawing)), width, width)

    def points(self, points: Points) -> tuple[str, dict[str, Any] | None]:
        """Give the id of an embedding's images, and what they are where they stand for the first time."""
        if points.examples is not None:
            self.link(int(key) for key in points.examples if key >= 0)
        for number, known in enumerate(self.shared):
            if known is points:
                return f"points-{number}", None
        self.shared.append(points)
        return f"points-{len(self.shared) - 1}", points_data(points)


def _png(content: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(content).decode("ascii")


def _png_size(content: bytes, name: str) -> tuple[int, int]:
    if len(content) < 24 or not content.startswith(b"\x89PNG\r\n\x1a\n"):
        raise InputError(f"{name}.png is damaged (it is no PNG image); draw it again.")
    return int.from_bytes(content[16:20], "big"), int.from_bytes(content[20:24], "big")


def _is_small(content: bytes) -> bool:
    """Tell whether an image has so few pixels that they must be enlarged: they then stand as squares, not blurred."""
    return _png_size(content, "thumbnail")[0] < 100


def _policy(script: str) -> str:
    """Forbid the page everything but its own script, its own styles and the images inside it."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    rules = ("default-src 'none'", "img-src data:", "style-src 'unsafe-inline'", f"script-src 'sha256-{digest}'")
    return "; ".join((*rules, "base-uri 'none'", "form-action 'none'"))


def _resource(name: str) -> str:
    return (files("glassnet.reports") / "templates" / name).read_text(encoding="utf-8")
