from glassnet.report.attributions import attributions


def test_correct_images_come_before_wrong_ones_with_what_is_explained(run):
    correct, wrong = attributions(run)["groups"]
    assert [picture.name for picture in (*correct.pictures, *wrong.pictures)] == ["explain-correct", "explain-wrong"]
    assert correct.methods == "Grad-CAM and Guided Grad-CAM"
    assert correct.layers == "conv1, conv2, conv3 and conv4"
    assert correct.rule == "The first 4 correct ones, not picked."
    assert {row[3] for row in correct.table.rows} == {"yes"}
    assert {row[3] for row in wrong.table.rows} == {"no"}
    index, label, predicted, _, explained, share = wrong.table.rows[0]
    shown = run.load_json("attributions/wrong.json")["images"][0]
    assert (index, label, predicted) == (str(shown["index"]), shown["label"], shown["predicted"])
    assert (explained, share) == (shown["target"], f"{100 * shown['probability']:.1f}%")


def test_what_no_image_has_is_no_column(run):
    image = {"index": "cat.png", "label": None, "predicted": "cat", "probability": 0.5, "correct": None}
    run.save_json("attributions/a.json", {"methods": ["new"], "layers": [], "figures": [], "images": [image]})
    group = attributions(run)["groups"][-1]
    assert (group.methods, group.layers, group.missing) == ("new", "–", "of these images")
    assert group.table.columns == ("Test image", "Predicted", "Explained class", "Its probability")
    assert group.table.rows == (("cat.png", "cat", "cat", "50.0%"),)
    images = [{"index": 3, "target": "cow", "share": 0.25, "iou": 0.5}, {"index": 4, "target": "cow", "share": 0.1}]
    run.save_json("attributions/a.json", {"methods": ["new"], "layers": [], "figures": [], "images": images})
    assert attributions(run)["groups"][-1].table.rows == (("3", "cow", "25.0%", "50.0%"), ("4", "cow", "10.0%", "–"))


def test_a_figure_that_is_gone_is_named(run):
    (run.path / "figures" / "explain-wrong.svg").unlink()
    (run.path / "figures" / "explain-wrong.png").unlink()
    assert [group.missing for group in attributions(run)["groups"]] == ["", "explain-wrong"]


def test_no_attributions_no_section(run):
    for name in ("correct", "wrong"):
        (run.path / "attributions" / f"{name}.json").unlink()
    assert attributions(run) is None


def test_faithfulness_stands_below_the_images_where_it_was_measured(run):
    assert attributions(run)["groups"][0].measures is None
    share, none = {"mean": 0.25, "low": 0.2, "high": 0.31, "images": 4}, {"mean": None, "low": None, "high": None}
    row = {"method": "gradcam", "layer": "conv4", "mask_share": share, "deletion": none}
    made = {
        "methods": ["gradcam"], "layers": ["conv4"], "figures": [], "images": [], "measures": [row],
        "mask": {"threshold": 0.5, "area": 0.13}, "random_order": {"deletion": 0.5, "insertion": 0.6},
        "sanity": {"passes": {"gradcam": True, "guided_backpropagation": False, "occlusion": None}},
    }  # fmt: skip
    run.save_json("attributions/a.json", made)
    group = attributions(run)["groups"][-1]
    assert group.measures.columns == ("Method", "Layer", "Inside the stroke", "Deletion area (lower is better)")
    assert group.measures.rows == (("Grad-CAM", "conv4", "25.0% (20.0 to 31.0%)", "–"),)
    assert "13.0% of itself" in group.notes[0]
    assert "50.0% and 60.0%" in group.notes[1]
    told = "Grad-CAM notices it; Guided backpropagation does not notice it; Occlusion is undecided, for want of images."
    assert group.notes[2].endswith(told)
