import dataclasses
from pathlib import Path

import pytest

import glassnet as gn
from glassnet.run.transfer import changed_files, write_files
from glassnet.training import train_or_resume
from tiny_runs import stops_after_an_epoch, tiny


@pytest.fixture(scope="module")
def sent(brief, tmp_path_factory):
    """What a training of three epochs sends at its start, after its first epoch, and at its end."""
    path, stamps, packets = tmp_path_factory.mktemp("away") / "run", None, []
    with pytest.MonkeyPatch.context() as patch, stops_after_an_epoch(patch):
        gn.train(tiny(path))
    packets.append(changed_files(path))
    stamps = packets[0][1]
    train_or_resume(tiny(path), path)
    packets.append(changed_files(path, stamps))
    return [packet for packet, _ in packets]


def test_only_what_changed_is_sent_and_nothing_of_a_moment(sent, copy):
    assert set(sent[0]) == {"metrics.jsonl", "model.safetensors", "checkpoint/state.pt"}
    assert set(sent[1]) == {"run.json", *sent[0]}
    stamps = changed_files(copy.path)[1]
    assert changed_files(copy.path, stamps)[0] == {}
    (copy.path / ".x.tmp").write_text("half")
    (copy.path / "checkpoint" / "owner.json").write_text("{}")
    (copy.path / "metrics.jsonl").write_text("new")
    assert list(changed_files(copy.path, stamps)[0]) == ["metrics.jsonl"]


def test_a_run_that_came_home_names_its_place_there(sent, brief, tmp_path):
    home = tmp_path / "home"
    for packet in sent:
        write_files(home, packet)
    run = gn.Run.open(home)
    assert run.settings.out == home
    assert run.manifest["weights"] == brief.manifest["weights"]
    assert not (home / "checkpoint" / "model.safetensors").exists()


class Killed(BaseException):
    pass


def moves(monkeypatch, most):
    """Let so many files get their names, and no more: the process is killed then."""
    left, replace = iter(range(most)), Path.replace

    def replaced(self, target):
        if next(left, None) is None:
            raise Killed
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", replaced)


@pytest.mark.parametrize("most", range(4))
def test_killed_at_any_moment_it_resumes_to_the_same_weights(sent, brief, tmp_path, monkeypatch, most):
    home = tmp_path / "home"
    write_files(home, sent[0])
    later = {name: content for name, content in sent[1].items() if name != "run.json"}
    with monkeypatch.context() as patch:
        moves(patch, most)
        with pytest.raises(Killed):
            write_files(home, later)
    run = train_or_resume(dataclasses.replace(brief.settings, out=home), home)
    assert run.manifest["weights"] == brief.manifest["weights"]
