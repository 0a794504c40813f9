"""The explorer in a browser: a classifier's views do what they say, with the numbers of Python's own functions."""

import json
import re

import numpy as np
import pytest

import glassnet as gn
from glassnet.analysis import analyse

pytestmark = pytest.mark.browser


def expect_state(page, state="ready", **data):
    wanted = "".join(f'[data-{name}="{value}"]' for name, value in data.items())
    page.wait_for_selector(f'[data-testid=points][data-state="{state}"]{wanted}')


def places(page, numbers):
    """Return where points lie on the page, in CSS pixels."""
    return np.array(
        page.evaluate(
            """numbers => {
                const canvas = document.querySelector('[data-testid=points]');
                return numbers.map(number => {
                    const detail = {number};
                    canvas.dispatchEvent(new CustomEvent('glassnet:where', {detail}));
                    return [detail.x, detail.y];
                });
            }""",
            numbers,
        )
    )


def most_apart(points):
    """Return the row of the point that is farthest from its nearest other one."""
    away = np.hypot(*(points[:, None] - points[None]).transpose(2, 0, 1))
    np.fill_diagonal(away, np.inf)
    return int(away.min(axis=1).argmax())


def counted(page, name):
    return int(page.get_attribute(f"[data-testid={name}]", "data-count"))


def check(page):
    """No message in the console, nothing from another host."""
    assert page.complaints == []
    assert len(page.hosts) == 1


@pytest.fixture
def digits(explored):
    return gn.Run.open(explored.folder / "digits")


def test_a_point_shows_its_picture_and_its_map_is_that_of_python(visit, digits):
    page = visit("digits/embedding?method=pca")
    expect_state(page, method="pca", count="1000")
    numbers = digits.dataset().test.numbers.tolist()
    points = places(page, numbers)
    row = most_apart(points)
    page.mouse.move(*points[row])
    page.wait_for_selector(f'[data-testid=hover][data-number="{numbers[row]}"]')
    page.mouse.click(*points[row])
    page.wait_for_selector(f'[data-testid=focus][data-number="{numbers[row]}"]')
    page.wait_for_selector(f'[data-testid=focused][data-number="{numbers[row]}"][data-ready="true"]')
    assert page.locator("[data-testid=focused] figure canvas").count() == 2  # two methods, beside the point
    assert page.locator("[data-testid=focused] .strip canvas").count() == 4  # all four convolutions
    with page.expect_response(lambda answer: "/maps/" in answer.url and answer.status == 200) as given:
        page.click("[data-testid=view-image]")
    answer = given.value
    maps, start = {}, 0
    for one in json.loads(answer.header_value("x-arrays")):
        assert one["dtype"] == "float32"
        size = 4 * int(np.prod(one["shape"]))
        maps[one["name"]] = np.frombuffer(answer.body()[start : start + size], "<f4").reshape(one["shape"])
        start += size
    images = digits.dataset().test.images[row : row + 1]
    expected = gn.explain(digits.model(), images, layers="conv", methods=("gradcam", "guided_gradcam"))
    for method, layer in expected.maps:
        np.testing.assert_array_equal(maps[f"{method}|{layer}"], expected[method, layer][0])
    assert f"/maps/{numbers[row]}?" in answer.url
    check(page)


def test_points_move_from_layer_to_layer(visit):
    page = visit("digits/embedding?method=pca&layer=conv1")
    expect_state(page, layer="conv1")
    before = places(page, list(range(20)))
    page.locator(".layer input[type=range]").focus()
    page.keyboard.press("End")
    page.wait_for_selector('[data-testid=points]:not([data-layer="conv1"])')
    layer = page.get_attribute("[data-testid=points]", "data-layer")
    expect_state(page, layer=layer)
    assert f"layer={layer}" in page.url
    assert np.abs(places(page, list(range(20))) - before).max() > 1
    page.reload()
    expect_state(page, layer=layer)
    check(page)


