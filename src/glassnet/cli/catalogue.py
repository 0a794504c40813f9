"""`glassnet data` and `models`: what can be learned from, and the networks that can learn it."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glassnet.cli import Answer
from glassnet.cli.help import summary
from glassnet.errors import InputError
from glassnet.files import atomic, writable_target
from glassnet.formats import DASH
from glassnet.settings import DataSettings, ModelsSettings
from glassnet.tables import text_table

if TYPE_CHECKING:
    from torch.nn import Module

    from glassnet.data import Source
    from glassnet.data.check import Finding
    from glassnet.models.layer_table import Layer

LISTED_ITEMS = 5
"""Files that are named of each finding of `data check`."""


def data(settings: DataSettings) -> Answer:
    """List the data sets, fetch what is missing, verify what is on disk by its content, or check one's images.

    Raises:
        InputError: An unknown data set, a damaged file, or one asked for by name that is not there.
        WorkError: A download failed on every mirror.
    """
    return {"list": _list, "fetch": _fetch, "verify": _verify, "check": _check}[settings.action](settings)


def _chosen(settings: DataSettings) -> dict[str, tuple[Source, Path]]:
    """Look up the named data set, or all of them; a user's own is only there by its path."""
    from glassnet.data import DATASETS, OF_A_PATH, data_root, find_source

    if settings.name is not None and settings.name not in (*OF_A_PATH, "hf"):
        return {settings.name: find_source(settings.name, settings.data_root)}
    names = [settings.name] if settings.name else list(DATASETS)
    return {name: (DATASETS[name], data_root(settings.data_root)) for name in names}


def _find(name: str, source: Source, where: Path) -> Path | None:
    """Tell where the set is; a user's own without a path is nowhere, whatever folder the other sets are in."""
    from glassnet.data import OF_A_PATH

    return None if name in OF_A_PATH else source.find(where)


def _list(settings: DataSettings) -> Answer:
    from glassnet.data import data_root

    rows = [_describe(name, *location) for name, location in _chosen(settings).items()]
    header = ("name", "what", "classes", "image", "train", "test", "where")
    root = data_root(settings.data_root)
    text = text_table(header, [_cells(row) for row in rows])
    return Answer(
        f"{text}\n\nData root: {root} (--data-root, $GLASSNET_DATA)", {"data_root": str(root), "datasets": rows}
    )


def _describe(name: str, source: Source, where: Path) -> dict[str, Any]:
    location = _find(name, source, where)
    keys = ("summary", "classes", "channels", "image_size", "train", "test")
    return {
        "name": name,
        **{key: getattr(source, key) for key in keys},
        "path": str(location) if location else None,
        "needs": None if location else source.needs,
    }


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    image = f"{row['channels']}×{row['image_size']}×{row['image_size']}" if row["image_size"] else "–"
    counts = (f"{row[key]:,}" if row[key] else "–" for key in ("train", "test"))
    where = row["path"] or f"needs {row['needs']}"
    return (row["name"], row["summary"], str(row["classes"] or "–"), image, *counts, where)


def _fetch(settings: DataSettings) -> Answer:
    """Download what is missing, then read it all, so that what is said to be there is known to be sound."""
    rows = []
    for name, (source, where) in _chosen(settings).items():
        if source.fetch is None:
            rows.append({"name": name, "status": "nothing to download", "path": None})
            continue
        status = "already there" if source.find(where) else "downloaded"
        source.fetch(where)
        source.load(where, None)
        rows.append({"name": name, "status": f"{status}, verified", "path": str(source.find(where))})
    return Answer("\n".join(_line(row) for row in rows), {"fetched": rows})


def _verify(settings: DataSettings) -> Answer:
    """Read every set that is on disk: loading refuses what differs from the published content."""
    rows = []
    for name, (source, where) in _chosen(settings).items():
        location = _find(name, source, where)
        if location:
            dataset = source.load(where, None)
            status = f"verified, {len(dataset.train):,} training and {len(dataset.test):,} test images"
        elif settings.name:
            raise InputError(f"{name} cannot be verified because it is missing: it needs {source.needs}.")
        else:
            status = f"missing, needs {source.needs}"
        rows.append({"name": name, "status": status, "path": str(location) if location else None})
    return Answer("\n".join(_line(row) for row in rows), {"verified": rows})


def _check(settings: DataSettings) -> Answer:
    """Look one data set over; an answer that a training would refuse it has exit code 2."""
    from glassnet.data.check import check

    checked = check(str(settings.name), settings.data_root)
    refused = sum(one.refused for one in checked.findings)
    notes = len(checked.findings) - refused
    problems = f"{_counted(refused, 'problem')} for which a training would refuse it" if refused else "no problem"
    parts = " and ".join(f"{number:,} {part}".removesuffix(" all") for part, number in checked.parts.items()) or "no"
    blocks = ["\n".join(_finding_lines(one)) for one in checked.findings]
    head = f"{checked.data}: {parts} images, {len(checked.classes):,} classes"
    text = "\n\n".join([*blocks, _wrapped(f"{head}; {problems}, {_counted(notes, 'note')}.")])
    return Answer(text, {**asdict(checked), "refused": refused > 0}, exit_code=2 if refused else 0)


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' * (number != 1)}"


