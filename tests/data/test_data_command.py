import json

import pytest

import tiny_voc
from glassnet.cli.catalogue import data
from glassnet.data import DATASETS
from glassnet.errors import InputError
from glassnet.settings import DataSettings


def run(action, name=None, *, root):
    answer = data(DataSettings(action=action, name=name, data_root=root))
    json.dumps(answer.data)  # it can be printed
    return answer


def test_list(tiny_mnist, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    root = tiny_mnist[1]
    answer = run("list", root=root)
    rows = {row["name"]: row for row in answer.data["datasets"]}
    assert answer.data["data_root"] == str(root)
    assert (rows["mnist"]["path"], rows["mnist"]["needs"]) == (str(root / "mnist"), None)
    assert (
        rows["mnist"] | {"classes": 10, "channels": 1, "image_size": 28, "train": 60_000, "test": 10_000}
        == rows["mnist"]
    )
    assert (rows["mnist-sample"]["train"], rows["mnist-sample"]["needs"]) == (4_000, None)
    assert (rows["folder"]["classes"], rows["folder"]["path"]) == (None, None)
    lines = answer.text.splitlines()
    assert lines[0].split() == ["name", "what", "classes", "image", "train", "test", "where"]
    assert "1×28×28  60,000  10,000" in lines[2]
    assert lines[2].endswith(str(root / "mnist"))
    assert (rows["fashion-mnist"]["test"], rows["fashion-mnist"]["path"]) == (10_000, None)
    assert (rows["cifar10"]["channels"], rows["cifar10"]["train"]) == (3, 50_000)
    shown = {line.split()[0]: line for line in lines[2:] if line.strip()}
    assert shown["cifar10"].endswith("needs `glassnet data fetch cifar10` (170.1 MB)")
    assert shown["stanford_dogs"].endswith("needs `glassnet data fetch stanford_dogs` (794.1 MB)")
    assert shown["voc-aug"].endswith("needs `glassnet data fetch voc-aug` (3.4 GB)")
    assert shown["folder"].endswith("needs a path of your own, as in folder:photos")
    assert shown["masks"].endswith("needs a path of your own, as in masks:scans")
    assert str(root) in lines[-1]


def test_list_what_is_missing(tmp_path):
    answer = run("list", "mnist", root=tmp_path)
    assert [row["name"] for row in answer.data["datasets"]] == ["mnist"]
    assert answer.data["datasets"][0]["needs"] == "`glassnet data fetch mnist` (11.6 MB)"
    assert "needs `glassnet data fetch mnist` (11.6 MB)" in answer.text


def test_verify_all(tiny_mnist, tiny_cifar10):
    answer = run("verify", root=tiny_mnist[1])
    statuses = {row["name"]: row["status"] for row in answer.data["verified"]}
    assert statuses == {
        "mnist": "verified, 30 training and 10 test images",
        "mnist-sample": "verified, 4,000 training and 1,000 test images",
        "fashion-mnist": "missing, needs `glassnet data fetch fashion-mnist` (30.9 MB)",
        "cifar10": "verified, 50 training and 10 test images",
        "digit-scenes": "verified, 4,000 training and 500 test images",
        "digit-pairs": "verified, 4,000 training and 1,000 test images",
        "voc-aug": "missing, needs `glassnet data fetch voc-aug` (3.4 GB)",
        "voc-aug-union": "missing, needs `glassnet data fetch voc-aug` (3.4 GB)",
        "voc-aug-union-clean": "missing, needs `glassnet data fetch voc-aug` (3.4 GB)",
        "stanford_dogs": "missing, needs `glassnet data fetch stanford_dogs` (794.1 MB)",
        "photos-sample": "verified, 3,640 training and 769 test images",
        "hf": "missing, needs a name on huggingface.co or a folder, as in hf:photos",
        "folder": "missing, needs a path of your own, as in folder:photos",
        "masks": "missing, needs a path of your own, as in masks:scans",
    }
    assert answer.text.splitlines()[0] == f"mnist: {statuses['mnist']} ({tiny_mnist[1] / 'mnist'})"


def test_verify_says_what_is_not_there(tmp_path, monkeypatch):
    monkeypatch.setattr("glassnet.data.DATASETS", {"mnist": DATASETS["mnist"]})
    assert "mnist: missing, needs `glassnet data fetch mnist`" in run("verify", root=tmp_path).text
    with pytest.raises(
        InputError, match=r"mnist cannot be verified because it is missing: it needs `glassnet data fetch mnist`"
    ):
        run("verify", "mnist", root=tmp_path)


def test_verify_refuses_a_damaged_set(tiny_mnist):
    file = tiny_mnist[1] / "mnist" / "t10k-images-idx3-ubyte.gz"
    file.write_bytes(file.read_bytes()[:4000])
    with pytest.raises(InputError, match=r"t10k-images-idx3-ubyte.gz ends after .* Delete it and run"):
        run("verify", root=tiny_mnist[1])


def test_verify_a_folder(tiny_folder, tmp_path):
    answer = run("verify", tiny_folder[0], root=tmp_path)
    assert answer.data["verified"][0]["status"] == "verified, 8 training and 2 test images"
    (tmp_path / "photos" / "cat" / "1.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"cat.1\.png cannot be read as an image"):
        run("verify", tiny_folder[0], root=tmp_path)


def test_fetch_what_is_there(tiny_mnist, tiny_fashion_mnist, tiny_cifar10, tiny_stanford_dogs):
    tiny_voc.lay_out(tiny_mnist[1])
    answer = run("fetch", root=tiny_mnist[1])
    embedded = {"mnist-sample", "digit-scenes", "digit-pairs", "photos-sample", "folder", "masks", "hf"}
    assert {row["name"]: row["status"] for row in answer.data["fetched"]} == {
        name: "nothing to download" if name in embedded else "already there, verified" for name in DATASETS
    }


def test_fetch_downloads(tiny_mnist, tiny_mnist_files, monkeypatch, tmp_path):
    from glassnet.data.datasets import mnist

    def deliver(files, *, mirrors, folder, dataset):
        assert mirrors == mnist.MIRRORS
        for file in files:
            (folder / file.name).write_bytes(tiny_mnist_files[file.name.removesuffix(".gz")])

    (tmp_path / "mnist" / "t10k-labels-idx1-ubyte.gz").unlink()
    monkeypatch.setattr(mnist, "fetch_files", deliver)
    answer = run("fetch", "mnist", root=tmp_path)
    assert answer.text == f"mnist: downloaded, verified ({tmp_path / 'mnist'})"


def test_fetch_refuses_a_damaged_file(tiny_mnist):
    (tiny_mnist[1] / "mnist" / "train-labels-idx1-ubyte.gz").write_bytes(b"")
    with pytest.raises(InputError, match=r"train-labels-idx1-ubyte.gz ends after 0 of 8 bytes\. Delete it and run"):
        run("fetch", root=tiny_mnist[1])


def test_fetch_offline(tmp_path):
    with pytest.raises(InputError, match="GLASSNET_OFFLINE forbids downloads"):
        run("fetch", "mnist", root=tmp_path)


@pytest.mark.parametrize("action", ["list", "fetch", "verify"])
def test_unknown_set(action, tmp_path):
    with pytest.raises(InputError, match=r"no data set 'minst'\. Did you mean mnist"):
        run(action, "minst", root=tmp_path)
