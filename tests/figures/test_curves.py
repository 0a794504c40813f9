import numpy as np
import pytest

from glassnet.errors import InputError
from glassnet.figures import learning_curves, scree


def lines(axes):
    return {line.get_label(): line for line in axes.get_lines() if not line.get_label().startswith("_")}


def test_curves_hold_the_history(history):
    loss, wrong = learning_curves(history).axes
    np.testing.assert_allclose(lines(loss)["training"].get_xydata(), [[1, 1], [2, 1 / 2], [3, 1 / 3]])
    np.testing.assert_allclose(lines(loss)["validation"].get_ydata(), [0.8, 0.4, 0.8 / 3])
    np.testing.assert_allclose(lines(wrong)["training"].get_ydata(), [30, 15, 10])
    np.testing.assert_allclose(lines(wrong)["validation"].get_ydata(), [10, 4, 4.5])
    assert loss.get_yscale() == wrong.get_yscale() == "log"
    assert (loss.get_ylabel(), wrong.get_ylabel()) == ("loss (nats per image)", "wrong images (%)")
    assert loss.get_xlabel() == wrong.get_xlabel() == "epoch"


def test_best_epoch_is_marked_and_told(history, texts):
    figure = learning_curves(history)
    assert lines(figure.axes[0])["saved epoch"].get_xydata().tolist() == [[2, 0.4]]
    np.testing.assert_allclose(lines(figure.axes[1])["saved epoch"].get_xydata(), [[2, 4]])
    assert "Learning curves: saved epoch 2 of 3, validation accuracy 96.00%, loss 0.4000" in texts(figure)
    assert {"training", "validation", "saved epoch"} <= set(texts(figure))


def test_all_background_stands_beside_a_segmentations_errors(history, texts):
    figure = learning_curves([row | {"validation_background_accuracy": 0.7} for row in history], of="pixels")
    loss, wrong = figure.axes
    np.testing.assert_allclose(lines(wrong)["all background"].get_ydata(), [30, 30])
    assert "all background" not in lines(loss)
    assert "all background" in texts(figure)
    assert "all background" not in texts(learning_curves(history))
    low, high = wrong.get_ylim()
    assert low < 30 < high


def test_a_segmentations_overlap_has_a_panel_with_the_kept_epoch_and_the_background(history, texts):
    rows = [
        row | {"validation_mean_iou": 0.1 * number, "validation_background_mean_iou": 0.03}
        for number, row in enumerate(history, 1)
    ]
    figure = learning_curves(rows, best_epoch=2, of="pixels")
    curve, kept, _, background = figure.axes[2].get_lines()
    np.testing.assert_allclose(curve.get_xydata(), [[1, 0.1], [2, 0.2], [3, 0.3]])
    assert kept.get_xydata().tolist() == [[2, 0.2]]
    assert list(background.get_ydata()) == [0.03, 0.03]
    assert any(text.endswith("mean IoU 0.200") for text in texts(figure))
    assert len(learning_curves(history).axes) == 2
    rows[1]["validation_mean_iou"] = float("nan")
    with pytest.raises(InputError, match="the history's validation_mean_iou"):
        learning_curves(rows, best_epoch=2)


def test_equal_accuracies_are_decided_by_the_loss_and_the_caller_decides_over_both(history):
    history[0]["validation_accuracy"] = 0.96
    assert lines(learning_curves(history).axes[0])["saved epoch"].get_xdata() == [2]
    history[0]["validation_loss"] = 0.1
    assert lines(learning_curves(history).axes[0])["saved epoch"].get_xdata() == [1]
    assert lines(learning_curves(history, best_epoch=3).axes[0])["saved epoch"].get_xdata() == [3]
    with pytest.raises(InputError, match="best_epoch is 4, expected one from 1 to 3"):
        learning_curves(history, best_epoch=4)


def test_one_epoch(history, svg):
    figure = learning_curves(history[:1])
    svg(figure)
    assert all(line.get_markersize() > 0 for line in lines(figure.axes[0]).values())
    for axes in figure.axes:
        first, last = axes.get_xlim()
        assert [tick for tick in axes.get_xticks() if first <= tick <= last] == [1]


def test_no_errors_at_all_have_their_place_at_zero(history, texts):
    history[2].update(train_accuracy=1.0, validation_accuracy=1.0)
    figure = learning_curves(history)
    wrong = figure.axes[1]
    assert wrong.get_ylim()[0] < 0
    assert 0 in wrong.get_yticks()
    assert "0" in texts(figure)
    for row in history:
        row.update(train_accuracy=1.0, validation_accuracy=1.0)
    assert "Learning curves: saved epoch 3 of 3, validation accuracy 100.00%, loss 0.2667" in texts(
        learning_curves(history)
    )


@pytest.mark.parametrize("low", [0.0123, 0.2, 0.3, 0.45, 0.99])
def test_there_is_always_a_number_on_the_scale(history, low, texts):
    for row in history:
        row.update(train_loss=low, validation_loss=low)
    axes = learning_curves(history).axes[0]
    bottom, top = axes.get_ylim()
    assert [tick for tick in axes.get_yticks() if bottom <= tick <= top]


def test_bad_histories_are_refused(history):
    with pytest.raises(InputError, match="the history is empty"):
        learning_curves([])
    with pytest.raises(InputError, match="the history lacks train_loss, expected them in every row"):
        learning_curves([{k: v for k, v in history[0].items() if k != "train_loss"}])
    history[1]["validation_loss"] = float("nan")
    with pytest.raises(InputError, match="the history's validation_loss: 1 of 3 values are NaN"):
        learning_curves(history)


def test_scree_holds_the_shares(texts):
    figure = scree(np.array([0.5, 0.25, 0.2, 0.05]))
    axes = figure.axes[0]
    np.testing.assert_allclose([bar.get_height() for bar in axes.patches], [50, 25, 20, 5])
    np.testing.assert_allclose(axes.get_lines()[0].get_ydata(), [50, 75, 95, 100])
    assert {"Variance explained: 75.0% by 2 components, 95.0% by 3, 90% by 3", "75.0%", "95.0%", "100.0%"} <= set(
        texts(figure)
    )
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("principal component", "explained variance (%)")
    assert len(scree(np.full(50, 0.01), count=7).axes[0].patches) == 7
    assert "Variance explained: 41.0% by 1 component" in texts(scree(np.array([0.41])))


@pytest.mark.parametrize("shares", [[0.5, 0.6], [-0.1], []])
def test_shares_that_are_none_are_refused(shares):
    with pytest.raises(InputError, match="expected one share of the whole per component"):
        scree(np.array(shares, dtype=float))
    with pytest.raises(InputError, match="explained variances: 1 of 1 values are NaN"):
        scree(np.array([np.nan]))
