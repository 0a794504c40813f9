"""What the channels of a subject have learned: the numbers of `channels`, `ablate` and `visualize`, kept and drawn."""

import dataclasses
import json

import numpy as np
import pytest
import torch

import glassnet as gn
from glassnet.analysis import KINDS, analyse
from glassnet.analysis.base import Context
from glassnet.analysis.channel_rows import channel_rows, channels_table, driven, driven_words, overview
from glassnet.analysis.channel_sheets import _picture, facts
from glassnet.analysis.measured_channels import part_of
from glassnet.data.split import training_parts
from glassnet.errors import InputError
from glassnet.figures import channels as channels_figure
from glassnet.microscope import maximise
from glassnet.microscope.visualized import Visualized
from tiny_nets import CLASSES, TinyNet, coloured, make_subject
from tiny_runs import save_bars, tiny_segmentation, tiny_vae

IMAGES, LABELS = coloured(24)


class Ablated(TinyNet):
    """A network of which some channels are dead, one by hand."""

    def __init__(self):
        super().__init__()
        self.bn.weight.data[1], self.bn.bias.data[1] = 0, -1


@pytest.fixture
def measured(subject):
    return analyse(subject, "channels").result


def test_numbers_are_those_of_channels_and_ablate(measured):
    found = gn.channels(TinyNet(), IMAGES, LABELS, layers=["bn", "conv2"], classes=CLASSES)
    assert measured.channels.to_json() == found.to_json()
    assert measured.convolutions == {"bn": "conv1"}
    assert measured.title("bn") == "conv1 (after bn)"
    for layer in ("bn", "conv2"):
        assert measured.ablations[layer].to_json() == gn.ablate(TinyNet(), IMAGES, LABELS, layer).to_json()
    assert measured.notes == ()
    assert repr(measured).endswith("2 dead), 2 layers ablated)")


def test_a_layer_by_its_own_name_is_that_very_layer(subject):
    found = analyse(subject, "channels", layers=["fc1", subject.model().conv1], ablation_images=0).result
    assert list(found.channels) == ["conv1", "fc1"]
    assert (found.convolutions, found.ablations) == ({}, {})
    assert (
        found.channels["conv1"].to_json() == gn.channels(TinyNet(), IMAGES, LABELS, layers="conv1")["conv1"].to_json()
    )


def test_what_is_selective_and_what_is_needed(make):
    result = analyse(make(model=Ablated()), "channels", value="mean").result
    layer, found = result["bn"], result.ablations["bn"]
    assert layer.dead == (1,)
    assert found.value == "mean"
    alive = [c for c in range(4) if c != 1]
    assert result.selective("bn", 9).tolist() == sorted(alive, key=lambda c: -layer.selectivity[c])
    losses = found.lost("loss")
    assert (found.lost() == 0).all()  # so the loss tells them apart
    assert result.needed("bn").tolist() == sorted(np.flatnonzero(losses > 0).tolist(), key=lambda c: -losses[c])
    by_accuracy = dataclasses.replace(found, ablated={**found.ablated, "accuracy": found.baseline["accuracy"] - losses})
    assert (
        dataclasses.replace(result, ablations={"bn": by_accuracy}).needed("bn").tolist() == result.needed("bn").tolist()
    )
    whole, one = result.agreement(), result.agreement("conv2")
    assert whole.channels == 3 + len(result["conv2"]) - len(result["conv2"].dead)
    assert one.channels == len(result["conv2"]) - len(result["conv2"].dead)


def test_fewer_images_are_drawn_by_seed_and_keep_their_places(subject):
    found = analyse(subject, "channels", images=9, ablation_images=6, top=2, seed=1)
    assert found.name == "channels/conv-9-top2-ablate6-seed1"
    places = np.unique(found.result["conv2"].top_images)
    assert found.result.channels.images == 9
    assert found.result.ablations["conv2"].images == 6
    drawn = gn.channels(TinyNet(), IMAGES[places], LABELS[places], layers="conv2", top=1)["conv2"]
    assert found.result["conv2"].top_images[:, 0].tolist() == places[drawn.top_images[:, 0]].tolist()


def test_without_labels_there_are_images_and_no_classes(make):
    result = analyse(make(labelled=False), "channels").result
    assert result.channels.classes is None
    assert (result.ablations, result.agreement(), result.selective("bn").tolist()) == ({}, None, [])
    assert result.notes == ("The images have no labels, so the loss from removing a channel cannot be measured.",)
    assert list(facts(result, "conv2", 0)) == ["active in 100.0% of images"]


