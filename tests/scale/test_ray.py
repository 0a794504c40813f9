"""A cluster of two nodes on this machine; it takes half a gigabyte and ten seconds, so that the tests share one."""

import dataclasses
import importlib.util
import json
import os
import threading
import time

import numpy as np
import pytest

import glassnet as gn
from glassnet.errors import InputError

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs Ray: pip install 'glassnet[ray]'"),
    # Ray's own
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::FutureWarning", "ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
NODE = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "node_ip_address": "127.0.0.1"}


@pytest.fixture(scope="module")
def cluster():
    """Two nodes of one CPU, which listen on this machine alone; the second one may be removed."""
    before = dict(os.environ)
    # Else Ray takes 127.0.0.1 for the address that other machines would use, where this cluster does not listen.
    os.environ |= {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_DEDUP_LOGS": "0"}
    import ray
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": False})
    made.second = made.add_node(**NODE)
    yield made
    ray.shutdown()
    made.shutdown()
    os.environ.clear()
    os.environ |= before


@pytest.fixture(scope="module")
def network():
    import torch

    torch.manual_seed(0)
    return gn.create_model("convnet", in_channels=1, num_classes=4, image_size=12, filters=(4, 4, 8, 8), hidden=8)


def test_features_are_the_local_ones_to_the_last_bit(cluster, network, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (200, 1, 12, 12), dtype=np.uint8)
    here = gn.extract_features(network, images, ["conv*", "fc1"], batch_size=8, out=tmp_path / "here")
    there = gn.extract_features(
        network, images, ["conv*", "fc1"], batch_size=8, out=tmp_path / "there", engine="ray", address=cluster.address
    )
    assert list(here) == list(there)
    for name in here:
        assert (tmp_path / "here" / f"{name}.npy").read_bytes() == (tmp_path / "there" / f"{name}.npy").read_bytes()
    bad = images.astype(np.float32)
    bad[130] = np.nan
    with pytest.raises(InputError, match=r"^image 130 has NaN or infinite pixels; leave it out\.$"):
        gn.extract_features(network, bad, "fc1", batch_size=8, engine="ray", address=cluster.address)


def test_a_cluster_that_is_not_there(network):
    with pytest.raises(
        InputError, match=r"no Ray cluster can be reached at --address 127.0.0.1:1 \(.*refused\); start one"
    ):
        gn.extract_features(network, np.zeros((4, 1, 12, 12)), "fc1", engine="ray", address="127.0.0.1:1")


def test_more_cpus_than_there_are(cluster, network):
    with pytest.raises(InputError, match="the cluster has 2 CPUs, but one worker needs 64; give each worker"):
        gn.extract_features(
            network, np.zeros((4, 1, 12, 12)), "fc1", engine="ray", address=cluster.address, worker_cpus=64
        )


def test_a_sweep_survives_the_death_of_a_node(cluster, base, tmp_path, numbers, capfd):
    base = dataclasses.replace(base, epochs=8)
    axes = {"filters": [(2, 2, 2, 2), (3, 3, 3, 3)]}
    whole = gn.tune(base, axes, seeds=(0, 1, 2), out=tmp_path / "local")
    killer = threading.Thread(target=remove_a_node_that_trains, args=(cluster, tmp_path / "ray"))
    killer.start()
    result = gn.tune(base, axes, seeds=(0, 1, 2), out=tmp_path / "ray", engine="ray", address=cluster.address)
    killer.join()
    assert len(cluster.list_all_nodes()) == 1
    assert json.dumps(numbers(result)) == json.dumps(numbers(whole))
    err = capfd.readouterr().err
    assert "died (" in err
    for cell in whole.cells:
        for path in cell.runs:
            home = tmp_path / "ray" / path.name
            assert gn.Run.open(home).manifest["weights"] == gn.Run.open(path).manifest["weights"]
            assert gn.Run.open(home).settings == dataclasses.replace(gn.Run.open(path).settings, out=home)


def remove_a_node_that_trains(cluster, out):
    """Kill the second node when two trainings have sent home an epoch each: it trains one of them."""
    for _ in range(6000):
        if sum(file.read_bytes().count(b"\n") > 1 for file in out.glob("*/metrics.jsonl")) > 1:
            break
        time.sleep(0.01)
    cluster.remove_node(cluster.second, allow_graceful=False)
