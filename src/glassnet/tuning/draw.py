"""Draw a grid's result from its figures."""

from collections.abc import Sequence

from glassnet import figures
from glassnet.run import RunDirectory
from glassnet.settings.convert import to_text
from glassnet.tuning.result import Cell, Tuning
from glassnet.tuning.statistics import spread

SEPARATOR = " · "


def save_figure(result: Tuning) -> None:
    """Write figures/tuning.png and .svg below the result's folder: a row a cell, a dot a seed."""
    axes = [axis for axis in result.axes if len({to_text(cell.values[axis]) for cell in result.cells}) > 1]
    labels = [_label(cell, axes) for cell in result.cells]
    drawn = figures.tuning_figure(
        labels,
        [cell.validation_accuracy for cell in result.cells],
        metric="validation accuracy",
        columns={
            "parameters": [f"{cell.parameters:,}" for cell in result.cells],
            "seconds": [f"{spread(cell.seconds)[0]:,.0f}" for cell in result.cells],
        },
        title=f"Settings compared: {SEPARATOR.join(axes)}" if axes else result.best.name,
    )
    mean, std = spread(result.best.validation_accuracy)
    shown = f"{mean:.4f}" + (f" ± {std:.4f}" if std is not None else "")
    words = f"{len(labels)} settings; the best is {result.best.name} with a validation accuracy of {shown}."
    RunDirectory(result.out, {}).save_figure("tuning", drawn, title="Settings compared", alt=words, caption=words)


def _label(cell: Cell, axes: Sequence[str]) -> str:
    """Name a cell by what it does not share with all the others; the title names the axes."""
    told = ("–" if cell.values[axis] is None else to_text(cell.values[axis]) for axis in axes)
    return SEPARATOR.join(told) or cell.name
