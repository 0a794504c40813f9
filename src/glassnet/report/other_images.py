"""What `glassnet eval` measured with the same weights on other images than the test's."""

from collections.abc import Callable, Sequence
from typing import Any

from glassnet.report import numbers
from glassnet.report.records import files, mapping, text
from glassnet.report.tables import Table, table
from glassnet.run import RunDirectory

Column = tuple[str, Callable[[dict[str, Any]], str]]
"""A heading, and what stands below it, from an evaluation's JSON."""


def on_other_images(run: RunDirectory, columns: Sequence[Column]) -> Table | None:
    """List the evaluations but that of the test images, a row each; None where there is no other.

    Args:
        run: The run.
        columns: What of an evaluation is shown, after its data, their part and the number of images.

    Raises:
        InputError: An evaluation is damaged.
    """
    found = [mapping(run, name) for name in files(run, "evaluation") if name != "evaluation/test.json"]
    cells = [
        (
            text(other.get("data")) or numbers.DASH,
            text(other.get("split")) or numbers.DASH,
            numbers.count(other.get("images")),
            *(write(other) for _, write in columns),
        )
        for other in found
    ]
    headings = ("Data", "Part", "Images", *(heading for heading, _ in columns))
    return table("The same weights on other images", headings, cells, words=(0, 1)) if cells else None
