"""Networks nobody here wrote: what glassnet says of each, against plain PyTorch. `make zoo` runs all."""

import pytest

from zoo.architectures import ARCHITECTURES, SAMPLE, missing
from zoo.comparison import compare, failures

# Other libraries' code of other days: what it warns of is theirs.
pytestmark = pytest.mark.filterwarnings("ignore")


def agree(name):
    architecture = ARCHITECTURES[name]
    if missing(architecture):
        pytest.skip(f"{missing(architecture)} is not installed: pip install 'glassnet[zoo]'")
    assert failures(compare(architecture)) == {}


@pytest.mark.parametrize("name", SAMPLE)
def test_a_dozen_networks_are_seen_as_plain_pytorch_sees_them(name):
    agree(name)


@pytest.mark.zoo
@pytest.mark.parametrize("name", [name for name in ARCHITECTURES if name not in SAMPLE])
def test_every_network_is_seen_as_plain_pytorch_sees_it(name):
    agree(name)
