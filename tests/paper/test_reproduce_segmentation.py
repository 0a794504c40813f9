import pytest

import tiny_voc
from glassnet.errors import InputError
from glassnet.paper.segmentation import segmentation, training_settings
from glassnet.settings.reproduce import ReproduceSettings


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    root = tiny_voc.lay_out(tmp_path_factory.mktemp("data"))
    return ReproduceSettings(part="segmentation", epochs=1, seeds=(0,), data_root=root, precision="fp32")


@pytest.fixture(scope="module")
def done(asked, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "seg"
    return segmentation(asked, out), out


def test_tables_have_the_reports_number_and_the_background_beside_ours(done):
    made, _ = done
    table, classes = made.tables
    rows = {row[:2]: row for row in table.rows}
    assert set(rows) == {
        ("fcn8_small", "voc-aug"),
        ("unet_small", "voc-aug"),
        ("fcn8_small", "voc-aug-union"),
        ("fcn8_small", "voc-aug-union-clean"),
    }
    assert rows["fcn8_small", "voc-aug-union"][3] == "0.7800"
    assert rows["unet_small", "voc-aug"][3] == "–"
    assert float(rows["fcn8_small", "voc-aug"][5]) == pytest.approx(0.5, abs=0.1)  # half of each mask is background
    assert len(classes.rows) == 21


def test_figures_notes_and_verdicts(done):
    made, out = done
    assert [figure.name for figure in made.figures] == ["figure-4", "figure-5"]
    assert all((out / "figures" / f"{name}.png").exists() for name in ("figure-4", "figure-5"))
    assert any("2 images are in the training and in the test part" in note for note in made.notes)
    leak, _, *people = made.verdicts
    assert (leak.supported, leak.interval) == ("undecided", None)  # one seed
    assert len(people) == 4


def test_finished_runs_are_not_trained_again_and_others_not_taken(done, asked, monkeypatch):
    made, out = done
    monkeypatch.setattr("glassnet.paper.segmentation.train", lambda settings: pytest.fail("trained again"))
    assert segmentation(asked, out).tables == made.tables
    others = ReproduceSettings(part="segmentation", epochs=2, seeds=(0,), data_root=asked.data_root)
    with pytest.raises(InputError, match=r"was trained with other settings; move it away, or give another --out"):
        segmentation(others, out)


def test_the_published_schedule():
    settings = training_settings(ReproduceSettings(), "unet_small", "voc-aug", 2)
    assert (settings.epochs, settings.batch_size, settings.seed, settings.data) == (40, 32, 2, "voc-aug")
