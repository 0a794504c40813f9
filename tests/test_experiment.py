import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from glassnet import create_model
from glassnet.data import Split
from glassnet.data.augment.noise import NoiseCorruption, parse_noise
from glassnet.errors import GlassnetError, InputError
from glassnet.experiment import Run, build, read_settings, resolve
from glassnet.measuring import run_evaluation
from glassnet.reports.provenance import provenance
from glassnet.rng import PerImageRNG
from glassnet.settings import ResolvedSettings, TrainSettings, from_json
from glassnet.tasks import TASKS
from tiny_voc import lay_out

TASK, RNG = TASKS["segmentation"], PerImageRNG(5, "test")


@pytest.mark.parametrize(
    ("model", "data"), [("convnet", "mnist-sample"), ("fcn8_small", "digit-scenes"), ("vae_conv", "mnist-sample")]
)
def test_what_is_not_given_of_the_recipe_is_the_tasks(model, data):
    found = resolve(TrainSettings(model=model, data=data, batch_size=7, weight_averaging=0.0))
    usual = TASKS[found.task].recipe
    assert (found.epochs, found.learning_rate) == (usual.epochs, usual.learning_rate)
    assert (found.batch_size, found.weight_averaging) == (7, 0.0)
    assert resolve(found) == found


def test_settings_in_which_something_is_open_are_not_resolved():
    with pytest.raises(TypeError, match=r"'task', .*'batch_size', and 'weight_averaging'"):
        ResolvedSettings(data="mnist-sample", model="convnet", epochs=3, learning_rate=0.1)
    with pytest.raises(
        InputError, match="the settings lack task, batch_size, weight_averaging; ResolvedSettings needs all"
    ):
        from_json(ResolvedSettings, {"data": "mnist-sample", "model": "convnet", "epochs": 3, "learning_rate": 0.1})


def test_what_an_early_run_did_not_write_down_is_the_tasks():
    early = {"data": "mnist-sample", "model": "convnet", "task": "classification", "small_epochs": 0.0, "epochs": None}
    read = read_settings(early, source="runs/x")
    assert read == resolve(TrainSettings(data="mnist-sample", model="convnet"))


@pytest.mark.parametrize("damage", [{}, {"task": "detection"}, {"task": ["x"]}])
def test_settings_of_no_task_are_damaged(damage):
    with pytest.raises(InputError, match=r"the settings in runs/x are damaged .* train the run again"):
        read_settings({"data": "mnist-sample", "model": "convnet"} | damage, source="runs/x")


@pytest.fixture
def tiny_voc_aug(tmp_path):
    """Settings of a training on a few mapped masks."""
    lay_out(tmp_path)
    options = {"model": "unet_small", "model_options": ("filters=4,8",), "image_size": 16}
    return TrainSettings(data="voc-aug", data_root=tmp_path, **options)


def test_mapped_masks_are_read_for_class_weights_alone_and_in_parts(tiny_voc_aug, monkeypatch):
    read, real = [], Split.target_parts

    def parts(split):
        for part in real(split, 4):
            read.append(len(part))
            yield part

    monkeypatch.setattr(Split, "target_parts", parts)
    monkeypatch.delattr(Split, "targets")
    build(resolve(tiny_voc_aug))
    assert not read
    build(resolve(replace(tiny_voc_aug, class_weights=True)))
    assert read == [4, 4, 1]


def test_a_size_that_the_model_cannot_have_is_told_before_the_data_are_made(tiny_voc_aug):
    wrong = replace(tiny_voc_aug, model="fcn8_small", model_options=(), image_size=100)
    with pytest.raises(InputError, match="image_size is 100, expected a multiple of 32"):
        build(resolve(wrong))
    assert not (tiny_voc_aug.data_root / "cache").exists()
    with pytest.raises(InputError, match="image_size is 96, expected a multiple of 64, for 7 levels that halve it"):
        build(resolve(replace(wrong, model="unet_small", model_options=("filters=1,1,1,1,1,1,1",), image_size=None)))
    assert not (tiny_voc_aug.data_root / "cache").exists()


def test_a_process_without_an_image_remembers_nothing_and_the_others_all():
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (2, 1, 4, 4), generator=generator, dtype=torch.uint8)
    split = Split(images, torch.randint(3, (2, 4, 4), generator=generator, dtype=torch.uint8))
    model, recorder = nn.Sequential(nn.Conv2d(1, 3, 1)), TASK.test_stats(TrainSettings(), 3)
    parts = [run_evaluation(model, split, recorder, task=TASK, rng=RNG, part=(rank, 4)) for rank in range(4)]
    assert [bool(part) for part in parts] == [True, True, False, False]
    whole = run_evaluation(model, split, recorder, task=TASK, rng=RNG)
    for key in ("counts", "outlines", "pixels"):
        assert torch.equal(torch.cat([part[key] for part in parts if part]), whole[key])


