"""Follows a page of the documentation word by word, in the current folder and in one process.

A block of `bash` is run line by line. A block of `python` is run, and sees the names of those above it. A block with a
title is a file: it is written, or changed where the block is a `diff`. All other blocks are output and are passed over.

A block that cannot be run has its reason in the line above it: <!-- not run: it needs a GPU -->. A page whose blocks
cannot be run has one reason for all: <!-- no block of this page is run: each takes hours -->. What is not run must
still be a command with options that exist.
"""

from __future__ import annotations

import re
import runpy
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glassnet.cli import COMMANDS, run
from glassnet.cli.parse import parse

WHOLE_PAGE = re.compile(r"<!-- no block of this page is run: ([^\n]+) -->")
BLOCK = re.compile(
    r"(?:^<!-- not run: (?P<reason>[^\n]+) -->\n+)?"
    r'^```(?P<language>\w+)(?: title="(?P<title>[^"]+)")?\n(?P<text>.*?)^```',
    re.MULTILINE | re.DOTALL,
)
QUIETLY = ("-q", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning")
"""Options of a pytest within a process that has loaded what it would rewrite."""


@dataclass(frozen=True)
class Block:
    """A block of code.

    Attributes:
        language: What follows the fence.
        text: The code.
        title: The file that it is; empty where it is to be run.
        reason: Why it is not run; empty where it is.
        line: Where it begins in the page.
    """

    language: str
    text: str
    title: str
    reason: str
    line: int

    @property
    def lines(self) -> Iterator[list[str]]:
        """The words of each command of a shell, with lines joined that end in a backslash."""
        for line in self.text.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words:
                yield words


def blocks(page: Path) -> list[Block]:
    """Read the blocks of a page."""
    text = page.read_text(encoding="utf-8")
    whole = WHOLE_PAGE.search(text)
    return [
        Block(
            found["language"],
            found["text"],
            found["title"] or "",
            found["reason"] or (whole[1] if whole else ""),
            text.count("\n", 0, found.start("language")) + 1,
        )
        for found in BLOCK.finditer(text)
    ]


def follow(page: Path, *, write_files: bool = True) -> dict[str, Any]:
    """Follow a page from top to bottom, and return the names that its Python leaves.

    Args:
        page: The page.
        write_files: Whether blocks that are files are written; else they are there already.

    Raises:
        AssertionError: A command fails, or is of a program that a page may not call.
    """
    names: dict[str, Any] = {"__name__": "__main__"}
    for block in blocks(page):
        where = f"{page.name}:{block.line}"
        if block.reason:
            check(block, where)
        elif block.title:
            if write_files:
                write(block)
        elif block.language == "python":
            exec(compile("\n" * block.line + block.text, str(page), "exec"), names)
        elif block.language == "bash":
            for words in block.lines:
                call(words, where)
    return names


def write(block: Block) -> None:
    """Write the file that a block is, or make the change to a file that it is."""
    path = Path(block.title)
    if block.language != "diff":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text, encoding="utf-8")
        return
    before = "".join(line[1:] for line in block.text.splitlines(keepends=True) if line[0] in " -")
    after = "".join(line[1:] for line in block.text.splitlines(keepends=True) if line[0] in " +")
    text = path.read_text(encoding="utf-8")
    assert text.count(before) == 1, f"{path} has the lines of the change {text.count(before)} times:\n{before}"
    path.write_text(text.replace(before, after), encoding="utf-8")


def call(words: list[str], where: str) -> None:
    """Run a command line in this process, which has torch loaded."""
    if words[0] == "glassnet":
        assert run(words[1:]) == 0, f"{where}: {shlex.join(words)}"
    elif words[:3] == ["python", "-m", "pytest"]:
        import pytest

        assert pytest.main([*words[3:], *QUIETLY]) == 0, f"{where}: {shlex.join(words)}"
    elif words[0] == "python" and len(words) == 2:
        runpy.run_path(words[1], run_name="__main__")
    else:
        raise AssertionError(f"{where}: a page may call glassnet and python, got {shlex.join(words)}")


def check(block: Block, where: str) -> None:
    """Parse the commands of a block that is not run."""
    for words in block.lines if block.language == "bash" else ():
        if words[0] == "glassnet" and len(words) > 1 and words[1] in COMMANDS:
            assert _parses(words[1], COMMANDS, words[2:]), f"{where}: {shlex.join(words)}"


def _parses(name: str, commands: Mapping[str, Any], words: list[str]) -> bool:
    """Parse a command line; placeholders such as RUN are paths like any other."""
    try:
        return bool(parse(name, commands[name], [word for word in words if word != "…"]))
    except SystemExit as leaving:
        return leaving.code in (0, None)
