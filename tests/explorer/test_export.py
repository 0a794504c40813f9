"""A static export: the app's own answers as files, under the names that the page asks for; whole, or not there."""

import asyncio
import json
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from command_line import answer, refused
from glassnet.errors import InputError
from glassnet.explorer.export import MARK, export
from glassnet.explorer.export_plan import PICTURES, Request, _embeddings, opened_first, requests_of
from glassnet.explorer.subjects import Subjects


@pytest.fixture(scope="module")
def static(tmp_path_factory):
    """A built page."""
    folder = tmp_path_factory.mktemp("static")
    (folder / "assets").mkdir()
    (folder / "index.html").write_text('<!doctype html><html lang="en"><head><title>x</title></head></html>')
    (folder / "assets" / "app.js").write_text("1")
    return folder


@pytest.fixture(scope="module")
def run(finished, tmp_path_factory):
    shutil.copytree(finished.path, copied := tmp_path_factory.mktemp("runs") / "digits")
    return copied


@pytest.fixture(autouse=True, scope="module")
def _quick():
    """Without t-SNE and probes, which take long."""

    def without_scores(*given):
        return (one for one in requests_of(*given) if not one.path.endswith("/scores"))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("glassnet.explorer.export.requests_of", without_scores)
        patch.setattr("glassnet.explorer.export_plan.PICTURES", (("pca", 2), ("pca", 3)))
        yield


@pytest.fixture(scope="module")
def made(run, static, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exports") / "page"
    return export(Subjects([run]), folder, images="3,14", layers=["fc1", "conv4"], static=static)


@pytest.fixture(scope="module")
def index(made):
    return json.loads((made.folder / "data" / "index.json").read_text())


def read(made, index, key):
    """What the page reads for a request."""
    entry = index[key]
    body = (made.folder / "data" / entry["file"]).read_bytes()
    if entry["arrays"] is None:
        return json.loads(body)
    arrays, start = {}, 0
    for one in entry["arrays"]:
        kind = np.dtype({"float32": "<f4", "int32": "<i4", "uint8": "u1"}[one["dtype"]])
        size = int(np.prod(one["shape"])) * kind.itemsize
        arrays[one["name"]] = np.frombuffer(body[start : start + size], kind).reshape(one["shape"])
        start += size
    return arrays


def test_it_exports_where_an_event_loop_runs_as_in_a_notebook(run, static, tmp_path):
    async def cell():
        return export(Subjects([run]), tmp_path / "page", images="3", layers=["fc1"], static=static)

    with ThreadPoolExecutor(1) as thread:  # a loop of its own, whatever runs in this one
        exported = thread.submit(asyncio.run, cell()).result()
    assert (exported.folder / "data" / "index.json").exists()
    assert exported.answers > 0


def test_the_page_is_there_and_knows_that_it_is_an_export(made, static):
    assert (made.folder / "assets" / "app.js").read_text() == "1"
    page = (made.folder / "index.html").read_text()
    assert page == (static / "index.html").read_text().replace("<head>", f"<head>{MARK}")
    assert MARK not in (static / "index.html").read_text()


def test_it_holds_all_that_the_page_asks_for(made, index):
    of = "GET /subjects/digits"
    names = "conv1,conv2,conv3,conv4"
    for key in (
        "GET /session",
        of,
        f"{of}/labels?part=test",
        f"{of}/atlas?part=test",
        f"{of}/columns?part=test",
        f"{of}/names?part=test",
        f"{of}/embeddings?part=test",
        f"{of}/network",
        f"{of}/training",
        f"{of}/label-errors?layer=fc1&part=test",
        f"{of}/embedding?dims=2&layer=fc1&method=pca&part=test",
        f"{of}/embedding?align=fc1&dims=3&layer=conv4&method=pca&part=test",
        f"{of}/image/14?part=test",
        f"{of}/picture/14?part=test",
        f"{of}/pixels/14?part=test",
        f"{of}/maps/14?layers={names}&methods=gradcam,guided_gradcam&part=test&target=predicted",
        f"{of}/maps/3?layers=conv4&methods=gradcam&part=test&target=predicted",
        f"{of}/channels/3?layer=conv4&part=test",
        f"{of}/layer-channels?layer=conv4&part=test",
        f"{of}/neighbours/3?count=24&layer=fc1&part=test",
    ):
        assert key in index, key
    atlas = read(made, index, f"{of}/atlas?part=test")
    for page in range(atlas["pages"]):
        assert f"{of}/atlas/{page}?digest={atlas['digest']}&part=test" in index
    assert f"{of}/maps/4" not in "".join(index)
    listed = read(made, index, f"{of}/embeddings?part=test")["embeddings"]
    assert {one["layer"] for one in listed} == {"fc1", "conv4"}
    for one in listed:  # the page asks for them with all their settings
        align = "" if one["layer"] == "fc1" else "align=fc1&"
        settings = "images={images}&layer={layer}&method={method}&part=test&seed={seed}".format(**one)
        assert f"{of}/embedding?{align}dims={one['dims']}&{settings}" in index
    assert not made.left_out
    files = {one.name for one in (made.folder / "data").iterdir()} - {"index.json"}
    assert files == {entry["file"] for entry in index.values()}
    assert made.answers == len(index)


def test_the_answers_are_the_apps_own(made, index, pages, run):
    page = pages(run)
    assert read(made, index, "GET /session") == {**page.json("/session"), "exported": True}
    of = "GET /subjects/digits"
    assert read(made, index, f"{of}/label-errors?layer=fc1&part=test") == page.json("label-errors?layer=fc1")
    key = f"{of}/maps/14?layers=conv1,conv2,conv3,conv4&methods=gradcam,guided_gradcam&part=test&target=predicted"
    arrays, meta = page.arrays("maps/14")
    exported = read(made, index, key)
    assert exported.keys() == arrays.keys()
    assert all(np.array_equal(exported[name], arrays[name]) for name in arrays)
    assert {**index[key]["meta"], "seconds": 0} == {**meta, "seconds": 0}
    picture = made.folder / "data" / index[f"{of}/picture/3?part=test"]["file"]
    assert picture.suffix == ".png"
    assert picture.read_bytes() == page.ask("picture/3").content


def test_each_layer_has_a_tsne_and_two_pcas_as_they_are_and_turned_onto_the_first():
    asked = [one.params for one in _embeddings("/subjects/a", ["fc1", "conv4"], "fc1")]
    assert PICTURES == (("tsne", 2), ("pca", 2), ("pca", 3))
    assert {"part": "test", "layer": "conv4", "method": "pca", "dims": 2, "align": "fc1"} in asked
    assert len(asked) == 6  # of the two that are quick


def test_the_scores_of_the_layers_are_asked_for(run):
    paths = [one.path for one in requests_of(next(iter(Subjects([run]).all.values())), [], [])]
    assert "/subjects/digits/scores" in paths


def test_keys_are_those_of_the_client():
    request = Request("/subjects/a@b+c d/maps/3", {"part": "test", "layers": "a,b"})
    assert request.key == "GET /subjects/a%40b%2Bc d/maps/3?layers=a,b&part=test"


def test_an_earlier_export_is_replaced_and_other_files_are_not(made, run, static, tmp_path):
    shutil.copytree(made.folder, folder := tmp_path / "page")
    (folder / "data" / "old.bin").write_text("old")
    export(Subjects([run]), folder, images="5", layers=["fc1"], static=static)
    assert not (folder / "data" / "old.bin").exists()
    assert [one.name for one in tmp_path.iterdir()] == ["page"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="holds other files; give a new folder, or an earlier export"):
        export(Subjects([run]), tmp_path / "mine", static=static)
    assert [one.name for one in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"images": "99999"}, "--images contains index 99999"),
        ({"images": "best:3"}, "--images is 'best:3'"),
        ({"layers": ["conv9"]}, "no layer 'conv9'"),
    ],
)
def test_what_fails_leaves_nothing(run, static, tmp_path, asked, message):
    with pytest.raises(InputError, match=message):
        export(Subjects([run]), tmp_path / "page", static=static, **asked)
    assert list(tmp_path.iterdir()) == []