def test_measuring_leaves_the_callers_generator_as_it_was():
    split = Split(torch.zeros(1, 1, 4, 4, dtype=torch.uint8), torch.zeros(1, 4, 4, dtype=torch.uint8))
    model, before = nn.Sequential(nn.Conv2d(1, 3, 1)), torch.get_rng_state()
    run_evaluation(model, split, TASK.test_stats(TrainSettings(), 3), task=TASK, rng=RNG)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_bound_of_an_image_follows_from_its_place_and_the_seed_alone():
    images = torch.randint(256, (7, 1, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    split, task = Split(images, torch.zeros(7, dtype=torch.int64)), TASKS["reconstruction"]
    torch.manual_seed(0)
    model = create_model("vae_conv", in_channels=1, image_size=8, latent=2, hidden=4, filters=(2, 4)).eval()
    noise = NoiseCorruption(parse_noise("gaussian:0.3"))

    def terms(rng=RNG, **how):
        recorder = task.test_stats(TrainSettings(), 0)
        found = run_evaluation(model, split, recorder, task=task, rng=rng, corruption=noise, **how)
        return torch.stack([found["reconstruction"], found["kl"]])

    whole = terms()
    torch.testing.assert_close(terms(batch_size=2), whole)
    parts = torch.cat([terms(batch_size=2, part=(rank, 3)) for rank in range(3)], dim=1)
    torch.testing.assert_close(parts, whole)
    for other in (PerImageRNG(6, "test"), PerImageRNG(5, "validation")):
        assert (terms(other)[0] - whole[0]).abs().amin() > 1e-3  # other noise, another draw of the code
    # image 4 by hand: noise from one generator of its own, the code from another
    from_input, from_code = (next(RNG.generators([4], purpose)) for purpose in ("input", "code"))
    clean = images[4:5] / 255
    noisy = (clean + 0.3 * torch.randn(1, 1, 8, 8, generator=from_input)).clamp(0, 1)
    with torch.no_grad():
        mean, log_variance = model.encode(noisy)
        code = mean + (log_variance / 2).exp() * torch.randn(2, generator=from_code)
        told = nn.functional.binary_cross_entropy_with_logits(model.decode(code), clean, reduction="sum")
    assert whole[0, 4].item() == pytest.approx(told.item(), rel=1e-4)


def test_a_run_on_a_flat_folder_leaves_damaged_images_out(tmp_path):
    pixels = torch.Generator().manual_seed(0)
    for i in range(10):
        image = torch.randint(256, (16, 16), generator=pixels, dtype=torch.uint8)
        Image.fromarray(image.numpy()).save(tmp_path / f"{i}.png")
    (tmp_path / "3.png").write_text("no image")
    settings = TrainSettings(data=f"folder:{tmp_path}", model="vae_conv", image_size=16)
    with pytest.raises(InputError, match=r"3\.png cannot be read as an image"):
        build(resolve(settings))
    parts = build(resolve(replace(settings, skip_damaged=True)))
    assert len(parts.dataset.train) + len(parts.dataset.test) == 9
    with pytest.raises(InputError, match="has no class sub-folders"):
        build(resolve(TrainSettings(data=f"folder:{tmp_path}")))


def places(value, before=()):
    """Yield the way to every value in a document, two of each list."""
    yield before
    keys = value if isinstance(value, dict) else range(min(2, len(value))) if isinstance(value, list) else ()
    for key in keys:
        yield from places(value[key], (*before, key))


WRONG = ("x", -1, 1.5, None, True, [], {}, ["a"], 2**40, "x" * 3000)


def test_a_run_with_any_value_of_another_kind_is_read_or_refused_in_one_sentence(copy):
    file = copy.path / "run.json"
    whole = json.loads(file.read_text())
    random, outcomes = np.random.default_rng(0), Counter()
    ways = [way for way in places(whole) if way]
    for number in random.permutation(len(ways) * len(WRONG))[:250]:
        way, value = ways[number // len(WRONG)], WRONG[number % len(WRONG)]
        damaged = json.loads(json.dumps(whole))
        holder = damaged
        for key in way[:-1]:
            holder = holder[key]
        holder[way[-1]] = value
        file.write_text(json.dumps(damaged))
        try:
            run = Run.open(copy.path)
            run.model()
            outcomes["read"] += bool(run.settings and run.task and provenance(run))
        except GlassnetError as error:
            outcomes["refused"] += "\n" not in str(error)
    assert outcomes.total() == 250
    assert min(outcomes.values()) > 30


def test_a_runs_model_says_the_runs_classes(finished):
    assert finished.model().class_names == finished.classes
