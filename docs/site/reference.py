"""The reference pages, made from what the code says of itself: help texts, signatures and docstrings."""

from __future__ import annotations

import ast
import contextlib
import inspect
import io
import os
import re
import textwrap
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import glassnet
from glassnet.cli import COMMANDS, run

WIDTH = "110"
GROUPS = {
    "Train": ["train", "tune", "TrainSettings", "Run", "Callback", "TrainingInfo", "EpochRecord", "make_loggers"],
    "Data": ["DATASETS", "load_dataset", "Dataset", "Split", "read_images"],
    "Networks": [
        "MODELS", "create_model", "predict", "layer_table", "extract_features", "receptive_field", "ReceptiveField",
    ],
    "Analyses of a run or a network": ["Subject", "evaluate", "analyse", "Analysis", "report", "explore"],
    "Where a network looks": [
        "explain", "Explanation", "METHODS", "segmented_region", "overlay", "draw_explanation", "Drawing",
    ],
    "How faithful a map is": [
        "faithfulness", "Faithfulness", "deletion_insertion", "share_inside", "stroke_mask", "sanity_check",
        "SanityCheck", "rank_layers", "LayerRanking",
    ],
    "What a layer knows": [
        "embed", "Embedding", "draw_embedding", "cluster", "Clustering", "quality", "Quality", "cka", "linear_probe",
        "layer_scores", "separability",
    ],
    "What a channel has learned": [
        "channels", "Channels", "LayerChannels", "visualize", "Visualized", "Transforms", "ablate", "Ablation",
        "concepts", "Concepts",
    ],
    "Errors": ["GlassnetError", "InputError", "WorkError"],
}  # fmt: skip
SECTIONS = ("Args", "Attributes", "Returns", "Yields", "Raises")


def commands_page() -> str:
    """Write the help of every command, as it is printed."""
    parts = [
        "# Commands",
        "This page is what `glassnet COMMAND --help-all` prints; it is made anew each time the site is built.",
        _fenced(printed(["--help"])),
    ]
    for name in COMMANDS:
        parts += [f"## glassnet {name}", _fenced(printed([name, "--help-all"]))]
    return "\n\n".join(parts) + "\n"


def printed(arguments: list[str]) -> str:
    """Return what a command line prints on standard output."""
    said, before = io.StringIO(), os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = WIDTH
    try:
        with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
            run(arguments)
    finally:
        os.environ.pop("COLUMNS") if before is None else os.environ.update(COLUMNS=before)
    return said.getvalue()


def python_page() -> str:
    """Write what is public in Python: signatures and docstrings, by subject.

    Raises:
        ValueError: A public name stands in no group, or a group names what is not public.
    """
    listed = [name for names in GROUPS.values() for name in names]
    if sorted(listed) != sorted(set(glassnet.__all__) - {"__version__"}):
        raise ValueError(f"GROUPS and the public names differ: {set(listed) ^ set(glassnet.__all__)}")
    parts = [
        "# Python",
        "Every public name of `import glassnet as gn`. This page is made from the code's own signatures and docstrings "
        "each time the site is built. Images are tensors (n, channel, height, width).",
    ]
    for heading, names in GROUPS.items():
        parts.append(f"## {heading}")
        for name in names:
            parts += _described(name, getattr(glassnet, name))
    return "\n\n".join(parts) + "\n"


def _described(name: str, thing: Any) -> Iterator[str]:
    yield f"### gn.{name}"
    if isinstance(thing, dict):
        yield f"A dictionary, by name: {', '.join(f'`{key}`' for key in thing)}."
        return
    if inspect.isclass(thing):
        yield from _class(name, thing)
        return
    yield _code(f"gn.{name}{signature(thing)}")
    yield from _docstring(thing)


def _class(name: str, thing: type) -> Iterator[str]:
    if "__init__" in vars(thing) and inspect.getsource(thing).count("def __init__"):
        yield _code(f"gn.{name}{signature(vars(thing)['__init__']).removesuffix(' -> None')}")
    yield from _docstring(thing)
    fields = list(_fields(thing))
    if fields:
        yield "**Fields**"
        yield "\n".join(fields)
    for key, member in inspect.getmembers_static(thing):
        own = member.__func__ if isinstance(member, classmethod | staticmethod) else member
        if key.startswith("_") or not getattr(own, "__module__", "glassnet").startswith("glassnet"):
            continue
        if inspect.isfunction(own):
            yield f"#### {name}.{key}"
            yield _code(f"{key}{signature(own)}")
            yield from _docstring(own)
        elif isinstance(own, property) and own.__doc__:
            yield f"#### {name}.{key}"
            yield f"Property. {_escaped(_joined(own.__doc__))}"


