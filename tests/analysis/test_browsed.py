"""What the explorer makes as somebody looks around: without figures, left out of reports, completed by who asks."""

import dataclasses
import json

import pytest

from glassnet.analysis import KINDS, Context, analyse, stored
from glassnet.analysis import base as base_module
from glassnet.errors import InputError
from glassnet.reports.assemble import gather
from glassnet.run import store as store_module
from tiny_nets import make_subject

ASKED = {"images": "0", "layers": "conv2", "methods": "gradcam"}


def document(entry):
    return json.loads((entry.path / "analysis.json").read_text())


def files(entry):
    return sorted(path.name for path in entry.path.iterdir())


@pytest.fixture
def browsed(subject):
    return analyse(subject, "attribution", figures=False, **ASKED)


def test_what_is_browsed_has_no_figures_and_says_so(browsed):
    assert document(browsed.entry)["browsed"] is True
    assert browsed.entry.browsed
    assert browsed.figures == ()
    assert files(browsed.entry) == ["analysis.json", "arrays.npz"]


def test_browsed_again_nothing_is_computed_and_nothing_written(subject, browsed):
    passes, stamp = subject.model().passes, browsed.entry.file.stat().st_mtime_ns
    again = analyse(subject, "attribution", figures=False, **ASKED)
    assert (again.entry.path, subject.model().passes) == (browsed.entry.path, passes)
    assert browsed.entry.file.stat().st_mtime_ns == stamp


def test_who_asks_for_it_gets_the_figures_of_one_that_was_never_browsed(subject, browsed, tmp_path):
    passes = subject.model().passes
    asked = analyse(subject, "attribution", **ASKED)
    assert subject.model().passes == passes
    never = analyse(make_subject(tmp_path / "other"), "attribution", **ASKED)
    assert asked.entry.path == browsed.entry.path
    assert asked.figures == never.figures
    assert files(asked.entry) == files(never.entry)
    one, other = document(asked.entry), document(never.entry)
    assert list(one) == list(other)
    assert (one["result"], one["figures"]) == (other["result"], other["figures"])
    for name in files(never.entry):
        if name.endswith(".png"):
            assert (asked.entry.path / name).read_bytes() == (never.entry.path / name).read_bytes()
    assert not analyse(subject, "attribution", figures=False, **ASKED).entry.browsed


def test_a_name_that_is_asked_for_is_given_to_what_had_none(subject, browsed):
    analyse(subject, "features", layer="fc1", name="taken")
    assert analyse(subject, "attribution", name="mine", **ASKED).name == "attribution/mine"
    with pytest.raises(InputError, match="choose another --name"):
        analyse(subject, "attribution", name="mine", **ASKED | {"images": "1"})
    other = analyse(subject, "attribution", figures=False, **ASKED | {"images": "1"})
    with pytest.raises(InputError, match="choose another --name"):
        analyse(subject, "attribution", name="mine", **ASKED | {"images": "1"})
    assert document(other.entry)["browsed"] is True


def test_what_it_needs_is_browsed_too(subject):
    made = analyse(subject, "embedding", layer="fc1", method="pca", figures=False)
    assert [one.entry.browsed for one in stored(subject)] == [True, True]
    assert {one.kind for one in stored(subject)} == {"embedding", "features"}
    assert not analyse(subject, "embedding", layer="fc1", method="pca").entry.browsed
    assert document(analyse(subject, "features", layer="fc1").entry).get("browsed") is None
    assert made.entry.path.name == "pca2-fc1"


def test_a_figure_that_fails_leaves_it_browsed_and_whole(subject, browsed):
    def fail(*_):
        yield from KINDS["attribution"].plots(subject, browsed.request, browsed.result, Context())
        raise RuntimeError("the second figure failed")

    before = {name: (browsed.entry.path / name).read_bytes() for name in files(browsed.entry)}
    kind = dataclasses.replace(KINDS["attribution"], plots=fail)
    with pytest.raises(RuntimeError, match="the second figure failed"):
        base_module.get(kind, subject, browsed.request)
    assert {name: (browsed.entry.path / name).read_bytes() for name in files(browsed.entry)} == before
    assert [path.name for path in browsed.entry.path.parent.iterdir()] == [browsed.entry.name]


def test_killed_before_the_last_file_it_is_browsed_as_before_and_completed_the_next_time(subject, browsed, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(store_module, "write_json", killed)
        with pytest.raises(KeyboardInterrupt):
            analyse(subject, "attribution", **ASKED)
    again = analyse(subject, "attribution", figures=False, **ASKED)
    assert again.entry.browsed
    assert again.figures == ()
    completed = analyse(subject, "attribution", **ASKED)
    assert completed.figures
    assert all(completed.entry.figure_file(one.name, "svg").exists() for one in completed.figures)


def test_one_that_is_removed_meanwhile_is_said(subject, browsed):
    def remove(*_):
        subject.store.remove(browsed.name)
        return KINDS["attribution"].plots(subject, browsed.request, browsed.result, Context())

    kind = dataclasses.replace(KINDS["attribution"], plots=remove)
    with pytest.raises(InputError, match="check whether the folder was removed"):
        base_module.get(kind, subject, browsed.request)


def test_reports_leave_it_out_until_it_is_asked_for(subject, browsed, monkeypatch):
    monkeypatch.setattr("glassnet.reports.assemble._wanted", lambda *_: [])  # what else a report makes takes long
    extra = browsed.request
    gathered = gather(subject, seed=0, precision="fp32", context=Context())
    assert extra not in [one.request for one in gathered.of("attribution")]
    assert [one.entry.browsed for one in stored(subject, "attribution") if one.request == extra] == [True]
    analyse(subject, "attribution", **ASKED)
    again = gather(subject, seed=0, precision="fp32", context=Context())
    assert extra in [one.request for one in again.of("attribution")]


def test_without_a_store_there_are_no_figures_either(make):
    bare = make()
    context = Context()
    assert analyse(bare, "attribution", figures=False, context=context, **ASKED).plots == ()
    assert analyse(bare, "attribution", context=context, **ASKED).plots


def test_of_many_entries_only_the_one_that_is_found_is_read(subject, monkeypatch):
    for image in range(6):
        analyse(subject, "attribution", figures=False, **ASKED | {"images": str(image)})
    analyse(subject, "attribution", figures=False, **ASKED)
    read = []
    monkeypatch.setattr(store_module, "read_entry", lambda place: read.append(place.name) or whole(place))
    assert analyse(subject, "attribution", figures=False, **ASKED).request.images == "0"
    assert len(read) == 1


whole = store_module.read_entry
