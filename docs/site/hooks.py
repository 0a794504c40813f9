"""What mkdocs calls while it builds the site: pages and tables that are generated, and links that lead out of docs/."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from measure_tables import fill
from mkdocs.structure.files import File
from reference import commands_page, python_page

ROOT = Path(__file__).parents[2]
GENERATED = {
    "reference/commands.md": commands_page,
    "reference/python.md": python_page,
    "changes.md": lambda: (ROOT / "CHANGELOG.md").read_text(),
}


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that no file holds."""
    for path, make in GENERATED.items():
        files.append(File.generated(config, path, content=make()))
    return files


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Fill the tables of measures, and name files that lie outside docs/ in place of linking to them."""
    depth = len(Path(page.file.src_uri).parent.parts)
    return outside(fill(markdown), depth)


def outside(markdown: str, depth: int) -> str:
    """Write [text](../file) as "text (`file`)" where the link leads out of docs/, which a site has not."""
    up = "../" * (depth + 1)
    return re.sub(rf"(?<!!)\[([^\]]+)\]\({re.escape(up)}([^)]+)\)", r"\1 (`\2`)", markdown)
