"""`make check`: the documents name what exists, their links lead somewhere, and their Python parses.

Prints what is wrong, a line each, and leaves with code 1 if there is anything.
"""

import ast
import re
import sys
from pathlib import Path

import glassnet
from glassnet.cli import COMMANDS

ROOT = Path(__file__).parent.parent
GENERATED = ("reference/commands.md", "reference/python.md", "changes.md")
"""Pages that the site's build makes."""
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]


def links(page: Path, text: str) -> list[str]:
    targets = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text)
    local = [target for target in targets if "://" not in target]
    return [
        f"{page.name}: the link to {target} leads nowhere"
        for target in local
        if not (page.parent / target).exists() and not target.endswith(GENERATED)
    ]


def code(page: Path, text: str) -> list[str]:
    wrong = []
    for block in re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL):
        try:
            tree = ast.parse(block)
        except SyntaxError as error:
            wrong.append(f"{page.name}: a Python block does not parse: {error}")
            continue
        used = {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute) and getattr(n.value, "id", "") == "gn"}
        wrong += [f"{page.name}: gn.{name} does not exist" for name in sorted(used - set(glassnet.__all__))]
    return wrong


def commands(page: Path, text: str) -> list[str]:
    blocks = "\n".join(re.findall(r"```bash\n(.*?)```", text, flags=re.DOTALL))
    named = {*re.findall(r"`glassnet ([a-z]+)", text), *re.findall(r"^glassnet ([a-z]+)", blocks, flags=re.MULTILINE)}
    return [f"{page.name}: there is no `glassnet {name}`" for name in sorted(named - set(COMMANDS) - {"help"})]


def tables(page: Path, text: str) -> list[str]:
    rows = re.findall(r"^\|.*\n(?!\||\n|\Z)(.*)", text, flags=re.MULTILINE)
    return [f"{page.name}: no empty line between a table and '{row}', which would be a row of it" for row in rows]


def undocumented() -> list[str]:
    text = "\n".join(page.read_text() for page in PAGES)
    public = [
        f"{name} has no docstring"
        for name in glassnet.__all__
        if name.islower() and not getattr(glassnet, name).__doc__
    ]
    unnamed = [f"no page names `glassnet {name}`" for name in COMMANDS if f"glassnet {name}" not in text]
    return public + unnamed


def main() -> int:
    wrong = undocumented()
    for page in PAGES:
        text = page.read_text()
        wrong += links(page, text) + code(page, text) + commands(page, text) + tables(page, text)
    print("\n".join(wrong) or f"{len(PAGES)} pages are in order")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