def test_pictures_are_made_of_the_channels_of_the_sheet_that_live(subject, monkeypatch):
    asked = []

    def quick(*arguments, **options):
        asked.append((arguments[1:], options["objective"], options["seed"], len(options["real"])))
        return maximise.visualize(*arguments, **options, steps=2)

    monkeypatch.setattr("glassnet.analysis.channels.visualize", quick)
    result = analyse(subject, "channels", layers="conv2", visualize=True, sheet=7, seed=3).result
    alive = [c for c in result.sheets["conv2"].tolist() if c not in result["conv2"].dead]
    assert asked == [(("conv2", alive), "neuron", 3, 24)]
    assert result.pictures["conv2"].channels.tolist() == alive
    made, rows = result.pictures["conv2"], channel_rows(result, "conv2", alive)
    pixels = torch.from_numpy(IMAGES).float() / 255
    net = TinyNet().eval()
    with torch.no_grad():
        best = net.conv2(net.relu(net.bn(net.conv1(pixels)))).amax(dim=(2, 3)).numpy()
    for row, c, reached in zip(rows, alive, made.activation.tolist(), strict=True):
        own = row["synthetic_image"]
        assert own["activation"] == reached
        assert own["best_real"] == pytest.approx(best[:, c].max(), rel=1e-5)
        assert own["multiple"] == (
            pytest.approx(reached / best[:, c].max(), rel=1e-4) if best[:, c].max() > 0 else None
        )
        assert own["rank"] == 1 + (best[:, c] >= reached).sum()
    above = sum(row["synthetic_image"]["rank"] == 1 for row in rows)
    told = driven(result, "conv2")
    assert (told["channels"], told["above_real"], told["share"]) == (len(alive), above, above / len(alive))
    known = [row["synthetic_image"]["multiple"] for row in rows if row["synthetic_image"]["multiple"] is not None]
    assert told["median_multiple"] == pytest.approx(np.median(known))
    assert f"drive {above} of {len(alive)} live channels" in driven_words(result, "conv2")
    again = analyse(subject, "channels", layers="conv2", visualize=True, sheet=7, seed=3)
    assert len(asked) == 1
    assert np.array_equal(again.result.pictures["conv2"].images, result.pictures["conv2"].images)


def test_pictures_of_normalised_images_are_left_out_and_that_is_said(tmp_path):
    normalised = IMAGES.astype(np.float32) / 50 - 1
    found = analyse(gn.Subject(TinyNet(), normalised, LABELS), "channels", layers="conv2", visualize=True)
    assert found.result.pictures == {}
    assert (
        "The synthetic images of the channels of conv2 are left out: real has values from -1" in found.result.notes[0]
    )
    assert len(found.plots) == 1


