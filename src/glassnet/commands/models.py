"""`glassnet models`: the networks that can be trained, and what each is made of."""

from dataclasses import asdict

import torch

from glassnet.commands.answer import Answer
from glassnet.errors import InputError
from glassnet.figures import architecture
from glassnet.files import atomic
from glassnet.models import MODELS, create_model, model_options, parse_options
from glassnet.models.summary import Layer, layer_table
from glassnet.settings import ModelsSettings
from glassnet.tables import text_table


def models(settings: ModelsSettings) -> Answer:
    """List all models, or print one's layer table and draw it into a file if one is named."""
    if settings.name is None:
        return _listed()
    options = parse_options(settings.name, settings.model_options)
    sizes = {
        "in_channels": settings.in_channels,
        "num_classes": settings.num_classes,
        "image_size": settings.image_size,
    }
    with torch.device("meta"):  # sizes without numbers: a table of the largest network costs nothing
        model = create_model(settings.name, **sizes, **options)
    rows = layer_table(model, (1, settings.in_channels, settings.image_size, settings.image_size))
    if settings.figure is not None:
        _draw(settings, rows)
    total = {"parameters": sum(row.parameters for row in rows), "macs": sum(row.macs for row in rows)}
    return Answer(_laid_out(rows), {"model": settings.name, **sizes, "layers": [asdict(row) for row in rows], **total})


def _listed() -> Answer:
    rows = [(name, (kind.__doc__ or "").splitlines()[0], _shown(model_options(name))) for name, kind in MODELS.items()]
    listed = [{"name": name, "about": about, "options": model_options(name)} for name, about, _ in rows]
    return Answer(text_table(("name", "about", "options"), rows), {"models": listed})


def _shown(options: dict[str, object]) -> str:
    return " ".join(f"{k}={','.join(map(str, v)) if isinstance(v, tuple) else v}" for k, v in options.items())


def _laid_out(rows: list[Layer]) -> str:
    lines = [(r.name, r.kind, _size(r.input), _size(r.output), f"{r.parameters:,}", f"{r.macs:,}") for r in rows]
    total = ("total", "", "", "", f"{sum(r.parameters for r in rows):,}", f"{sum(r.macs for r in rows):,}")
    return text_table(("name", "kind", "input", "output", "parameters", "MACs"), lines, total=total)


def _size(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def _draw(settings: ModelsSettings, rows: list[Layer]) -> None:
    assert settings.figure is not None
    if settings.figure.suffix not in (".png", ".svg", ".pdf"):
        raise InputError(f"--figure is {settings.figure}, expected a file that ends in .png, .svg or .pdf.")
    figure = architecture([asdict(row) for row in rows], title=str(settings.name))
    with atomic(settings.figure) as temporary:
        figure.savefig(temporary, dpi=150)
