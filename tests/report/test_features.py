from glassnet.report.features import features, title


def test_the_best_value_of_each_measure_stands_out(run):
    rows = features(run)["summary"].rows
    assert [row[2] for row in rows] == ["33.40%", "<strong>50.10%</strong>", "–"]
    assert [row[3] for row in rows] == ["0.560", "<strong>0.660</strong>", "0.560"]


def test_a_single_value_is_not_the_best_of_anything(run):
    layer = run.load_json("embeddings/fc1.json")
    run.save_json("embeddings/fc1.json", {**layer, "pictures": layer["pictures"][:1]})
    assert "<strong>" not in "".join(features(run)["summary"].rows[0])


def test_each_picture_has_its_numbers_and_its_words(run):
    layer = features(run)["layers"][0]
    assert [view.title for view in layer.views] == ["PCA 2-D", "PCA 3-D", "t-SNE 2-D"]
    first, last = layer.views[0], layer.views[-1]
    assert first.sentence == (
        "This picture keeps 33.4% of the features’ variance, lets k-means find clusters that match the class of 58.0% "
        "of the images and places 74.0% of the images among neighbours of their own class."
    )
    assert first.table.rows[0] == ("Explained variance", "33.40%", "0% = nothing, 100% = all")
    assert last.table.rows[0][0] == "Adjusted Rand index"
    assert last.table.caption == "What the picture keeps (perplexity 30.0, 10 clusters)"
    assert ("kNN accuracy", "74.00%", "10% = by chance, 100% = all") in last.table.rows


def test_only_the_methods_used_are_explained(run):
    assert [name for name, _ in features(run)["readings"]] == ["PCA", "t-SNE"]


def test_layers_come_in_the_order_of_the_network_then_by_name(run):
    for name in ("conv10", "conv2", "other", "fc1", "conv1"):
        run.save_json(f"embeddings/{name}.json", {"layer": name, "pictures": []})
    assert [layer.name for layer in features(run)["layers"]] == ["conv1", "conv2", "fc1", "conv10", "other"]


def test_a_picture_that_lacks_everything_is_shown_as_gaps(run):
    run.save_json("embeddings/fc1.json", {"layer": "fc1", "pictures": [{"figure": "gone"}, {}, "no picture"]})
    views = features(run)["layers"][0].views
    assert [view.missing for view in views] == ["gone", "of this picture"]
    assert views[0].sentence == ""
    assert {row[1] for row in views[0].table.rows} == {"–"}


def test_clusters_may_have_a_figure_of_their_own(run):
    picture = {"figure": "learning-curves", "cluster_figure": "confusion-matrix", "method": "umap", "dims": 2}
    run.save_json("embeddings/fc1.json", {"layer": "fc1", "pictures": [picture]})
    assert [p.name for p in features(run)["layers"][0].views[0].pictures] == ["learning-curves", "confusion-matrix"]


def test_no_embeddings_no_section(run):
    (run.path / "embeddings" / "fc1.json").unlink()
    assert features(run) is None


def test_an_unknown_method_has_its_own_name():
    assert title({"method": "isomap", "dims": 3}) == "isomap 3-D"


def test_the_clustering_and_its_noise_are_told(run):
    layer = run.load_json("embeddings/fc1.json")
    picture = {**layer["pictures"][0], "clustering": "hdbscan", "clusters": 7, "noise_share": 0.123}
    run.save_json("embeddings/fc1.json", {**layer, "split": "train", "pictures": [picture]})
    (found,) = features(run)["layers"]
    assert found.split == "train images"
    assert found.views[0].table.caption == "What the picture keeps (HDBSCAN, 7 clusters, 12.3% in no cluster)"
    assert "lets HDBSCAN find clusters that match the class of 58.0% of the images" in found.views[0].sentence


def test_the_scree_plot_stands_with_its_layer(run):
    layer = run.load_json("embeddings/fc1.json")
    assert features(run)["layers"][0].scree is None
    run.save_json("embeddings/fc1.json", {**layer, "scree": {"figure": "learning-curves"}})
    assert features(run)["layers"][0].scree.name == "learning-curves"


def test_rank_correlation_is_shown(run):
    layer = run.load_json("embeddings/fc1.json")
    run.save_json("embeddings/fc1.json", {**layer, "pictures": [{"distance_correlation": -0.25}]})
    rows = features(run)["layers"][0].views[0].table.rows
    assert ("Rank correlation of distances", "−0.250", "0 = as by chance, 1 = in the same order") in rows
