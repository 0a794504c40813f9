import json
from pathlib import Path

import pytest

from glassnet.errors import InputError
from glassnet.reproduction import classification as part
from glassnet.reproduction.classification import Row, network_tables
from glassnet.reproduction.reported import FIGURE_1, FIGURE_3
from glassnet.reproduction.trainings import base_settings, folder_of, grid_trainings
from glassnet.settings.train import ReproduceSettings
from glassnet.training import epochs_done
from glassnet.tuning import Cell, tune

FEW = ((2, 2, 2, 2), (2, 2, 4, 4))


def row(name, accuracies, *, reported=None):
    seeds = tuple(range(len(accuracies)))
    losses = tuple(1 - a for a in accuracies)
    paths = tuple(Path(f"{name}_seed={seed}") for seed in seeds)
    cell = Cell(name, {}, 1234, seeds, (), paths, losses, accuracies, losses, accuracies, losses)
    return Row(name, cell, reported)


@pytest.fixture(scope="module")
def settings(pictures):
    return ReproduceSettings(
        part="classification", data=pictures, epochs=1, seeds=(0, 1), models=("convnet",), precision="fp32"
    )


@pytest.fixture(scope="module")
def done(settings, tmp_path_factory):
    out = tmp_path_factory.mktemp("reproduced") / "classification"
    return part.classification(settings, out, filters=FEW), out


def test_tables_and_figures_of_what_was_trained(done):
    made, out = done
    assert [table.caption.split(":")[0] for table in made.tables] == ["Figure 1", "Figure 3", "Figure 3, step by step"]
    assert [r[0] for r in made.tables[1].rows] == ["2,2,2,2", "2,2,4,4"]
    assert [r[0] for r in made.tables[0].rows] == ["convnet (Figure 2)"]
    assert made.tables[2].rows[0][0] == "2,2,2,2 → 2,2,4,4"
    assert [figure.name for figure in made.figures] == ["figure-1", "figure-2", "figure-3"]
    assert all((out / "figures" / f"{figure.name}.{s}").exists() for figure in made.figures for s in ("png", "svg"))
    assert "not for" in made.notes[2]  # these are no MNIST digits
    assert json.dumps(made.to_json())
    assert made.verdicts == ()  # none of the report's settings was trained


def test_the_list_of_trainings_is_what_was_trained(done, settings, monkeypatch):
    """The report's own network among them, which parts features, gradcam and channels then open."""
    _, out = done
    monkeypatch.setattr(part, "FIGURE_3", dict.fromkeys(FEW))
    listed = part.trainings(settings, out)
    assert {path.parent for path in out.rglob("run.json")} == {one.path for one in listed}
    assert [epochs_done(one.settings, one.path) for one in listed] == [None] * 4
    (again,) = grid_trainings(base_settings(settings), {"filters": ["2,2,4,4"]}, (1,), folder_of(out), ())
    assert again.path in {one.path for one in listed}


def test_the_network_in_both_figures_is_trained_once_and_nothing_again(done, settings, monkeypatch):
    made, out = done
    assert len(list((out / "training").glob("*_seed=*"))) == len(FEW) * 2
    monkeypatch.setattr("glassnet.training.resume.train", None)
    monkeypatch.setattr(part, "plot_networks", lambda *_: made.figures)
    assert part.classification(settings, out, filters=FEW).to_json() == made.to_json()


def test_networks_and_filters_share_a_folder(settings, tmp_path, monkeypatch):
    asked = []

    def watched(base, axes, *, seeds, out):
        asked.append(axes)
        return tune(base, {"filters": [FEW[0]]}, seeds=seeds, out=out)

    monkeypatch.setattr(part, "tune", watched)
    monkeypatch.setattr(part, "plot_networks", lambda *_: ())
    every = ReproduceSettings(part="classification", data=settings.data, epochs=1, seeds=(0,), precision="fp32")
    made = part.classification(every, tmp_path / "out", filters=FEW[:1])
    assert asked == [
        {"model": ["alexnet_small", "resnet_small", "vgg_small"]},
        {"model": ["convnet"], "filters": [FEW[0]]},
    ]
    assert made.tables[0].rows[0][:5] == ("alexnet_small", "–", "–", "no finished run", "–")
    assert {verdict.supported for verdict in made.verdicts} == {"undecided"}


def test_verdicts_follow_from_the_figures():
    networks = {
        "vgg_small": row("vgg_small", (0.996, 0.997, 0.9965)),
        "resnet_small": row("resnet_small", (0.99, 0.992, 0.9905)),
        "alexnet_small": row("alexnet_small", (0.9985, 0.999, 0.9989)),
    }
    names = [part._text(filters) for filters in FIGURE_3]
    accuracies = [(0.98, 0.981), (0.985, 0.9861), (0.986, 0.987), (0.99, 0.9911), (0.985, 0.98604)]
    tuned = [row(name, values) for name, values in zip(names, accuracies, strict=True)]
    decided = {verdict.claim: verdict.supported for verdict in part.judge(networks, tuned)}
    assert decided == {
        "VGG beats ResNet here": "supported",
        "VGG beats AlexNet here": "refuted",
        "More filters help, up to 32,32,64,64": "supported",
        "Still more filters, 64,64,64,64, do worse": "supported",
        "More filters help until overfitting": "supported",
    }


def test_one_seed_decides_nothing():
    networks = {name: row(name, (0.99,)) for name in FIGURE_1}
    tuned = [row(part._text(filters), (0.99,)) for filters in FIGURE_3]
    verdicts = part.judge(networks, tuned)
    assert {verdict.supported for verdict in verdicts} == {"undecided"}
    assert "1 common seed" in verdicts[0].decided
    steps = network_tables([], tuned)[1].rows
    assert [r[1] for r in steps] == ["– (fewer than two seeds)"] * 4


def test_the_reports_number_stands_beside_ours():
    (table,) = network_tables([row("vgg_small", (0.996, 0.998), reported=FIGURE_1["vgg_small"])], [])
    assert table.rows == (
        ("vgg_small", "1,234", "0.9955", "0.9970 ± 0.0014 (2)", "+0.0015", "0.0144", "0.0030 ± 0.0014 (2)", "-0.0114"),
    )


def test_a_network_that_is_not_the_reports(tmp_path):
    wrong = ReproduceSettings(part="classification", models=("vgg19",))
    with pytest.raises(InputError, match=r"no network 'vgg19' in the report's Figures 1 to 3.*The networks are: alex"):
        part.classification(wrong, tmp_path / "out")
    assert not (tmp_path / "out").exists()