def test_a_lasso_selects_what_it_surrounds(visit, digits):
    page = visit("digits/embedding?method=pca")
    expect_state(page)
    numbers = digits.dataset().test.numbers.tolist()
    points = places(page, numbers)
    (left, top), (right, bottom) = np.quantile(points, 0.3, axis=0), np.quantile(points, 0.7, axis=0)
    page.get_by_text("lasso", exact=True).click()
    page.mouse.move(left, top)
    page.mouse.down()
    for x, y in ((right, top), (right, bottom), (left, bottom), (left, top)):
        page.mouse.move(x, y, steps=4)
    page.mouse.up()
    page.wait_for_selector("[data-testid=selected]")
    inside = ((points > (left, top)) & (points < (right, bottom))).all(axis=1).sum()
    assert abs(counted(page, "selected") - inside) <= 2  # on the line itself
    page.click("[data-testid=view-mistakes]")
    page.click("[data-testid=view-embedding]")
    expect_state(page)
    assert abs(counted(page, "selected") - inside) <= 2
    check(page)


def test_filters_combine(visit, digits):
    predicted = gn.evaluate(digits)
    page = visit("digits/embedding?method=pca&wrong=yes")
    expect_state(page)
    wrong = round((1 - predicted.accuracy) * 1000)
    page.wait_for_selector(f'[data-testid=filtered][data-count="{wrong}"]')
    page.get_by_label(re.compile("Search")).fill("0-99")
    page.wait_for_selector(f'[data-testid=filtered]:not([data-count="{wrong}"])')
    numbers = digits.dataset().test.numbers.numpy()
    assert (
        counted(page, "filtered")
        == ((predicted.probabilities.argmax(axis=1) != predicted.targets) & (numbers < 100)).sum()
    )
    page.get_by_text("all", exact=True).first.click()
    page.wait_for_selector('[data-testid=filtered][data-count="100"]')
    check(page)


def test_three_dimensions_are_drawn_and_turned(visit):
    page = visit("digits/embedding?method=pca&dims=3")
    expect_state(page, dims="3")
    before = places(page, list(range(20)))
    box = page.locator("[data-testid=points]").bounding_box()
    page.mouse.move(box["x"] + 200, box["y"] + 200)
    page.mouse.down()
    page.mouse.move(box["x"] + 320, box["y"] + 240, steps=5)
    page.mouse.up()
    assert np.abs(places(page, list(range(20))) - before).max() > 5
    check(page)


def test_covering_the_hottest_place_changes_the_prediction(visit):
    page = visit("digits/edit?image=3")
    page.wait_for_selector("[data-testid=drawing]")
    page.get_by_text("Nothing has changed yet").wait_for()
    page.click("[data-testid=cover-hottest]")
    page.wait_for_selector("[data-testid=change]")
    page.get_by_text(re.compile("The probability of .* before, .* after")).first.wait_for()
    page.get_by_text("Reset", exact=True).click()
    page.get_by_text("Nothing has changed yet").wait_for()
    box = page.locator("[data-testid=drawing]").bounding_box()
    with page.expect_response(lambda answer: "/maps?" in answer.url and answer.request.method == "POST") as given:
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 3)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] * 2 / 3, steps=8)
        page.mouse.up()
    assert given.value.status in (200, 202)
    body = given.value.request.post_data_buffer
    assert len(body) == 2 * 28 * 28
    assert 0 < sum(body[28 * 28 :]) < 28 * 28
    check(page)


def test_a_cell_of_the_confusion_matrix_opens_its_images(visit, digits):
    confusion = np.asarray(gn.evaluate(digits).confusion)
    page = visit("digits/mistakes")
    page.get_by_role("table").wait_for()
    right = confusion.trace()
    page.get_by_text(f"{1000 - right} of 1,000").wait_for()
    np.fill_diagonal(confusion := confusion.copy(), 0)
    true, said = np.unravel_index(confusion.argmax(), confusion.shape)
    page.click(f'[data-pair="{true}-{said}"]')
    page.wait_for_selector("[data-testid=gallery]")
    assert page.locator("[data-testid=gallery] button").count() == confusion.max()
    check(page)


