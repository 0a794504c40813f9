"""Every page of the documentation, followed word by word: its commands and its Python run, in the order of the page.

`docs/site/follow.py` says how, and how a page marks a block that cannot be run. Pages with a test of their own are
followed there.
"""

import re
from pathlib import Path

import numpy as np
import pytest
from follow import blocks, follow, write
from PIL import Image

DOCS = Path(__file__).parents[2] / "docs"
ELSEWHERE = {
    "guide.md": "test_guide.py",
    "tutorial.md": "test_tutorial.py",
    "extending": "test_extending.py",
    "channels.md": "test_channels_page.py",
    "networks.md": "test_networks.py",
}
"""Pages and folders of pages, and the test that follows them."""
PAGES = [
    page
    for page in sorted(DOCS.rglob("*.md"))
    if page.relative_to(DOCS).parts[0] not in ELSEWHERE and any(b.language in ("bash", "python") for b in blocks(page))
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
@pytest.mark.usefixtures("blank_figures")
def test_a_page_is_followed(page, desk):
    follow(page)
    for picture in desk.glob("*.png"):
        pixels = np.asarray(Image.open(picture).convert("L"))
        assert min(pixels.shape) > 100
        assert len(np.unique(pixels)) > 20, "it is blank"
        if (DOCS / "pictures" / picture.name).exists():
            assert f"pictures/{picture.name})" in page.read_text()


def test_every_page_is_followed_or_says_why_not():
    missing = [test for test in ELSEWHERE.values() if not (Path(__file__).parent / test).exists()]
    assert missing == []
    for page in DOCS.rglob("*.md"):
        for block in blocks(page):
            assert block.language in ("bash", "python", "text", "diff", "html") or block.title, (page, block.line)
            assert not block.reason or len(block.reason.split()) >= 3, (page, block.line)


def test_few_blocks_are_not_run():
    """Besides those of the results, each of which takes long."""
    pages = [page for page in DOCS.rglob("*.md") if not page.relative_to(DOCS).as_posix().startswith("results")]
    code = [block for page in pages for block in blocks(page) if block.language in ("bash", "python")]
    assert sum(bool(block.reason) for block in code) < 0.4 * len(code)


def test_a_command_that_fails_and_one_that_does_not_exist_are_found(desk, tmp_path):
    def page(text):
        (tmp_path / "page.md").write_text(text)
        return tmp_path / "page.md"

    with pytest.raises(AssertionError, match=r"page\.md:2: glassnet eval runs/none"):
        follow(page("\n```bash\nglassnet eval runs/none\n```\n"))
    with pytest.raises(AssertionError, match="may call glassnet and python, got rm"):
        follow(page("```bash\nrm -r photos\n```\n"))
    with pytest.raises(ZeroDivisionError):
        follow(page("```python\n1 / 0\n```\n"))
    with pytest.raises(Exception, match="no-such-option"):
        follow(page("<!-- not run: it would take long -->\n```bash\nglassnet eval RUN --no-such-option\n```\n"))
    assert follow(page("<!-- not run: it would take long -->\n```python\n1 / 0\n```\n")) == {"__name__": "__main__"}


def test_files_are_written_and_changed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = tmp_path / "page.md"
    page.write_text(
        '```python title="a/b.py"\nONE = 1\nTWO = 2\n```\n\n```diff title="a/b.py"\n ONE = 1\n-TWO = 2\n+TWO = 3\n```\n'
    )
    follow(page)
    assert (tmp_path / "a" / "b.py").read_text() == "ONE = 1\nTWO = 3\n"
    with pytest.raises(AssertionError, match="has the lines of the change 0 times"):
        write(blocks(page)[1])


def test_links_of_the_site_lead_to_pages():
    """`make check` builds the site and follows every link; this is what can be said without building it."""
    nav = (DOCS.parent / "mkdocs.yml").read_text()
    listed = set(re.findall(r"([\w/-]+\.md)", nav.partition("\nnav:")[2]))
    assert {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")} <= listed
