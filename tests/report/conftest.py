import runpy
import shutil
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

import pytest

from glassnet.run import RunDirectory


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Path:
    """A run with every artefact; tests that change it take a copy."""
    write_run = runpy.run_path(str(Path(__file__).with_name("synthetic_run.py")))["write_run"]
    return write_run(tmp_path_factory.mktemp("runs") / "demo").path


@pytest.fixture
def run(finished, tmp_path) -> RunDirectory:
    return RunDirectory.open(shutil.copytree(finished, tmp_path / "demo"))


@dataclass
class Outline(HTMLParser):
    """What a page is made of, as a parser sees it."""

    elements: list[tuple[str, dict]] = field(default_factory=list)
    headings: list[tuple[int, str]] = field(default_factory=list)
    text: str = ""

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag in ("h1", "h2", "h3", "h4"):
            self.headings.append((int(tag[1]), ""))
            self.inside = tag

    def handle_endtag(self, tag):
        if tag == getattr(self, "inside", None):
            self.inside = None

    def handle_data(self, data):
        self.text += data
        if getattr(self, "inside", None):
            level, words = self.headings[-1]
            self.headings[-1] = (level, words + data)

    def having(self, tag: str) -> list[dict]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture
def outline():
    def read(page: str) -> Outline:
        parser = Outline()
        parser.feed(page)
        parser.close()
        return parser

    return read
