import torch

from glassnet.rng import PerImageRNG

TEST = PerImageRNG(0, "test")


def first(numbers, place, purpose="input"):
    return torch.rand(1, dtype=torch.float64, generator=next(numbers.generators([place], purpose))).item()


def test_no_two_images_splits_seeds_and_purposes_share_their_numbers():
    sources = [PerImageRNG(seed, split) for seed in (0, 1) for split in ("train", "validation", "test")]
    drawn = [first(one, place, purpose) for one in sources for place in range(50) for purpose in ("input", "code")]
    assert len(set(drawn)) == len(drawn) == 600


def test_an_image_keeps_its_numbers_in_any_company():
    torch.manual_seed(1)
    together = TEST.normal([3, 8, 5], (2, 20), "code")
    torch.manual_seed(2)
    assert torch.equal(TEST.normal([8], (2, 20), "code")[0], together[1])
    assert together.mean().abs() < 0.5
    assert 0.7 < together.std() < 1.3


def test_the_numbers_stay_for_ever():  # or figures of the same seed would not be comparable over versions
    assert [round(first(TEST, place), 6) for place in (0, 7)] == [0.372748, 0.227524]


def test_places_beyond_what_a_generator_reads_are_taken():
    digits = [next(PerImageRNG(seed, "test").generators([2**31], "input")).initial_seed() for seed in range(40)]
    assert max(digits) < 2**32
    assert min(digits) < 2**31  # some were counted round
