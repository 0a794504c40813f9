"""What the tests of analyses look at: a tiny network with labelled images, with a folder for what is found."""

import pytest
import torch

from glassnet.analysis.base import Context
from tiny_nets import make_subject


@pytest.fixture
def make():
    return make_subject


@pytest.fixture
def subject(tmp_path):
    """A subject with a store."""
    return make_subject(tmp_path / "kept")


@pytest.fixture
def context():
    """What further analyses share."""
    return Context(torch.device("cpu"))
