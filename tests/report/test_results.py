import numpy as np

from glassnet.report.results import confusions, evaluated, learning
from glassnet.run import append_history


def evaluation(confusion, names="abc"):
    return {"confusion": confusion, "per_class": [{"class": name} for name in names]}


def test_confusions_come_most_frequent_first_with_their_share():
    found = confusions(evaluation([[8, 2, 0], [5, 4, 1], [0, 0, 0]]))
    assert found == [("b", "a", 5, 0.5), ("a", "b", 2, 0.2), ("b", "c", 1, 0.1)]


def test_a_matrix_that_is_none_gives_no_confusions():
    for matrix in (None, [[1, 2]], "no", [[0, None], [None, 0]], [[5, 0], [0, 5]]):
        assert confusions(evaluation(matrix, "ab")) == []


def test_the_mistakes_are_the_most_confident_wrong_predictions(run):
    arrays = run.load_arrays("evaluation/test.npz")
    slow = []
    for index, (shares, target) in enumerate(zip(arrays["probabilities"], arrays["targets"], strict=True)):
        guess = max(range(10), key=lambda place: shares[place])
        if guess != target:
            slow.append((-shares[guess], str(index), str(target), str(guess)))
    table = evaluated(run)["mistakes"]
    assert [row[:3] for row in table.rows] == [entry[1:] for entry in sorted(slow)]
    assert len(slow) == 14


def test_a_model_without_mistakes_has_no_table_of_them(run):
    run.save_arrays("evaluation/test.npz", {"probabilities": np.eye(3, dtype=np.float32), "targets": np.arange(3)})
    assert evaluated(run)["mistakes"] is None


def test_many_classes_have_no_matrix_as_a_table_but_their_confusions(run):
    names = [f"class {i}" for i in range(100)]
    confusion = np.eye(100, dtype=int) * 9
    confusion[3, 70] = 4
    run.save_json("evaluation/test.json", evaluation(confusion.tolist(), names))
    content = evaluated(run)
    assert content["matrix"] is None
    assert content["confusions"].rows == (("class 3", "class 70", "4", "30.8%"),)


def test_the_best_epoch_stands_out(run):
    table = learning(run)["table"]
    assert [row[0] for row in table.rows if "kept" in row[0]] == ["<strong>11 (kept)</strong>"]
    assert table.rows[0][2] == "72.80%"
    assert table.total == ()


def test_an_evaluation_that_lacks_everything_is_shown_as_gaps(run):
    run.save_json("evaluation/test.json", {})
    (run.path / "evaluation" / "test.npz").unlink()
    content = evaluated(run)
    assert {row[1] for row in content["numbers"].rows} == {"–"}
    assert [content[key] for key in ("per_class", "confusions", "matrix", "mistakes")] == [None] * 4


def test_a_run_without_epochs_or_evaluation_has_neither_section(run):
    (run.path / "metrics.jsonl").unlink()
    (run.path / "evaluation" / "test.json").unlink()
    assert learning(run) is None
    assert evaluated(run) is None


def test_evaluations_on_other_images_are_listed(run):
    assert evaluated(run)["others"] is None
    run.save_json(
        "evaluation/train.json", {"data": "mnist-sample", "split": "train", "images": 4000, "accuracy": 0.999}
    )
    assert evaluated(run)["others"].rows == (("mnist-sample", "train", "4,000", "99.90%", "–", "–"),)


def test_the_epochs_of_a_segmentation_end_with_what_all_background_scores(run):
    (run.path / "metrics.jsonl").unlink()
    values = {"accuracy": 0.8, "mean_iou": 0.2, "background_accuracy": 0.7, "background_mean_iou": 0.035}
    for epoch in (1, 2):
        row = {"epoch": epoch, "train_loss": 0.5, "train_accuracy": 0.75, "learning_rate": 0.01, "seconds": 3.0}
        append_history(run.path, row | {f"validation_{key}": value for key, value in values.items()})
    found = learning(run)["table"]
    assert found.columns == (
        "Epoch", "Training loss", "Training accuracy", "Validation accuracy", "Validation mean IoU", "Learning rate",
        "Time",
    )  # fmt: skip
    assert found.rows[1] == ("2", "0.5000", "75.00%", "80.00%", "20.00%", "0.01000", "3.0 s")
    assert found.total == ("All background", "–", "–", "70.00%", "3.50%", "–", "–")