def _fields(thing: type) -> Iterator[str]:
    """Write a bullet for each field that has a text of its own below it, as settings have."""
    (node,) = ast.parse(textwrap.dedent(inspect.getsource(thing))).body
    assert isinstance(node, ast.ClassDef)
    for field, below in pairwise(node.body):
        text = ast.literal_eval(below.value) if isinstance(below, ast.Expr) else None
        if isinstance(field, ast.AnnAssign) and isinstance(text, str) and "ClassVar" not in ast.dump(field.annotation):
            default = f" = {ast.unparse(field.value)}" if field.value else ""
            kind = ast.unparse(field.annotation)
            yield f"- `{ast.unparse(field.target)}: {kind}{default}`: {_escaped(_joined(text))}"


def signature(function: Any) -> str:
    """Return a function's parameters and result as its source has them, a line each where they are many."""
    (node,) = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(function)))).body
    assert isinstance(node, ast.FunctionDef)
    parts = [part for part in _parameters(node.args) if part not in ("self", "cls")]
    result = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    one_line = f"({', '.join(parts)}){result}"
    return one_line if len(one_line) < 90 else "(\n" + "".join(f"    {part},\n" for part in parts) + f"){result}"


def _parameters(arguments: ast.arguments) -> Iterator[str]:
    plain = [*arguments.posonlyargs, *arguments.args]
    defaults = [None] * (len(plain) - len(arguments.defaults)) + list(arguments.defaults)
    yield from (_parameter(one, default) for one, default in zip(plain, defaults, strict=True))
    if arguments.vararg:
        yield f"*{ast.unparse(arguments.vararg)}"
    elif arguments.kwonlyargs:
        yield "*"
    yield from (
        _parameter(one, default) for one, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    )
    if arguments.kwarg:
        yield f"**{ast.unparse(arguments.kwarg)}"


def _parameter(one: ast.arg, default: ast.expr | None) -> str:
    if default is None:
        return ast.unparse(one)
    equals = " = " if one.annotation else "="
    return f"{ast.unparse(one)}{equals}{ast.unparse(default)}"


def _docstring(thing: Any) -> Iterator[str]:
    """Write a Google-style docstring: its text, and its sections as lists."""
    text = inspect.getdoc(thing) or ""
    heading = re.compile(rf"^({'|'.join(SECTIONS)}):\n", re.MULTILINE)
    lead, *rest = heading.split(text)
    yield from (_paragraph(part) for part in lead.strip().split("\n\n") if part.strip())
    for title, body in zip(rest[::2], rest[1::2], strict=True):
        indented, _, after = _split_indented(body)
        yield f"**{title}**"
        yield "\n".join(_entries(indented, named=title != "Returns"))
        if after.strip():
            yield _paragraph(after)


def _split_indented(body: str) -> tuple[str, str, str]:
    lines = body.splitlines()
    end = next((i for i, line in enumerate(lines) if line and not line.startswith(" ")), len(lines))
    return textwrap.dedent("\n".join(lines[:end])), "", "\n".join(lines[end:])


def _entries(body: str, *, named: bool) -> Iterator[str]:
    """Write a bullet for each entry; its further lines are indented."""
    if not named:
        yield f"- {_escaped(_joined(body))}"
        return
    for entry in re.split(r"\n(?=\S)", body.strip()):
        name, colon, text = entry.partition(":")
        yield f"- `{name}`: {_escaped(_joined(text))}" if colon else f"- {_escaped(_joined(entry))}"


def _paragraph(text: str) -> str:
    """Keep what is indented as code, such as a formula or an example; join the lines of anything else."""
    if all(line.startswith("    ") for line in text.splitlines() if line):
        return _fenced(textwrap.dedent(text))
    return _escaped(_joined(text))


def _joined(text: str) -> str:
    return " ".join(text.split())


def _escaped(text: str) -> str:
    """Keep characters that Markdown would take for markup, outside of `code`."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(part if part.startswith("`") else re.sub(r"([*_<>\[\]])", r"\\\1", part) for part in parts)


def _code(text: str) -> str:
    return f"```python\n{text}\n```"


def _fenced(text: str) -> str:
    return f"```text\n{text.rstrip()}\n```"