def _finding_lines(finding: Finding) -> Iterator[str]:
    yield _wrapped(f"{'REFUSED' if finding.refused else 'note'}: {finding.text}")
    for item in finding.items[:LISTED_ITEMS]:
        other = f" = {item.other}" if item.other else ""
        yield _wrapped(f"{item.name}{other}" + (f" ({item.about})" if item.about else ""), "  ")
    more = len(finding.items) - LISTED_ITEMS
    if more > 0:
        yield f"  … and {more:,} more (--json lists all)"


def _wrapped(text: str, indent: str = "") -> str:
    """Wrap a line to the terminal, and indent what follows; a name stays whole."""
    width = shutil.get_terminal_size((80, 24)).columns
    wrap = textwrap.TextWrapper(width, break_long_words=False, break_on_hyphens=False)
    wrap.initial_indent, wrap.subsequent_indent = indent, indent + "  "
    return wrap.fill(text)


def _line(row: dict[str, Any]) -> str:
    return f"{row['name']}: {row['status']}" + (f" ({row['path']})" if row["path"] else "")


def models(settings: ModelsSettings) -> Answer:
    """List all models, or print one's layer table and draw it into a file if one is named."""
    from glassnet.models.layer_table import layer_table

    if settings.name is None:
        return _list_models()
    if settings.figure is not None:
        _check_figure(settings.figure)
    model, name, sizes = _model_of(settings, settings.name)
    rows = layer_table(model, (1, sizes["in_channels"], sizes["image_size"], sizes["image_size"]))
    if settings.figure is not None:
        _draw(settings, rows)
    total = {"parameters": sum(row.parameters for row in rows), "macs": sum(row.macs for row in rows)}
    return Answer(_layer_text(rows), {"model": name, **sizes, "layers": [asdict(row) for row in rows], **total})


def _model_of(settings: ModelsSettings, name: str) -> tuple[Module, str, dict[str, int]]:
    """Return a model, what it is called, and the sizes that it is looked at with."""
    import torch

    from glassnet.models import create_model, parse_options
    from glassnet.models.references import Wanted, is_reference, load_reference

    options = parse_options(name, settings.model_options)
    given = {key: getattr(settings, key) for key in ("in_channels", "num_classes", "image_size")}
    given = {key: value for key, value in given.items() if value is not None}
    if is_reference(name):
        loaded = load_reference(name, Wanted(**given), seed=0)
        own = {"in_channels": loaded.in_channels or 3, "image_size": loaded.image_size or 224}
        return loaded.module, loaded.name, own | given
    sizes = {"in_channels": 1, "num_classes": 10, "image_size": 28} | given
    with torch.device("meta"):  # sizes without numbers: a table of the largest network costs nothing
        return create_model(name, **sizes, **options), name, sizes


def _list_models() -> Answer:
    from glassnet.models import MODELS, model_options

    rows = [(name, summary(kind), _options_text(model_options(name))) for name, kind in MODELS.items()]
    listed = [{"name": name, "about": about, "options": model_options(name)} for name, about, _ in rows]
    return Answer(text_table(("name", "about", "options"), rows), {"models": listed})


def _options_text(options: dict[str, object]) -> str:
    return " ".join(f"{k}={','.join(map(str, v)) if isinstance(v, tuple) else v}" for k, v in options.items())


def _layer_text(rows: list[Layer]) -> str:
    lines = [
        (
            r.name,
            r.kind,
            _size(r.input),
            _size(r.output),
            _window(r.receptive_field),
            f"{r.parameters:,}",
            f"{r.macs:,}",
        )
        for r in rows
    ]
    total = ("total", "", "", "", "", f"{sum(r.parameters for r in rows):,}", f"{sum(r.macs for r in rows):,}")
    return text_table(("name", "kind", "input", "output", "sees", "parameters", "MACs"), lines, total=total)


def _size(shape: tuple[int, ...] | None) -> str:
    return DASH if shape is None else "x".join(map(str, shape))


def _window(sizes: tuple[int, int] | None) -> str:
    """Write a receptive field: of a square one its side, for which there is room in 80 columns."""
    return str(sizes[0]) if sizes is not None and sizes[0] == sizes[1] else _size(sizes)


def _check_figure(path: Path) -> None:
    if path.suffix not in (".png", ".svg", ".pdf"):
        raise InputError(f"--figure is {path}, expected a file that ends in .png, .svg or .pdf.")
    writable_target(path, "--figure")


def _draw(settings: ModelsSettings, rows: list[Layer]) -> None:
    from glassnet.figures import architecture

    assert settings.figure is not None
    figure = architecture([asdict(row) for row in rows], title=str(settings.name))
    with atomic(settings.figure) as temporary:
        figure.savefig(temporary, dpi=150)
