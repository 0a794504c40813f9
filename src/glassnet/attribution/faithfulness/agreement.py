"""Agreement between methods: whether they rank the pixels of an image alike."""

from itertools import combinations

from glassnet.attribution.explanation import Explanation
from glassnet.attribution.faithfulness.mean_ci import MeanCI, mean_ci
from glassnet.attribution.faithfulness.pixels import refuse_several
from glassnet.attribution.faithfulness.similarity import rank_correlation


def agreement(explanation: Explanation, *, seed: int = 0) -> dict[tuple[str, str, str], MeanCI]:
    """Return the rank correlation of every two methods' maps of the same layer.

    A method that explains the input alone is compared with the others at every layer.

    Args:
        explanation: Of any images, for one score an image.
        seed: Of the bootstrap.

    Returns:
        By (method, method, layer), Spearman's correlation of the magnitudes, -1 to 1.

    Raises:
        InputError: Several classes an image were explained.
    """
    refuse_several(explanation.targets)
    maps = explanation.maps
    places = {m: [layer for method, layer in maps if method == m] for m in explanation.methods}
    found = {}
    for first, second in combinations(explanation.methods, 2):
        for layer in explanation.layers or ("input",):
            keys = [(m, layer if layer in places[m] else "input") for m in (first, second)]
            if all(key in maps for key in keys):
                found[first, second, layer] = mean_ci(rank_correlation(maps[keys[0]], maps[keys[1]]), seed=seed)
    return found
