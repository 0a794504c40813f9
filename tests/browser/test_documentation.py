"""The documentation from disk: a page opens without any other host, and the search finds without a server."""

import shutil
from pathlib import Path

import pytest
from mkdocs.commands.build import build
from mkdocs.config import load_config

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A site of two pages, built as the documentation is, but for what its hooks generate."""
    docs, out = tmp_path_factory.mktemp("docs"), tmp_path_factory.mktemp("site")
    (docs / "index.md").write_text("# First\n\nNothing to find here.\n")
    (docs / "second.md").write_text("# Second\n\n## Where it is\n\nThe word is trustworthiness.\n")
    shutil.copytree(ROOT / "docs" / "site", docs / "site")
    nav = [{"First": "index.md"}, {"Second": "second.md"}]
    config = load_config(str(ROOT / "mkdocs.yml"), docs_dir=str(docs), site_dir=str(out), hooks=[], nav=nav)
    build(config)
    return out


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 390])
def test_a_page_opens_from_disk_and_its_search_finds(browser, site, width):
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.set_default_timeout(100_000)  # on a busy machine the index takes its time
    asked, complaints = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto((site / "index.html").as_uri())
    if width < 960:  # the field is behind a glass there
        page.locator("label[for=__search].md-header__button").click()
    page.locator(".md-search__input").focus()
    page.get_by_text("Type to start searching").wait_for()  # the index is read
    page.keyboard.type("trustworthiness")
    found = page.locator(".md-search-result__item a").first
    found.wait_for()
    assert "Second" in found.inner_text()
    # Once the glass behind the results has spread, nothing is wider than the window.
    page.wait_for_function("document.documentElement.scrollWidth <= window.innerWidth")
    found.click()
    page.wait_for_url("**/second.html*")
    assert [url for url in asked if not url.startswith(("file:", "data:", "about:", "blob:"))] == []
    assert complaints == []
    page.close()
