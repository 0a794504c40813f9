"""Runs → one HTML page with everything inside."""

import base64
import hashlib
import itertools
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

import glassnet
from glassnet.errors import InputError
from glassnet.files import write_text
from glassnet.report.inline import Picture, inline
from glassnet.report.overview import comparison, overview
from glassnet.report.sections import read_sections
from glassnet.run import RunDirectory


def write_report(run: RunDirectory, *, out: Path | None = None) -> Path:
    """Write a run's report, whole or not at all.

    Args:
        run: The run.
        out: HTML file to write; report.html in the run directory if not given.

    Raises:
        InputError: A file of the run is damaged.
    """
    path = out or run.file("report.html")
    write_text(path, render([run]))
    return path


def render(runs: Sequence[RunDirectory]) -> str:
    """Build the report of one or more runs as a page that needs no other file and no network.

    Several runs begin with a table that compares them.

    Raises:
        InputError: There is no run, or a file of a run is damaged.
    """
    if not runs:
        raise InputError("no run was given, expected at least one run directory; train one with `glassnet train`.")
    script = _resource("script.js")
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            version=glassnet.__version__,
            policy=_policy(script),
            style=Markup(_resource("style.css")),
            script=Markup(script),
            comparison=comparison(runs) if len(runs) > 1 else None,
            runs=[_run(run, f"run{number}-" if len(runs) > 1 else "") for number, run in enumerate(runs, 1)],
        )
    )


def _run(run: RunDirectory, prefix: str) -> dict[str, Any]:
    return {"name": run.name, "prefix": prefix, "overview": overview(run), "sections": read_sections(run)}


def _environment() -> Environment:
    """Set Jinja up so that every value is escaped and a name that is not there is an error."""
    environment = Environment(
        loader=PackageLoader("glassnet.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    numbers = itertools.count(1)

    def drawing(picture: Picture) -> Markup:
        return inline(picture, f"f{next(numbers)}-")

    environment.globals["drawing"] = drawing
    return environment


def _policy(script: str) -> str:
    """Forbid the page everything but its own script, its own styles and the images inside it."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    rules = ("default-src 'none'", "img-src data:", "style-src 'unsafe-inline'", f"script-src 'sha256-{digest}'")
    return "; ".join((*rules, "base-uri 'none'", "form-action 'none'"))


def _resource(name: str) -> str:
    return (files("glassnet.report") / "templates" / name).read_text(encoding="utf-8")
