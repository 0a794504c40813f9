import numpy as np
import pytest

from glassnet.reproduction.segmentation.claims import Objects, centre_slope, find_objects, judge_people, person_lead

CLASSES = ("background", "cat", "person", "car")


def test_objects_by_hand():
    masks = np.zeros((1, 10, 10), np.uint8)
    masks[0, 4:6, 4:6] = 2  # in the very middle, 4% of the image
    masks[0, 0, 0:2] = 1  # in a corner
    masks[0, 9] = 255
    counts = np.zeros((2, 1, 3, 4), np.int64)  # of two seeds
    counts[:, 0, :, 2] = (3, 4, 5), (4, 4, 4)
    counts[:, 0, :, 1] = 0, 2, 0
    found = find_objects(masks, counts)
    assert found.label.tolist() == [1, 2]
    assert found.iou.tolist() == [0, (3 / 6 + 1) / 2]
    assert found.centred[1] == pytest.approx(1)
    assert found.centred[0] == pytest.approx(1 - np.hypot(4.5, 4) / np.hypot(5, 5))
    assert found.share.tolist() == [0.02, 0.04]


def made(lead, slope, *, seed=0, count=400, size=0.0):
    """Objects whose IoU depends on how centred and how large they are, and on whether they are people.

    People stand in the centre, and what stands there is large.
    """
    random = np.random.default_rng(seed)
    label = random.integers(1, 4, count)
    person = label == 2
    centred = np.clip(random.normal(0.5 + 0.25 * person, 0.1), 0, 1)
    share = np.exp(-4 + 3 * centred + random.normal(0, 0.3, count)) if size else np.full(count, 0.1)
    iou = 0.1 + slope * centred + lead * person + size * np.log(share) + random.normal(0, 0.02, count)
    return Objects(np.arange(count), label, iou, centred, share)


def test_a_fit_finds_the_leads_that_were_put_in():
    objects = made(0.1, 0.4)
    assert person_lead(objects, 2, adjusted=True) == pytest.approx(0.1, abs=0.01)
    assert person_lead(objects, 2, adjusted=False) == pytest.approx(0.1 + 0.4 * 0.25, abs=0.01)


def test_what_size_does_is_not_taken_for_the_centre():
    objects = made(0.0, 0.0, size=0.1)
    assert centre_slope(objects) == pytest.approx(0, abs=0.03)
    assert person_lead(objects, 2, adjusted=False) == pytest.approx(0, abs=0.02)
    assert centre_slope(made(0.0, 0.4)) == pytest.approx(0.4, abs=0.03)
    counts = np.ones((1, 30, 3, 4), np.int64)
    verdicts = judge_people(counts, objects, CLASSES, seed=0)
    assert verdicts[3].supported == "undecided"
    assert "no clear lead to explain" in verdicts[3].decided


@pytest.mark.parametrize(
    ("lead", "slope", "explains"), [(0.0, 0.6, "supported"), (0.2, 0.1, "refuted"), (-0.5, 0.1, "undecided")]
)
def test_the_centre_explains_a_lead_that_goes_away_with_it(lead, slope, explains):
    counts = np.full((2, 30, 3, 4), 10, np.int64)
    counts[:, :, 0, 1:] = [[0, 10, 0]] if lead >= 0 else [[10, 0, 10]]
    counts[:, ::3, 0, 1:] = 5  # not all images are alike
    verdicts = judge_people(counts, made(lead, slope), CLASSES, seed=0)
    assert [v.supported for v in verdicts[:2]] == ["supported" if lead >= 0 else "refuted"] * 2
    assert verdicts[2].supported == "supported"
    assert verdicts[3].supported == explains
    assert all("mean over 2 seeds" in verdict.decided for verdict in verdicts)


def test_the_lead_of_people_is_the_mean_over_seeds():
    """A first seed in which people lead by 0.8, and a second in which they trail by 0.2: 0.3 on the average."""
    counts = np.full((2, 20, 3, 4), 10, np.int64)
    for seed, (cat, person) in enumerate([(0.1, 0.9), (0.5, 0.3)]):
        counts[seed, :, 0, 1], counts[seed, :, 2, 1] = 10 * cat, 10 * cat
        counts[seed, :, 0, 2], counts[seed, :, 2, 2] = 10 * person, 10 * person
    animals, _, *_ = judge_people(counts, made(0.0, 0.6), CLASSES, seed=0)
    assert animals.effect == pytest.approx(0.3)
    assert "IoU of people minus that of animals, mean over 2 seeds, bootstrap over 20 images" in animals.decided
    alone, *_ = judge_people(counts[1:], made(0.0, 0.6), CLASSES, seed=0)
    assert alone.effect == pytest.approx(-0.2)
    assert "of one seed" in alone.decided
