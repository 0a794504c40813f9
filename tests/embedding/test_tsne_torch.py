import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from glassnet.embedding import embed
from glassnet.embedding.tsne import repulsion, torch_engine
from glassnet.embedding.tsne.affinities import Affinities, conditional, symmetrise
from glassnet.embedding.tsne.optimizer import Phase, optimise
from glassnet.embedding.tsne.torch_engine import TorchRepulsion, attraction, neighbours_on, optimise_on, slopes, weights
from glassnet.errors import InputError

PHASES = (Phase(steps=60, exaggeration=12.0), Phase(steps=90, exaggeration=1.0))


def slow_field(points: np.ndarray) -> tuple[np.ndarray, float]:
    """sum_j w_ij² (y_i - y_j) for each i, and the sum of w over all pairs, from all pairs."""
    apart = points[:, None] - points[None]
    kernel = 1 / (1 + (apart**2).sum(axis=2))
    return (kernel[:, :, None] ** 2 * apart).sum(axis=1), kernel.sum() - len(points)


def slow_gradient(p: np.ndarray, points: np.ndarray, exaggeration: float) -> np.ndarray:
    """A quarter of the gradient of KL(P || Q): van der Maaten & Hinton 2008, equation 5."""
    kernel = 1 / (1 + cdist(points, points, "sqeuclidean"))
    np.fill_diagonal(kernel, 0)
    force = (exaggeration * p - kernel / kernel.sum()) * kernel
    return (force[:, :, None] * (points[:, None] - points[None])).sum(axis=1)


def slow_neighbour_accuracy(points: np.ndarray, labels: np.ndarray) -> float:
    nearest = np.argsort(cdist(points, points), axis=1)[:, 1:11]
    return float(np.mean([np.bincount(labels[some]).argmax() for some in nearest] == labels))


def dense(affinities: Affinities) -> np.ndarray:
    p = np.zeros((len(affinities.indptr) - 1,) * 2)
    for i in range(len(p)):
        some = slice(affinities.indptr[i], affinities.indptr[i + 1])
        p[i, affinities.indices[some]] = affinities.values[some]
    return p


@pytest.fixture(scope="module")
def problem(digits) -> tuple[np.ndarray, Affinities, np.ndarray]:
    """400 digits' classes, their affinities, and where their points start."""
    rows, labels = digits[0][:400], digits[1][:400]
    indices, squared = neighbours_on(rows, 60, device="cpu")
    axes = np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)[2]
    start = (rows - rows.mean(axis=0)) @ axes.T
    start = (1e-4 * start / start[:, :1].std()).astype(np.float32)
    return labels, symmetrise(indices, conditional(squared, (20.0,))), start


def test_field_of_two_points_by_hand():
    # At distance 2 the kernel is 1/5, so each is pushed by 2 / 25, and Z counts the pair twice.
    push, normaliser = TorchRepulsion()(torch.tensor([[0.0, 0.0], [0.0, 2.0]]))
    np.testing.assert_allclose(push, [[0, -0.08], [0, 0.08]], atol=0.002)
    assert float(normaliser) == pytest.approx(0.4, rel=1e-3)


@pytest.mark.parametrize(
    ("dims", "spread", "within"), [(2, 1e-4, 0.02), (2, 0.5, 1e-3), (2, 15.0, 0.04), (3, 0.5, 2e-3), (3, 3.0, 0.02)]
)
def test_field_equals_the_sums_over_all_pairs(dims, spread, within):
    points = spread * np.random.default_rng(0).normal(size=(400, dims)).astype(np.float32)
    push, normaliser = TorchRepulsion()(torch.from_numpy(points))
    slow_push, slow_normaliser = slow_field(points.astype(np.float64))
    assert np.linalg.norm(push.numpy() - slow_push) < within * np.linalg.norm(slow_push)
    assert float(normaliser) == pytest.approx(slow_normaliser, rel=within)


def test_a_finer_grid_comes_nearer(monkeypatch):
    points = 10 * np.random.default_rng(0).normal(size=(300, 2)).astype(np.float32)
    slow_push, _ = slow_field(points.astype(np.float64))
    errors = []
    for spacing in (1.4, 0.7, 0.35):
        monkeypatch.setitem(torch_engine.SPACING, 2, spacing)
        errors.append(np.linalg.norm(TorchRepulsion()(torch.from_numpy(points))[0].numpy() - slow_push))
    assert errors[0] > 2 * errors[1] > 4 * errors[2]


def test_splines_by_hand_and_their_slopes():
    np.testing.assert_allclose(weights(torch.tensor([[0.0], [0.5]]))[:, 0] * 48, [[8, 32, 8, 0], [1, 23, 23, 1]])
    u = torch.linspace(0.01, 0.99, 9, dtype=torch.float64)[:, None]
    np.testing.assert_allclose(weights(u).sum(dim=2), 1)
    np.testing.assert_allclose((weights(u + 1e-6) - weights(u - 1e-6)) / 2e-6, slopes(u), atol=1e-8)


def test_one_field_serves_grids_of_changing_size():
    kept = TorchRepulsion()
    for spread in (1.0, 15.0, 15.1, 1.0):
        points = spread * torch.from_numpy(np.random.default_rng(0).uniform(-1, 1, size=(50, 2)).astype(np.float32))
        np.testing.assert_array_equal(kept(points)[0], TorchRepulsion()(points)[0])


