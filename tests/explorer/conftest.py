"""Pages of small runs."""

import pytest

from explorer_page import Page


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
    import shutil

    import torch

    import glassnet as gn
    from tiny_runs import replace_weights

    shutil.copytree(finished.path, copied := tmp_path_factory.mktemp("runs") / "weaker")
    weights = gn.Run.open(copied).weights()
    noise = torch.randn(weights["fc2.weight"].shape, generator=torch.Generator().manual_seed(0))
    replace_weights(copied, {**weights, "fc2.weight": weights["fc2.weight"] + 0.3 * noise})
    return copied
