import pytest
from matplotlib.patches import Polygon, Rectangle

from glassnet.errors import InputError
from glassnet.figures import architecture
from glassnet.figures.architecture import _magnitude
from glassnet.figures.style import MUTED


def drawn(figure):
    return {text.get_text(): text for text in figure.axes[0].texts}


def test_every_layer_stands_there_with_its_sizes(layers):
    texts = drawn(architecture(layers, "small net"))
    assert {"small net", "690 parameters, 2.94 k multiply-accumulates (MACs) per image"} <= set(texts)
    assert {"image", "1×8×8", "conv1", "Conv2d", "1×8×8 → 4×8×8", "40", "2.3 k"} <= set(texts)
    assert {"relu1  ReLU", "4×8×8", "pool1", "4×8×8 → 4×4×4", "flatten  Flatten", "4×4×4 → 64"} <= set(texts)
    assert {"fc1", "64 → 10", "650", "640"} <= set(texts)


def test_layers_stand_in_order_and_activations_are_lighter(layers):
    texts = drawn(architecture(layers, "small net"))
    heights = [texts[name].get_position()[1] for name in ("image", "conv1", "relu1  ReLU", "pool1", "fc1")]
    assert heights == sorted(heights)
    assert texts["relu1  ReLU"].get_color() == MUTED
    assert texts["relu1  ReLU"].get_fontsize() < texts["conv1"].get_fontsize()


def test_volumes_shrink_in_face_and_grow_in_depth(layers):
    layers[2]["output"] = [16, 4, 4]
    axes = architecture(layers, "small net").axes[0]
    faces = [p for p in axes.patches if isinstance(p, Rectangle)][3:]  # behind the legend's three
    image, conv, pool, bar = faces
    assert image.get_width() == pytest.approx(conv.get_width())
    assert conv.get_height() > pool.get_height() > bar.get_height()
    bodies = [p.get_xy() for p in axes.patches if isinstance(p, Polygon) and not isinstance(p, Rectangle)]
    depths = [body[1, 0] - body[0, 0] for body in bodies]
    assert depths[0] < depths[1] < depths[2]


def test_a_branch_is_dashed(layers):
    straight = architecture(layers, "net").axes[0]
    layers[2]["input"] = [2, 8, 8]
    branch = architecture(layers, "net").axes[0]
    dashes = [[line.get_linestyle() for line in axes.get_lines()].count("--") for axes in (straight, branch)]
    assert dashes == [0, 2]  # the way to the layer, and the legend's
    assert "another input" in drawn(branch.figure)
    assert "another input" not in drawn(straight.figure)


def test_fifty_layers_with_long_names_fit(layers):
    long = {**layers[1], "name": "features.denseblock4.denselayer16.norm2", "output": [1024, 128, 128]}
    figure = architecture([{**layers[0], "name": f"block{i}.conv"} for i in range(25)] + [long] * 25, "deep net")
    figure.canvas.draw()
    width, height = figure.get_size_inches()
    assert width < 5
    assert 20 < height < 30
    rows = [t for t in figure.axes[0].texts if t.get_text().startswith("features")]
    size = next(t for t in figure.axes[0].texts if t.get_text().endswith("→ 1,024×128×128"))
    assert len(rows) == 25
    assert rows[0].get_window_extent().x1 < size.get_window_extent().x0


def test_vectors_alone_and_scalars(layers):
    figure = architecture([{**layers[4], "output": []}], "perceptron")
    assert "64 → 1" in drawn(figure)


def test_what_is_never_called_is_a_thin_row_that_keeps_the_chain(layers):
    uncalled = {**layers[4], "name": "out_proj", "input": None, "output": None, "macs": 0}
    texts = drawn(architecture([uncalled, *layers[:4], uncalled, layers[4]], "net"))
    assert {"1×8×8", "out_proj  Linear", "–", "64 → 10"} <= set(texts)
    assert "another input" not in texts


@pytest.mark.parametrize(
    ("count", "written"), [(0, "0"), (999, "999"), (1000, "1 k"), (7_225_344, "7.23 M"), (15_470_264_320, "15.5 G")]
)
def test_magnitudes(count, written):
    assert _magnitude(count) == written


def test_what_is_no_layer_table_is_refused(layers):
    with pytest.raises(InputError, match="layer table is empty"):
        architecture([], "none")
    del layers[1]["macs"]
    with pytest.raises(InputError, match="layer 1 lacks macs, expected name, kind, input"):
        architecture(layers, "net")
