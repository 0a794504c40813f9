import json

import pytest

from glassnet.cli.training import reproduce
from glassnet.settings.train import ReproduceSettings


@pytest.fixture(scope="module")
def done(network, tmp_path_factory):
    out = tmp_path_factory.mktemp("reproduced") / "channels"
    return reproduce(ReproduceSettings(part="channels", run=network.path, out=out)), out


def test_each_layer_has_a_row_and_a_sheet(done):
    answer, out = done
    told = json.loads((out / "channels.json").read_text())
    (table,) = told["tables"]
    assert [row[0].split()[0] for row in table["rows"]] == ["conv1", "conv2", "conv3", "conv4"]
    assert set(told["dead"].values()) <= set(range(9))
    assert len(told["figures"]) == 4
    assert all(
        (out / "figures" / f"{figure['name']}.{s}").exists() for figure in told["figures"] for s in ("png", "svg")
    )
    assert "Each channel is removed in turn on 500" in answer.text
    assert told["verdicts"] == []