def test_neighbours_equal_those_by_sorting():
    # Far from the origin, where the product of rows alone would lose the distances.
    rows = (1000 + np.random.default_rng(0).normal(size=(150, 8))).astype(np.float32)
    rows[7] = rows[3]
    indices, squared = neighbours_on(rows, 12, device="cpu")
    distances = cdist(rows.astype(np.float64), rows.astype(np.float64), "sqeuclidean")
    assert squared[7, 0] == 0
    assert indices[7, 0] == 3
    np.fill_diagonal(distances, np.inf)
    # Of equal rows, either will do as the last neighbour.
    np.testing.assert_array_equal(rows[indices], rows[np.argsort(distances, axis=1, kind="stable")[:, :12]])
    np.testing.assert_allclose(squared, np.sort(distances, axis=1)[:, :12], rtol=1e-3, atol=1e-6)


def test_neighbours_in_parts_are_the_same(digits, monkeypatch):
    whole = neighbours_on(digits[0][:200], 9, device="cpu")
    monkeypatch.setattr(torch_engine, "PAIRS_AT_ONCE", 200 * 33)
    parts = neighbours_on(digits[0][:200], 9, device="cpu")
    np.testing.assert_allclose(parts[1], whole[1], rtol=1e-6)


def test_gradient_equals_the_papers(problem):
    _, affinities, _ = problem
    points = 4 * np.random.default_rng(0).normal(size=(400, 2)).astype(np.float32)
    graph = torch_engine._graph(affinities, torch.device("cpu"))
    push, normaliser = TorchRepulsion()(torch.from_numpy(points))
    gradient = 12 * attraction(graph, torch.from_numpy(points)) - push / normaliser
    slow = slow_gradient(dense(affinities), points.astype(np.float64), 12)
    assert np.linalg.norm(gradient.numpy() - slow) < 1e-3 * np.linalg.norm(slow)


def test_divergence_equals_the_papers_at_the_points(problem):
    _, affinities, start = problem
    result = optimise_on(
        affinities, np.ascontiguousarray(start[:, :2]), (Phase(steps=60, exaggeration=1.0),), device="cpu"
    )
    p, kernel = dense(affinities), 1 / (1 + cdist(result.points, result.points, "sqeuclidean"))
    np.fill_diagonal(kernel, 0)
    some = p > 0
    slow = (p[some] * np.log(p[some] / (kernel / kernel.sum())[some])).sum()
    assert result.kl_divergence == pytest.approx(slow, rel=1e-3)


def test_keeps_the_classes_of_real_digits_and_ends_as_low_as_the_compiled_engine(problem, monkeypatch):
    labels, affinities, start = problem
    start = np.ascontiguousarray(start[:, :2])
    result = optimise_on(affinities, start, PHASES, device="cpu")
    assert result.points.dtype == np.float32
    assert slow_neighbour_accuracy(start, labels) < 0.75
    assert slow_neighbour_accuracy(result.points, labels) > 0.92
    np.testing.assert_allclose(result.points.max(axis=0) + result.points.min(axis=0), 0, atol=1e-3)
    # On equal grids, since a coarser one ends higher: the optimisers are compared here.
    monkeypatch.setitem(repulsion.SPACING, 2, torch_engine.SPACING[2])
    compiled = optimise(affinities, start, PHASES, threads=1)
    assert result.kl_divergence == pytest.approx(compiled.kl_divergence, rel=0.02)


def test_repeats_bit_for_bit(problem):
    _, affinities, start = problem
    for dims in (2, 3):
        steps = (Phase(steps=6, exaggeration=12.0), Phase(steps=3, exaggeration=1.0))
        runs = [optimise_on(affinities, np.ascontiguousarray(start[:, :dims]), steps, device="cpu") for _ in range(2)]
        np.testing.assert_array_equal(runs[0].points, runs[1].points)
        assert runs[0].kl_divergence == runs[1].kl_divergence
        assert np.isfinite(runs[0].points).all()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU")
@pytest.mark.parametrize("dims", [2, 3])
def test_a_gpu_repeats_itself_and_agrees_with_the_cpu(problem, digits, dims, monkeypatch):
    labels, affinities, start = problem
    start = np.ascontiguousarray(start[:, :dims])
    on_gpu, again = (optimise_on(affinities, start, PHASES, device="cuda") for _ in range(2))
    np.testing.assert_array_equal(on_gpu.points, again.points)
    monkeypatch.setitem(repulsion.SPACING, dims, torch_engine.SPACING[dims])
    on_cpu = optimise(affinities, start, PHASES, threads=1)
    assert on_gpu.kl_divergence == pytest.approx(on_cpu.kl_divergence, rel=0.05)
    assert slow_neighbour_accuracy(on_gpu.points, labels) > 0.92
    found = [neighbours_on(digits[0], 30, device=device)[1] for device in ("cuda", "cpu")]
    np.testing.assert_allclose(*found, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("scale", [1e-25, 1e25])
def test_neighbours_do_not_depend_on_the_unit(digits, scale):
    rows = digits[0][:200].astype(np.float64)
    indices, squared = neighbours_on(rows, 9, device="cpu")
    scaled, far = neighbours_on(scale * rows, 9, device="cpu")
    np.testing.assert_allclose(far / scale**2, squared, rtol=1e-4)
    # Where two are equally far, rounding may choose either.
    assert np.mean(scaled == indices) > 0.99


@pytest.mark.skipif(torch.cuda.is_available(), reason="torch sees a GPU")
def test_says_that_there_is_no_gpu(digits):
    with pytest.raises(InputError, match=r"device is cuda, but torch sees no GPU here; use --device cpu"):
        embed(digits[0][:100], perplexity=10, device="cuda")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU")
def test_embeds_on_a_gpu(digits):
    rows, labels = digits[0][:400], digits[1][:400]
    result, again = (embed(rows, perplexity=20, device="cuda") for _ in range(2))
    assert result.settings["device"] == "cuda"
    np.testing.assert_array_equal(result.points, again.points)
    assert slow_neighbour_accuracy(result.points, labels) > 0.92
    assert np.isfinite(result.transform(digits[0][400:410])).all()
