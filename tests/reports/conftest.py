"""What the tests of reports share: a run with its report, and a page as a parser sees it."""

import shutil
from dataclasses import dataclass, field
from html.parser import HTMLParser

import pytest

import glassnet as gn
from glassnet.experiment import Run


@pytest.fixture
def run(reported, tmp_path) -> Run:
    """A copy of it, to be changed."""
    return gn.Run.open(shutil.copytree(reported.path, tmp_path / "tiny"))


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