def test_an_own_image_is_read_explained_and_placed(visit, tmp_path):
    from PIL import Image

    Image.fromarray(np.full((60, 80, 3), 200, np.uint8)).save(tmp_path / "mine.png")
    page = visit("digits/image?image=3")
    page.set_input_files("input[type=file]", tmp_path / "mine.png")
    page.get_by_text("mine.png").first.wait_for()
    with page.expect_response(lambda answer: "/place?" in answer.url and answer.status == 200) as given:
        page.get_by_role("button", name=re.compile("falls in the embedding")).click()
    point = np.frombuffer(given.value.body(), "<f4")
    assert point.shape == (2,)
    assert np.isfinite(point).all()
    cross = page.wait_for_selector("[data-testid=own-place]").bounding_box()
    box = page.locator("[data-testid=points]").bounding_box()
    assert box["x"] <= cross["x"] + cross["width"] / 2 <= box["x"] + box["width"]
    check(page)


def test_the_maps_of_two_classes_stand_in_line(visit):
    page = visit("digits/image?image=3&against=7")
    page.wait_for_selector(".targets .target:nth-child(2) .strip canvas")
    page.wait_for_selector("[data-testid=view] progress", state="detached")
    page.evaluate("document.querySelector('.answer').textContent += ' and many more words'.repeat(12)")
    rows = [page.locator(f".target {what}") for what in (".large figure:first-child", ".strip:first-child")]
    for row in rows:
        first, second = (row.nth(k).bounding_box()["y"] for k in (0, 1))
        assert first == pytest.approx(second, abs=1)
    check(page)


def test_a_menu_closes_when_something_else_is_clicked(visit):
    page = visit("digits/embedding?method=pca")
    expect_state(page)
    page.get_by_text("More", exact=True).click()
    page.get_by_label("Number of images").wait_for()
    assert page.locator("details[open]").count() == 1
    page.get_by_role("heading", name="Embedding").click()
    page.get_by_label("Number of images").wait_for(state="hidden")
    assert page.locator("details[open]").count() == 0
    check(page)


def test_a_channel_shows_its_images_and_colours_the_embedding(visit, digits):
    found = analyse(digits, "channels", layers=("conv4",), images=200, ablation_images=50, figures=False).result[
        "conv4"
    ]
    page = visit("digits/channels?layer=conv4")
    page.wait_for_selector(f'[data-testid=channels][data-layer=conv4][data-count="{len(found)}"]')
    cards = page.locator("[data-testid=channels] [data-channel]")
    order = cards.evaluate_all("all => all.map(one => Number(one.dataset.channel))")
    assert order == found.order().tolist()
    cards.first.click()
    page.wait_for_selector(f'[data-testid=channel][data-channel="{order[0]}"]')
    shown = page.locator("[data-testid=channel] [data-number]").evaluate_all(
        "all => all.map(one => +one.dataset.number)"
    )
    assert shown == digits.dataset().test.numbers[found.top_images[order[0]]].tolist()
    page.get_by_label("Order").select_option("number")
    assert cards.evaluate_all("all => all.map(one => +one.dataset.channel)") == list(range(len(found)))
    with page.expect_download() as given:
        page.locator("[data-testid=export] summary").click()
        page.get_by_text("Table (CSV)").click()
    rows = given.value.path().read_text().splitlines()
    assert len(rows) == 1 + len(found)
    assert float(rows[1].split(",")[2]) == pytest.approx(found.active[0])
    page.get_by_role("button", name="Colour the embedding by it").click()
    expect_state(page)
    assert f"channel_layer=conv4&channel={order[0]}" in page.url
    check(page)


@pytest.mark.parametrize("file", ["Picture (PNG)", "Vector picture (SVG)", "Table (CSV)"])
def test_what_is_seen_is_saved(visit, file):
    page = visit("digits/embedding?method=pca")
    expect_state(page)
    page.locator("[data-testid=export] summary").first.click()
    with page.expect_download() as given:
        page.get_by_text(file).first.click()
    saved = given.value.path().read_bytes()
    kind = file[-4:-1].lower()
    assert given.value.suggested_filename.endswith(f".{kind}")
    starts = {"png": b"\x89PNG", "svg": b"<svg", "csv": b"number"}
    assert starts[kind] in saved[:200]
    if kind == "csv":
        assert saved.count(b"\n") >= 1000
    check(page)
