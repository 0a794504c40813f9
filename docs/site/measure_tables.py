"""Tables of measures, made from `glassnet.measures`: what each is called, what it says, which direction is better."""

from __future__ import annotations

import re

from glassnet.measures import MEASURES, Measure

MARK = re.compile(r"<!-- measures: ([\w ]+) -->")
BETTER = {"higher": "higher", "lower": "lower", "neither": "–"}


def fill(markdown: str) -> str:
    """Put a table in place of each mark such as <!-- measures: loss accuracy -->.

    Raises:
        KeyError: No measure has that name.
    """
    return MARK.sub(lambda mark: table(mark[1].split()), markdown)


def table(keys: list[str]) -> str:
    """Write a Markdown table with a row for each measure."""
    rows = [f"| {_name(MEASURES[key])} | `{key}` | {_says(MEASURES[key])} | {_better(key)} |" for key in keys]
    return "\n".join(["| measure | in JSON | what it says | better |", "|---|---|---|---|", *rows])


def _name(measure: Measure) -> str:
    return f"**{measure.title}** ({measure.short})" if measure.short else f"**{measure.title}**"


def _says(measure: Measure) -> str:
    ends = measure.ends.format(chance="1 / classes")
    return " ".join(part for part in (measure.meaning, f"{ends}." if ends else "") if part)


def _better(key: str) -> str:
    return BETTER[MEASURES[key].better]