def test_killed_in_between_it_leaves_nothing(run, static, tmp_path, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("glassnet.explorer.export.write_json", killed)
    with pytest.raises(KeyboardInterrupt):
        export(Subjects([run]), tmp_path / "page", images="3", layers=["fc1"], static=static)
    assert list(tmp_path.iterdir()) == []


def test_an_answer_that_cannot_be_had_is_named_and_the_rest_is_there(run, static, tmp_path, monkeypatch, capsys):
    def fails(*_):
        raise InputError("no channels today.")

    monkeypatch.setattr("glassnet.explorer.routes.maps._channels", fails)
    made = export(Subjects([run]), tmp_path / "page", images="3", layers=["conv4"], static=static)
    assert made.left_out == {"GET /subjects/digits/channels/3?layer=conv4&part=test": "no channels today."}
    assert "left out: 1 answers" in capsys.readouterr().err


def test_the_command_exports(capsys, run, static, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "glassnet.explorer.export.export.__kwdefaults__", {"images": "", "layers": (), "static": static}
    )
    said = answer(capsys, "explore", run, "--export", tmp_path / "page", "--images", "3", "--layers", "fc1")
    assert said["answers"] == len(json.loads((tmp_path / "page" / "data" / "index.json").read_text()))
    assert "give --export DIR" in refused(capsys, "explore", run, "--images", "3")


def test_without_the_built_page_there_is_nothing_to_export(run, tmp_path):
    with pytest.raises(InputError, match="the page was not built, so nothing can be exported"):
        export(Subjects([run]), tmp_path / "page", static=tmp_path)


def test_images_that_a_view_opens_by_itself_are_there(segmented, static, tmp_path, monkeypatch):
    monkeypatch.setattr("glassnet.explorer.export_plan._maps", lambda _opened: [("conv7", "gradcam", "predicted")])
    monkeypatch.setattr("glassnet.explorer.export_plan.NEIGHBOURS", 2)
    shutil.copytree(segmented.path, tmp_path / "scenes")
    made = export(Subjects([tmp_path / "scenes"]), tmp_path / "page", images="0", layers=["conv7"], static=static)
    index = json.loads((made.folder / "data" / "index.json").read_text())
    columns = read(made, index, "GET /subjects/scenes/columns?part=test")
    for number in columns["numbers"]:  # of four images all are among the best or the worst
        assert f"GET /subjects/scenes/segmentation/{number}?part=test" in index
    assert not made.left_out


def test_where_two_networks_differ_both_are_there(run, static, tmp_path):
    asked = Request("/compare", {"first": "a", "second": "b", "part": "test"})
    body = json.dumps({"disagreements": [{"number": n} for n in range(9)]}).encode()
    opened = list(opened_first(asked, body))
    assert opened[:2] == [("a", 0), ("b", 0)]
    assert len(opened) == 8