def test_killed_in_the_middle_it_leaves_nothing_and_is_made_whole_afterwards(subject, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("glassnet.analysis.channels.ablate", stop)
        with pytest.raises(KeyboardInterrupt):
            analyse(subject, "channels")
    with monkeypatch.context() as patch:
        patch.setattr("glassnet.figures.channel_sheet", stop)  # when numbers are in the draft already
        with pytest.raises(KeyboardInterrupt):
            analyse(subject, "channels")
    folder = subject.store.root / "channels"
    assert subject.store.entries() == []
    assert not folder.exists() or not list(folder.iterdir())
    whole = analyse(subject, "channels")
    assert json.loads((whole.entry.path / "analysis.json").read_text())["kind"] == "channels"
    assert [one.name for one in whole.figures] == ["channels-bn", "channels-conv2"]


# Sheets.


@pytest.fixture
def drawn(monkeypatch):
    """What is given to the figure, sheet by sheet."""
    seen = []

    def note(rows, **words):
        seen.append((rows, words))
        return channels_figure.channel_sheet(rows, **words)

    monkeypatch.setattr("glassnet.figures.channel_sheet", note)
    return seen


def test_a_sheet_shows_the_numbers_of_the_result(make, drawn):
    result = analyse(make(), "channels", layers="conv2", sheet=5).result
    ((rows, words),) = drawn
    layer, found = result["conv2"], result.ablations["conv2"]
    half = {*result.selective("conv2", 3).tolist(), *result.needed("conv2", 3).tolist()}
    assert half <= set(result.sheets["conv2"].tolist()) or len(half) > 5
    order = [c for c in layer.order().tolist() if c in result.sheets["conv2"]]
    assert [row.name for row in rows] == [f"channel {c}" for c in order]
    assert len(rows) == 5
    for row, c in zip(rows, order, strict=True):
        assert np.array_equal(row.images, IMAGES[layer.top_images[c, :6]])
        assert np.array_equal(row.bars, layer.rectified_means[c])
        loss = found.lost("loss")[c]
        best = int(layer.auroc[c].argmax())
        assert row.facts == (
            f"active in {layer.active[c]:.1%} of images" if layer.active[c] else "dead: no image activates it",
            *([f"selectivity {layer.selectivity[c]:.2f} ({CLASSES[layer.preferred[c]]})"] if layer.active[c] else []),
            f"AUROC {layer.auroc[c, best]:.3f} ({CLASSES[best]})",
            f"removed: loss {'+' if loss > 0 else '−'}{gn_show(abs(loss))}" if loss else "removed: nothing changes",
            *loses_most(c),
        )
    assert words["title"] == "What conv2 has learned: 5 of 8 channels"
    assert words["note"].startswith("Shown are the most selective and the most needed channels; 3 more are not shown.")
    assert words["note"].endswith("2 channels are dead. Measured on 24 images.")
    assert words["feet"][0] == "Bars: from 0 to the channel's highest mean, so compare them within a row only."
    assert words["feet"][-1].endswith("set to zero. Accuracy changes are in percentage points.")


def loses_most(channel):
    """Return the line of the class whose mean loss rises most when a channel of conv2 is zeroed by hand."""
    net, images = TinyNet().eval(), torch.from_numpy(IMAGES).float() / 255
    rises = []
    with torch.no_grad():
        whole = net(images)
        net.conv2.weight[channel], net.conv2.bias[channel] = 0, 0
        one_less = net(images)
        for label in range(3):
            of = torch.from_numpy(label == LABELS)
            target = torch.full((int(of.sum()),), label)
            losses = (torch.nn.functional.cross_entropy(scores[of], target) for scores in (one_less, whole))
            right = [(scores[of].argmax(1) == target).double().mean() for scores in (one_less, whole)]
            assert right[0] == right[1]  # so it is told by the loss
            rises.append(float(next(losses) - next(losses)))
    worst = int(np.argmax(rises))
    return [f"{CLASSES[worst]} loses most: loss +{gn_show(rises[worst])}"] if rises[worst] > 1e-9 else []


def gn_show(value):
    from glassnet.measures import show

    return show("loss", value)


def test_many_channels_make_pages_and_the_left_out_are_counted(make, monkeypatch, drawn):
    for place in ("channel_sheets", "measured_channels"):
        monkeypatch.setattr(f"glassnet.analysis.{place}.PAGE", 3)
    found = analyse(make(), "channels", layers=["conv2", "fc1"], ablation_images=0, sheet=8)
    assert [len(rows) for rows, _ in drawn] == [3, 3, 2, 3, 3]
    titles = [one.title for one in found.figures]
    assert titles[1] == "What conv2 has learned: 8 channels, page 2 of 3"
    assert titles[3] == "What fc1 has learned: 6 channels, page 1 of 2"
    assert [one.name for one in found.figures][:2] == ["channels-conv2-1", "channels-conv2-2"]


def picture_of(**options):
    """Two synthetic images of conv2: channel 1 beaten by three of the real images, 3 beyond a best one below 0."""
    given = {
        "images": np.zeros((2, 3, 12, 10), np.float32),
        "layer": "conv2",
        "objective": "neuron",
        "channels": np.array([1, 3]),
        "activation": np.array([3.0, 0.25], np.float32),
        "real_best": np.array([4.0, -0.5], np.float32),
        "real_index": np.array([0, 1]),
        "rank": np.array([4, 1]),
        "dead": np.array([False, False]),
        "place": (1, 1),
        "seen": None,
        "seed": 0,
    }
    return Visualized(**(given | options))


def test_beside_a_synthetic_image_stands_its_multiple_and_its_rank_also_where_no_image_is_above_0(measured):
    result = dataclasses.replace(measured, pictures={"conv2": picture_of()})
    assert _picture(result.pictures["conv2"], 1)[1] == "0.75×, rank 4"
    assert _picture(result.pictures["conv2"], 3)[1] == "at 0.25, rank 1"
    first, second = (row["synthetic_image"] for row in channel_rows(result, "conv2", [1, 3]))
    assert first == {"activation": 3.0, "best_real": 4.0, "multiple": 0.75, "rank": 4}
    assert second == {"activation": 0.25, "best_real": -0.5, "multiple": None, "rank": 1}
    assert "synthetic_image" not in channel_rows(result, "conv2", [0])[0]
    assert driven(result, "conv2") == {"channels": 2, "above_real": 1, "share": 0.5, "median_multiple": 0.75}
    assert driven_words(result, "conv2") == (
        "the synthetic images drive 1 of the 2 live channels on the sheet (50%) above their best real image, at a "
        "median of 0.75 times its activation"
    )
    assert driven_words(result, "bn") == ""


def test_the_best_real_image_of_a_synthetic_one_is_numbered_by_its_place_in_the_part(subject, monkeypatch):
    monkeypatch.setattr("glassnet.analysis.channels.visualize", lambda *_, **__: picture_of())
    result = analyse(subject, "channels", layers="conv2", images=9, visualize=True, ablation_images=0).result
    places = np.unique(result["conv2"].top_images)
    assert len(places) == 9
    assert result.pictures["conv2"].real_index.tolist() == places[:2].tolist()


@pytest.mark.parametrize("classes", [CLASSES, ("black-footed ferret", "dugong, Dugong dugon", "European gallinule")])
def test_tables_fit_a_terminal_of_80_characters(measured, classes):
    found = dataclasses.replace(measured.channels, classes=classes)
    result = dataclasses.replace(measured, channels=found)
    for table in (overview(result), *(channels_table(result, name, width=80) for name in found)):
        lines = table.text(80).split("\n\n")[1].split("\n")  # below the caption
        assert len(table.text(80).split("\n\n")) == 2 + bool(table.note)
        assert max(map(len, lines)) <= 80
    whole = channels_table(result, "conv2")
    assert any(classes[0] in cell or classes[1] in cell or classes[2] in cell for row in whole.rows for cell in row)


def test_the_class_that_loses_most_stands_in_the_table_and_in_the_rows(measured):
    found = measured.ablations["conv2"]
    accuracy = np.tile(found.baseline_by_class["accuracy"], (8, 1))
    accuracy[4, 2] -= 0.25
    accuracy[4, 0] -= 0.125
    by_class = {**found.ablated_by_class, "accuracy": accuracy}
    lost = dataclasses.replace(found, ablated_by_class=by_class)
    result = dataclasses.replace(measured, ablations={"conv2": lost})
    assert lost.loses_most(4) == (2, 0.25)
    assert lost.loses_most(0) is None
    fourth, first = channel_rows(result, "conv2", [4, 0])
    assert fourth["loses_most"]["accuracy"] == {"class": "owl", "lost": 0.25}
    assert first["loses_most"]["accuracy"] is None
    losses = lost.lost_by_class("loss")[4]
    assert fourth["loses_most"]["loss"] == {"class": CLASSES[losses.argmax()], "lost": losses.max()}
    table = channels_table(dataclasses.replace(result, ablations={"conv2": lost}), "conv2")
    cells = {row[0]: row[-1] for row in table.rows}
    assert table.columns[-1] == "class that loses most"
    assert cells.get("4", "owl: 25.0%") == "owl: 25.0%"
    assert all(cell == "–" for channel, cell in cells.items() if channel != "4")
    assert "owl loses most: accuracy −25.00%" in list(facts(result, "conv2", 4))


def test_a_frame_is_what_the_channel_sees_where_it_is_highest(measured):
    layer = measured["conv2"]
    assert layer.size == (4, 3)
    row, column = layer.top_places[0, 0].tolist()
    # Two convolutions of 3 x 3, the second with stride 2: each unit sees 5 x 5 pixels, two apart.
    assert measured.frames["conv2"][0, 0].tolist() == [2 * column, 2 * row, 2 * column + 5, 2 * row + 5]
    assert measured.frames["bn"].shape == (4, 9, 4)
    with torch.no_grad():
        net = TinyNet().eval()
        image = torch.from_numpy(IMAGES[layer.top_images[0, 0]]).float()[None] / 255
        left, top, right, bottom = measured.frames["conv2"][0, 0]
        part = net.conv2(net.relu(net.bn(net.conv1(image[:, :, top:bottom, left:right]))))
    assert part[0, 0].item() == pytest.approx(layer.top_activations[0, 0], rel=1e-5)


def test_what_sees_the_same_everywhere_has_no_frame(make, drawn):
    result = analyse(make(), "channels", layers=["conv1", "fc1"], ablation_images=0).result
    assert set(result.frames) == {"conv1"}
    assert result["fc1"].boxes is not None
    assert [rows[0].boxes is None for rows, _ in drawn] == [False, True]
    assert ["Frame" in " ".join(words["feet"]) for _, words in drawn] == [True, False]


# Tasks and parts.


def test_the_validation_part_is_what_the_epoch_was_chosen_by(copy):
    subject, context = gn.Subject.of_run(copy), Context()
    found = analyse(subject, "channels", layers="conv2", split="validation", images=100, ablation_images=50)
    held = training_parts(copy.dataset(), copy.settings.validation, seed=copy.settings.seed)[1]
    assert torch.equal(part_of(subject, "validation", context).numbers, held.numbers)
    assert found.result.split == "validation"
    assert found.name == "channels/conv2-validation-100-ablate50"
    assert (
        found.entry.path
        == analyse(subject, "channels", layers="conv2", split="validation", images=100, ablation_images=50).entry.path
    )
    with pytest.raises(InputError, match="tiny has no validation images, because it is not a run"):
        analyse(make_subject(), "channels", split="validation")


def test_of_masks_it_is_dissection_and_the_loss_of_mean_iou(scans, tmp_path):
    run = gn.train(tiny_segmentation(scans, tmp_path / "run", epochs=1))
    result = analyse(run, "channels", layers="last-conv").result
    (name,) = result.channels
    test = run.dataset().test
    expected = gn.ablate(run.model(), test.images, test.targets, name, batch_size=8)
    assert result.ablations[name].measure == "mean_iou"
    assert result.ablations[name].lost() == pytest.approx(expected.lost(), abs=1e-6)
    assert result[name].iou.shape == (len(result[name]), 3)
    assert any(one.startswith("IoU") for one in facts(result, name, 0))


def test_several_labels_an_image_are_judged_together(tmp_path):
    labels = np.eye(3, dtype=np.uint8)[LABELS]
    labels[0, 2] = 1
    result = analyse(gn.Subject(TinyNet(), IMAGES, labels, classes=CLASSES), "channels", layers="conv2").result
    assert result.ablations["conv2"].to_json() == gn.ablate(TinyNet(), IMAGES, labels, "conv2").to_json()
    assert result.ablations["conv2"].measure == "exact_match"
    found = gn.channels(TinyNet(), IMAGES, labels, layers="conv2", classes=CLASSES)
    assert result["conv2"].to_json() == found["conv2"].to_json()


@pytest.mark.parametrize("several", [False, True])
def test_probabilities_are_judged_as_the_logits_that_they_stand_for(several):
    labels = np.eye(3, dtype=np.uint8)[LABELS] if several else LABELS
    if several:
        labels[::4, 0] = 1
    net = torch.nn.Sequential(TinyNet(), torch.nn.Sigmoid() if several else torch.nn.Softmax(dim=1))
    with torch.no_grad():
        net[0].fc2.bias.copy_(torch.tensor([0.4, -0.3, 0.2]))  # so that some labels are right at 0, some not
    found = analyse(gn.Subject(net, IMAGES, labels, classes=CLASSES), "channels", layers=["0.conv2"]).result
    expected = gn.ablate(net[0], IMAGES, labels, "conv2")
    ablation = found.ablations["0.conv2"]
    assert ablation.baseline == pytest.approx(expected.baseline, abs=1e-6)
    for key in expected.baseline:
        assert ablation.ablated[key] == pytest.approx(expected.ablated[key], abs=1e-5)
        assert ablation.standard_errors[key] == pytest.approx(expected.standard_errors[key], abs=1e-5)


def test_a_reconstruction_is_given_its_noise_and_judged_by_the_originals(tmp_path):
    run = gn.train(tiny_vae(save_bars(tmp_path / "bars"), tmp_path / "run", epochs=1))
    subject = gn.Subject.of_run(run)
    result = analyse(subject, "channels", layers="conv").result
    found = next(iter(result.ablations.values()))
    assert (found.kind, found.measure) == ("reconstruction", "psnr")
    evaluated = analyse(subject, "evaluation", figures=False).result
    assert found.baseline["psnr"] == pytest.approx(evaluated.psnr, abs=1e-3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"images": 0}, "images is 0, expected at least 1"),
        ({"sheet": 0}, "sheet is 0, expected at least 1"),
        ({"ablation_images": -1}, "ablation_images is -1, expected 0"),
        ({"layers": "conv9"}, "no layer 'conv9' in TinyNet"),
        ({"split": "train"}, "has only the images it was given"),
    ],
)
def test_what_cannot_be_asked_is_refused(subject, settings, message):
    with pytest.raises(InputError, match=message):
        analyse(subject, "channels", **settings)
    assert subject.store.entries() == []


def test_the_kind_says_what_it_is_made_of():
    assert {"analysis", "microscope", "models", "tasks"} <= set(KINDS["channels"].code)
