"""The network's layers: what goes in, what comes out, what each costs."""

from typing import Any

from glassnet.report import numbers
from glassnet.report.inline import find_picture
from glassnet.report.records import part, rows, text
from glassnet.report.tables import Table, code, table
from glassnet.run import RunDirectory


def layer_names(run: RunDirectory) -> list[str]:
    """List the model's layers from input to output."""
    return [text(layer.get("name")) for layer in rows(part(dict(run.manifest), "model"), "layers")]


def network(run: RunDirectory) -> dict[str, Any] | None:
    """Collect what the section on the network shows; None where its layers were not recorded."""
    model = part(dict(run.manifest), "model")
    layers = rows(model, "layers")
    if not layers:
        return None
    return {
        "name": text(model.get("name")),
        "options": part(model, "options"),
        "parameters": numbers.count(model.get("parameters")),
        "macs": numbers.count(_sum(layers, "macs")),
        "table": _layers(layers),
        "picture": find_picture(run, "architecture"),
    }


def _layers(layers: list[dict[str, Any]]) -> Table:
    columns = ("Layer", "Kind", "Input", "Output", "Parameters", "Multiply-accumulates")
    cells = [
        (
            code(text(layer.get("name")) or numbers.DASH),
            text(layer.get("kind")) or numbers.DASH,
            numbers.shape(layer.get("input")),
            numbers.shape(layer.get("output")),
            numbers.count(layer.get("parameters")),
            numbers.count(layer.get("macs")),
        )
        for layer in layers
    ]
    sums = [numbers.count(_sum(layers, key)) for key in ("parameters", "macs")]
    caption = "Layers from input to output; sizes are channels × height × width for one image"
    return table(caption, columns, cells, words=(0, 1), total=("All layers", "", "", "", *sums))


def _sum(layers: list[dict[str, Any]], key: str) -> float:
    return sum(layer[key] for layer in layers if numbers.is_number(layer.get(key)))
