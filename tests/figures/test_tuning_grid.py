import numpy as np
import pytest
from matplotlib.patches import Rectangle

from glassnet.errors import InputError
from glassnet.figures import tuning_grid

MEANS = np.array([[0.98, 0.99, 0.97], [0.96, np.nan, 0.95]])
ROWS, COLUMNS = ("rate", ["0.1", "0.2"]), ("filters", ["16", "32", "64"])


def draw(**changes):
    given = {"means": MEANS, "rows": ROWS, "columns": COLUMNS, "metric": "test accuracy", "title": "t", **changes}
    return tuning_grid(**given)


def test_cells_hold_mean_spread_and_report(texts):
    figure = draw(spreads=np.where(MEANS > 0.985, np.nan, 0.001), report=np.where(MEANS > 0.985, 0.9, np.nan))
    cells = {text.get_position(): text.get_text() for text in figure.axes[0].texts}
    assert cells[0.5, 0.5] == "0.9800\n± 0.0010"
    assert cells[1.5, 0.5] == "0.9900\nreport 0.9000"
    assert cells[1.5, 1.5] == "–"
    assert {"rate", "filters", "0.1", "64", "test accuracy, mean over seeds; higher is better"} <= set(texts(figure))


@pytest.mark.parametrize(("metric", "corner"), [("test accuracy", (1.03, 0.03)), ("test loss", (2.03, 1.03))])
def test_the_best_cell_is_framed_and_the_strongest(metric, corner):
    axes = draw(metric=metric).axes[0]
    frame = next(patch for patch in axes.patches if isinstance(patch, Rectangle))
    assert frame.get_xy() == corner
    mesh = axes.collections[0]
    strength = mesh.cmap(mesh.norm(MEANS))[..., 3]
    best = divmod(int(np.nanargmax(np.where(np.isnan(MEANS), 0, strength))), 3)
    assert (best[1] + 0.03, best[0] + 0.03) == corner


def test_equal_cells_can_be_drawn(svg):
    assert svg(draw(means=np.full((2, 3), 0.5)))


@pytest.mark.usefixtures("unchecked")
def test_grids_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match=r"the means have shape \(1, 3\), expected \(2, 3\)"):
        draw(means=MEANS[:1])
    with pytest.raises(InputError, match="the means are all NaN, expected a number in one cell"):
        draw(means=MEANS * np.nan)
    with pytest.raises(InputError, match="the spreads: 6 of 6 values are NaN or infinite"):
        draw(spreads=np.full((2, 3), np.inf))
