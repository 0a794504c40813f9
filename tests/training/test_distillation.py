"""Knowledge distillation: the loss by hand, what the teachers are asked, and what cannot teach."""

import dataclasses
import json
import math
import shutil
from pathlib import Path

import pytest
import torch

import glassnet as gn
from glassnet.errors import InputError
from glassnet.experiment import resolve
from glassnet.settings import to_json
from glassnet.training.distillation import Teachers, distillation_loss
from small_data import make_small
from tiny_runs import tiny


@pytest.fixture(autouse=True)
def small(monkeypatch):
    make_small(monkeypatch.setitem)


def taught(path, teacher, **changes):
    return dataclasses.replace(tiny(path), teachers=(teacher,), **changes)


def test_the_loss_is_that_of_hinton_by_hand():
    logits = torch.tensor([[2.0, 0.0]], dtype=torch.float64)
    probabilities = torch.tensor([[0.75, 0.25]], dtype=torch.float64)
    likely = math.e / (math.e + 1)  # softmax(z / 2)
    by_hand = 4 * (0.75 * math.log(0.75 / likely) + 0.25 * math.log(0.25 / (1 - likely)))
    assert distillation_loss(logits, probabilities, 2.0).item() == pytest.approx(by_hand, rel=1e-6)
    same = (logits / 2).softmax(dim=1)
    assert distillation_loss(logits, same, 2.0).item() == pytest.approx(0, abs=1e-12)


def test_the_gradient_keeps_its_size_at_any_temperature():
    sizes = []
    for temperature in (10.0, 20.0):
        logits = torch.zeros(1, 2, requires_grad=True)
        # What a teacher with logits (0.2, -0.2) says at that temperature.
        probabilities = (torch.tensor([[0.2, -0.2]]) / temperature).softmax(dim=1)
        distillation_loss(logits, probabilities, temperature).backward()
        sizes.append(logits.grad.abs().sum().item())
    assert sizes[0] == pytest.approx(sizes[1], rel=1e-3)


def test_teachers_are_averaged_as_probabilities_and_learn_nothing():
    class Fixed(torch.nn.Module):
        def __init__(self, *logits):
            super().__init__()
            self.logits = torch.nn.Parameter(torch.tensor([logits]))

        def forward(self, images):
            return self.logits.expand(len(images), -1)

    models = tuple((Fixed(*one), torch.contiguous_format) for one in ((4.0, 0.0), (0.0, 0.0)))
    teachers = Teachers(models, weight=0.25, temperature=2.0, precision="fp32", digests=("", ""))
    images = torch.zeros(3, 1, 2, 2)
    first = math.exp(2) / (math.exp(2) + 1)
    expected = torch.tensor([[(first + 0.5) / 2, 1 - (first + 0.5) / 2]]).expand(3, -1)
    assert torch.allclose(teachers.probabilities(images), expected, atol=1e-6)
    logits = torch.randn(3, 2, requires_grad=True)
    mixed, alone = teachers.mix(torch.tensor(8.0), logits, images)
    assert alone.item() == pytest.approx(distillation_loss(logits, expected, 2.0).item(), rel=1e-5)
    assert not alone.requires_grad
    assert mixed.item() == pytest.approx(0.75 * 8 + 0.25 * distillation_loss(logits, expected, 2.0).item(), rel=1e-5)
    mixed.backward()
    assert logits.grad is not None
    assert all(model.logits.grad is None for model, _ in models)


