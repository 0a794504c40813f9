"""Pages of small runs."""

import pytest

from explorer_page import Page
from tiny_runs import weakened


@pytest.fixture(scope="session")
def pages():
    """Make pages, and end their work."""
    made = []

    def make(*given, **options):
        made.append(Page(*given, **options))
        return made[-1]

    yield make
    for page in made:
        page.subjects.close()


@pytest.fixture(scope="session")
def page(pages, finished, tmp_path_factory):
    """The page of a small classifier, whose run may be written to."""
    import shutil

    shutil.copytree(finished.path, copied := tmp_path_factory.mktemp("runs") / "digits")
    return pages(copied)


@pytest.fixture(scope="session")
def weaker(finished, tmp_path_factory):
    """The run with other weights, so that it says other things of the same images."""
    return weakened(finished.path, tmp_path_factory.mktemp("runs") / "weaker")
