"""The report's section on channels: its numbers are those of `channels` and `ablate`, its sheets those kept."""

from functools import partial

import numpy as np
import pytest

import glassnet as gn
from glassnet.analysis import Context, analyse, stored
from glassnet.blocks import Fold, Missing, Picture, Prose
from glassnet.measures import show
from glassnet.microscope import maximise
from glassnet.reports.assemble import gather, run_report
from glassnet.reports.channels import channel_blocks
from glassnet.subject import Subject
from glassnet.tables import Table
from tiny_nets import CLASSES, TinyNet, coloured, make_subject

IMAGES, LABELS = coloured(24)


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """An analysis of a tiny network's channels, kept."""
    return analyse(make_subject(tmp_path_factory.mktemp("channels")), "channels")


def test_the_tables_have_the_numbers_of_channels_and_ablate(measured):
    prose, overview, sheet, *folds = channel_blocks([measured])
    layers = gn.channels(TinyNet(), IMAGES, LABELS, layers=["bn", "conv2"], classes=CLASSES)
    dead = {name: len(layers[name].dead) for name in ("bn", "conv2")}
    assert prose.sentences[0] == "Of the 12 channels of 2 layers, 2 are dead: none of 24 images activates them."
    assert [row[:2] for row in overview.rows] == [("conv1", f"{dead['bn']} of 4"), ("conv2", f"{dead['conv2']} of 8")]
    assert isinstance(sheet, Picture)
    assert sheet.title.startswith("What conv2 has learned")
    for name, fold in zip(("bn", "conv2"), folds, strict=True):
        table = next(one for one in fold.blocks if isinstance(one, Table))
        layer, lost = layers[name], gn.ablate(TinyNet(), IMAGES, LABELS, name)
        rows = {int(row[0]): dict(zip(table.columns[1:], row[1:], strict=True)) for row in table.rows}
        best = [c for c in np.argsort(-np.nan_to_num(layer.selectivity, nan=-1), kind="stable") if not layer.is_dead[c]]
        assert [c for c, row in rows.items() if row["why"] in ("selective", "both")] == best[:4]
        worst = [c for c in lost.order("loss").tolist() if lost.lost("loss")[c] > 0]
        assert {c for c, row in rows.items() if row["why"] in ("needed", "both")} == set(worst[:4])
        for channel, row in rows.items():
            preferred = layer.preferred[channel]
            assert row["selective for"] == f"{CLASSES[preferred]}: {layer.selectivity[channel]:.2f}"
            assert row["AUROC"] == f"{layer.auroc[channel, preferred]:.3f}"
            assert row["Loss rise"] == show("loss", lost.lost("loss")[channel])
    assert "2 are dead" in prose.sentences[0]
    (words,) = (one for one in folds[1].blocks if isinstance(one, Prose))
    assert words.sentences == ("Dead in conv2, activated by no image: 2, 5.",)


def test_older_ones_are_folded_and_pages_stand_with_their_layer(measured, tmp_path, monkeypatch):
    for place in ("channel_sheets", "measured_channels"):
        monkeypatch.setattr(f"glassnet.analysis.{place}.PAGE", 3)
    subject = make_subject(tmp_path)
    analyse(subject, "channels", layers="conv2", seed=1, ablation_images=0)
    analyse(subject, "channels", sheet=8, ablation_images=0)
    blocks = list(channel_blocks(stored(subject, "channels")))
    assert blocks[-1].summary == "Also measured: conv2, 24 images, seed 1"
    assert isinstance(blocks[-1], Fold)
    pictures = {fold.summary: [one.title for one in fold.blocks if isinstance(one, Picture)] for fold in blocks[-3:-1]}
    assert pictures["conv1 (after bn): its channels"] == [
        "What conv1 (after bn) has learned: 4 channels, page 1 of 2",
        "What conv1 (after bn) has learned: 4 channels, page 2 of 2",
    ]
    assert len(pictures["conv2: its channels"]) == 2  # the first page stands open above
    assert list(channel_blocks([])) == []


def test_sheets_for_which_the_page_has_no_room_are_named(measured, monkeypatch):
    monkeypatch.setattr("glassnet.reports.channels.SHEET_BYTES", len(next(_sheets_of(measured)).drawing))
    _, _, sheet, first, last = channel_blocks([measured])
    assert sheet.title.startswith("What conv2")
    (missing,) = (one for one in first.blocks if isinstance(one, Missing))
    assert missing.what.startswith("The sheet of conv1 (after bn) would make this page too large; it is in ")
    assert not any(isinstance(one, Missing) for one in last.blocks)


def _sheets_of(measured):
    return (one for one in channel_blocks([measured]) if isinstance(one, Picture))


def test_without_labels_it_says_so(tmp_path):
    done = analyse(make_subject(tmp_path, labelled=False), "channels", layers="conv2")
    prose, overview, *_ = channel_blocks([done])
    assert "The images have no labels" in prose.sentences[-1]
    assert overview.columns == ("layer", "dead", "median active")


def test_whether_the_selective_ones_matter_is_said_by_the_interval(measured):
    from dataclasses import replace

    result, name = measured.result, "conv2"
    alive = ~np.isnan(result[name].selectivity)
    for sign, words in (
        (1, "tends to need its selective channels most"),
        (-1, "tends to need its selective channels least"),
    ):
        loss = result.ablations[name].baseline["loss"] + sign * np.where(alive, result[name].selectivity, 0)
        made = replace(result.ablations[name], ablated={**result.ablations[name].ablated, "loss": loss})
        told = replace(measured, result=replace(result, ablations={name: made}))
        found = told.result.agreement()
        assert found.correlation == pytest.approx(sign)
        (sentence,) = (one for one in next(iter(channel_blocks([told]))).sentences if "correlation" in one)
        assert found.interval is None or words in sentence


def test_how_many_synthetic_images_beat_the_real_ones_is_said_with_the_layer(tmp_path, monkeypatch):
    monkeypatch.setattr("glassnet.analysis.channels.visualize", partial(maximise.visualize, steps=2))
    done = analyse(make_subject(tmp_path), "channels", layers="conv2", ablation_images=0, visualize=True)
    made = done.result.pictures["conv2"]
    *_, fold = channel_blocks([done])
    said = [one for block in fold.blocks if isinstance(block, Prose) for one in block.sentences]
    assert said[0] == "Dead in conv2, activated by no image: 2, 5."
    above = int((made.rank == 1).sum())
    assert said[1].startswith(f"The synthetic images drive {above} of 6 live channels ({above / 6:.0%}) above")


def test_the_section_stands_in_the_report_of_a_run_that_has_it(run, outline):
    before = outline(gn.report(run).read_text())
    assert "What its channels have learned" not in [words for _, words in before.headings]
    made = gn.analyse(run, "channels", layers="conv1", images=100, ablation_images=50)
    report = run_report(gather(Subject.of_run(run), seed=0, precision="fp32", context=Context()))
    keys = [one.key for one in report.sections]
    assert keys.index("channels") == keys.index("layers") + 1
    page = outline(gn.report(run).read_text())
    assert "What its channels have learned" in [words for _, words in page.headings]
    assert made.figures[0].title in page.text