def test_a_run_learns_from_another_and_names_it(brief, tmp_path):
    plain = gn.train(tiny(tmp_path / "plain"))
    run = gn.train(taught(tmp_path / "student", brief.path))
    assert run.settings.teachers == (brief.path.resolve(),)
    assert run.manifest["teachers"] == [brief.manifest["weights"]["digest"]]
    assert all(row["train_distillation"] > 0 for row in run.history)
    assert all("train_distillation" not in row for row in plain.history)
    assert (run.settings.teacher_weight, run.settings.temperature) == (0.9, 2.0)
    weights = [one.model().state_dict() for one in (plain, run)]
    assert any(not torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    alone = gn.train(taught(tmp_path / "alone", brief.path, teacher_weight=0.0))  # the labels have all of the weight
    assert all(torch.equal(one, alone.model().state_dict()[name]) for name, one in weights[0].items())


def test_with_all_of_the_weight_the_labels_do_not_matter(brief, tmp_path, monkeypatch):
    first = gn.train(taught(tmp_path / "first", brief.path, teacher_weight=1.0))
    loss = torch.nn.functional.cross_entropy
    monkeypatch.setattr("glassnet.tasks.classification.learn.loss", lambda z, t, _s: loss(z, (t + 1) % 10))
    second = gn.train(taught(tmp_path / "second", brief.path, teacher_weight=1.0))
    assert all(torch.equal(one, second.model().state_dict()[name]) for name, one in first.model().state_dict().items())


def test_a_continued_run_ends_with_the_same_weights(brief, tmp_path):
    class Stop(gn.Callback):
        def on_epoch(self, record):
            if record.epoch == 1:
                raise KeyboardInterrupt

    settings = taught(tmp_path / "whole", brief.path, epochs=2)
    whole = gn.train(settings)
    with pytest.raises(KeyboardInterrupt):
        gn.train(dataclasses.replace(settings, out=tmp_path / "parts"), callbacks=[Stop()])
    parts = gn.train(gn.TrainSettings(resume=tmp_path / "parts"))
    assert all(torch.equal(one, parts.model().state_dict()[name]) for name, one in whole.model().state_dict().items())
    assert to_json(parts.settings)["teachers"] == [str(brief.path.resolve())]


def test_a_run_is_not_continued_with_a_teacher_that_has_changed(tmp_path):
    class Stop(gn.Callback):
        def on_epoch(self, record):
            raise KeyboardInterrupt

    teacher = gn.train(tiny(tmp_path / "teacher"))
    with pytest.raises(KeyboardInterrupt):
        gn.train(taught(tmp_path / "student", teacher.path, epochs=2), callbacks=[Stop()])
    teacher.path.rename(tmp_path / "old")
    gn.train(dataclasses.replace(tiny(teacher.path), seed=5))
    with pytest.raises(InputError, match=r"has other weights than when the training of .*student began; restore it"):
        gn.train(gn.TrainSettings(resume=tmp_path / "student"))


def test_other_held_out_images_of_the_teacher_are_said(brief, tmp_path, capsys):
    gn.train(taught(tmp_path / "student", brief.path, seed=brief.settings.seed + 1))
    assert "held out other images (seed 0, validation 0.1) than this training (seed 1" in capsys.readouterr().err
    gn.train(taught(tmp_path / "same", brief.path))
    assert "held out other images" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"teacher_weight": 1.5}, "--teacher-weight is 1.5, expected a share from 0 to 1"),
        ({"teacher_weight": float("nan")}, "--teacher-weight is nan, expected a share from 0 to 1"),
        ({"temperature": 0.0}, "--temperature is 0.0, expected a finite number above 0"),
        ({"temperature": 3.0}, "--temperature has no effect without --teachers"),
        ({"teacher_weight": 0.5}, "--teacher-weight has no effect without --teachers"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(changes, sentence):
    teachers = () if "no effect" in sentence else ("run",)
    with pytest.raises(InputError, match=sentence):
        gn.TrainSettings(teachers=teachers, **changes)


def test_what_cannot_teach_is_refused_and_nothing_is_written(brief, tmp_path):
    for teacher, changes, sentence in (
        (tmp_path / "nothing", {}, "nothing"),
        (brief.path, {"image_size": 20}, "images of 20 pixels, expected 28, as the teacher"),
        (brief.path, {"data": "digit-scenes", "model": "fcn8_small"}, "--teachers applies to classification only"),
    ):
        with pytest.raises(InputError, match=sentence):
            gn.train(taught(tmp_path / "student", teacher, **changes))
        assert not (tmp_path / "student").exists()


def test_a_run_of_another_task_cannot_teach(vae, tmp_path):
    with pytest.raises(InputError, match=r"--teachers names .*, a run for reconstruction, expected classification\."):
        gn.train(taught(tmp_path / "student", vae.path))
    assert not (tmp_path / "student").exists()


class Centred(torch.nn.Module):
    """Writes into the images that it is given."""

    def forward(self, images):
        return images.sub_(0.5).flatten(1)[:, :2]


def test_a_teacher_that_writes_into_its_images_changes_nothing_for_others():
    models = tuple((Centred(), torch.contiguous_format) for _ in range(2))
    images = torch.rand(3, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    before = images.clone()
    found = Teachers(models, weight=1.0, temperature=1.0, precision="fp32", digests=("", "")).probabilities(images)
    assert torch.equal(images, before)
    torch.testing.assert_close(found, (before - 0.5).flatten(1)[:, :2].softmax(dim=1))


def test_two_teachers_in_a_training_and_a_moved_one_where_it_is_continued(brief, tmp_path):
    class Stop(gn.Callback):
        def on_epoch(self, record):
            raise KeyboardInterrupt

    other = gn.train(dataclasses.replace(tiny(tmp_path / "other"), seed=1))
    settings = dataclasses.replace(tiny(tmp_path / "student"), teachers=(brief.path, other.path), epochs=2)
    with pytest.raises(KeyboardInterrupt):
        gn.train(settings, callbacks=[Stop()])
    other.path.rename(tmp_path / "moved")
    with pytest.raises(InputError, match="other"):
        gn.train(gn.TrainSettings(resume=tmp_path / "student"))
    with pytest.raises(InputError, match=r"got 1 teachers, but the training of .*student began with 2"):
        gn.train(gn.TrainSettings(resume=tmp_path / "student", teachers=(brief.path,)))
    run = gn.train(gn.TrainSettings(resume=tmp_path / "student", teachers=(brief.path, tmp_path / "moved")))
    assert len(run.manifest["teachers"]) == 2


def test_a_single_path_is_one_teacher_and_what_is_no_path_is_refused(brief):
    assert gn.TrainSettings(teachers=brief.path).teachers == (brief.path,)
    for wrong in (3, [brief]):
        with pytest.raises(InputError, match=r"--teachers is .*, expected a path"):
            gn.TrainSettings(teachers=wrong)


def test_a_probe_has_no_use_for_teachers_and_does_not_record_them(brief, capsys):
    options = ("of=convnet", "weights=", "layer=pool1")
    settings = gn.TrainSettings(data="mnist-sample", model="probe", model_options=options, teachers=(brief.path,))
    assert resolve(settings).teachers == ()
    assert "so --teachers has no effect" in capsys.readouterr().err


def test_a_teacher_of_other_images_may_have_seen_those_tested_here(brief, tmp_path, capsys):
    manifest = json.loads((brief.path / "run.json").read_text())
    copied = shutil.copytree(brief.path, tmp_path / "teacher")
    manifest["data"]["fingerprint"]["train"] = {**manifest["data"]["fingerprint"]["train"], "images": 7}
    (copied / "run.json").write_text(json.dumps(manifest))
    gn.train(taught(tmp_path / "student", copied))
    assert "was trained on other images than those of this training, and may have seen" in capsys.readouterr().err


def test_the_report_names_what_a_network_learned_from(brief, tmp_path):
    run = gn.train(taught(tmp_path / "student", brief.path))
    page = " ".join(Path(run.report()).read_text().split())
    assert "learns from the probabilities of 1 trained network at temperature 2.0, with weight 0.9 in the loss" in page
