"""The explorer in a browser: segmentation, reconstruction, training, network, comparison; what holds for all views."""

import re

import pytest

import glassnet as gn

pytestmark = pytest.mark.browser

VIEWS = {
    "digits": (
        "embedding?method=pca&image=3",
        "image?image=3",
        "edit?image=3",
        "mistakes",
        "channels?layer=conv4&channel=1&order=needed",
        "network",
        "training",
        "compare",
    ),
    "scans": ("segmentation?image=1", "image?image=1"),
    "bars": ("reconstruction?image=1", "embedding?method=pca"),
    "pairs": ("mistakes", "mistakes?mistakes=0-missed", "mistakes?show=confident"),
}
ALIKE = (
    "scans/image?image=1", "bars/embedding?method=pca", "pairs/mistakes?mistakes=0-missed",
    "pairs/mistakes?show=confident",
)  # fmt: skip
"""Views whose kind is there already, of another run or with other images shown."""
EVERY = [
    pytest.param(view, marks=pytest.mark.slow if view in ALIKE else ())
    for view in (f"{run}/{view}" for run, views in VIEWS.items() for view in views)
]
READY = {
    "embedding": '[data-testid=points][data-state="ready"]',
    "image": "canvas",
    "edit": "[data-testid=drawing]",
    "mistakes": ":is(table, [data-testid=gallery])",
    "channels": "[data-testid=channels]",
    "network": "table",
    "training": "svg",
    "compare": "dl",
    "segmentation": "figure canvas",
    "reconstruction": "figure canvas",
}


def ready(page, view):
    page.wait_for_selector(f"[data-testid=view] {READY[view.split('/')[1].split('?')[0]]}")
    page.wait_for_selector("[data-testid=view] progress", state="detached")


def turned(page):
    """Return the output with the code turned, as a PNG."""
    return page.locator("[aria-label='Change the code'] canvas").nth(1).evaluate("one => one.toDataURL()")


@pytest.mark.parametrize("view", EVERY)
def test_a_view_is_for_all_people_and_screens_and_its_address_restores_it(visit, view):
    """On a wide screen; and when it is loaded again, on a narrow and dark one."""
    page = visit(view)
    ready(page, view)
    check(page, 1280)
    address, title = page.url, page.inner_text("h1")
    page.set_viewport_size({"width": 390, "height": 900})
    page.emulate_media(color_scheme="dark")
    page.reload()
    ready(page, view)
    assert (page.url, page.inner_text("h1")) == (address, title)
    check(page, 390)


def check(page, width):
    """Nothing that axe-core finds, nothing beyond the edge, no message in the console, no other host."""
    from axe_playwright_python.sync_playwright import Axe

    assert page.evaluate("document.documentElement.scrollWidth") <= width
    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    assert [(one["id"], one["nodes"][0]["html"][:200]) for one in found] == []
    assert page.complaints == []
    assert len(page.hosts) == 1


def test_a_region_is_explained_where_it_is_clicked(visit, explored):
    page = visit("scans/segmentation?image=1")
    ready(page, "scans/segmentation")
    box = page.locator("figure canvas").nth(1).bounding_box()
    with page.expect_response(lambda answer: "region" in answer.url and answer.status == 200) as given:
        page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert re.search(r"target=region(:|%3A)1[56](,|%2C)1[56]", given.value.url)
    assert page.complaints == []


def test_iou_of_the_list_is_that_of_the_evaluation(visit, explored):
    result = gn.evaluate(gn.Run.open(explored.folder / "scans"))
    page = visit("scans/segmentation?image=1")
    ready(page, "scans/segmentation")
    page.get_by_text(re.compile(r"mean IoU 0\.\d+")).first.wait_for()
    assert result.images == page.locator("[data-testid=gallery] button").count()


def test_a_number_of_the_code_redraws_the_output(visit):
    page = visit("bars/reconstruction?image=1")
    ready(page, "bars/reconstruction")
    slider = page.locator(".sliders input[type=range]").first
    slider.wait_for()
    before = turned(page)
    with page.expect_response(lambda answer: "/decode" in answer.url and answer.status == 200):
        slider.focus()
        page.keyboard.press("End")
    page.get_by_text("With the changed code").wait_for()
    after = turned(page)
    assert before != after
    page.get_by_role("button", name="Reset all").click()
    page.get_by_text("Move a slider").wait_for()
    assert page.complaints == []


def test_two_runs_are_compared_on_their_images(visit, explored):
    right = {}
    for name in ("digits", "weaker"):
        run = gn.Run.open(explored.folder / name)
        right[name] = gn.evaluate(run).accuracy
    page = visit("digits/compare?with=weaker")
    ready(page, "digits/compare")
    numbers = [
        int(one.replace(",", "").split()[0])
        for one in page.locator("dl.counts dd, [data-testid=view] dl dd").all_inner_texts()
    ]
    both, first, second, neither = numbers[-4:]
    assert both + first + second + neither == 1000
    assert (both + first) / 1000 == pytest.approx(right["digits"])
    assert (both + second) / 1000 == pytest.approx(right["weaker"])
    assert page.complaints == []


def test_a_layer_leads_to_its_embedding(visit):
    page = visit("digits/network")
    ready(page, "digits/network")
    page.get_by_role("button", name="conv2", exact=True).click()
    page.get_by_role("button", name=re.compile("embedding", re.I)).last.click()
    page.wait_for_selector('[data-testid=points][data-layer="conv2"]')
    assert page.complaints == []


def test_the_theme_is_chosen_and_remembered(visit):
    page = visit("digits/network")
    ready(page, "digits/network")

    def background():
        return page.evaluate("getComputedStyle(document.body).backgroundColor")

    light = background()
    page.get_by_label("Theme").select_option("dark")
    assert background() != light
    page.reload()
    ready(page, "digits/network")
    assert background() != light


def test_keys_open_views_and_go_from_image_to_image(visit):
    page = visit("digits/image?image=3")
    ready(page, "digits/image")
    page.keyboard.press("j")
    page.wait_for_selector('[data-testid=focus][data-number="4"]')
    page.keyboard.press("6")
    page.wait_for_selector('[data-testid=view][data-view="network"]')
    page.keyboard.press("?")
    page.get_by_role("dialog").wait_for()
    page.keyboard.press("Escape")
    assert page.complaints == []


def test_labels_that_were_missed_open_their_images(visit):
    page = visit("pairs/mistakes")
    page.get_by_text("4 of 5").wait_for()
    page.click('[data-mistakes="0-missed"]')
    page.wait_for_selector("[data-testid=gallery] button")
    numbers = page.locator("[data-testid=gallery] button").evaluate_all("all => all.map(one => one.dataset.number)")
    assert numbers == ["1", "4"]
    page.get_by_role("heading", name="a missed: 2 images").wait_for()
    page.get_by_label("Most confident mistakes").check(force=True)
    page.get_by_role("heading", name="Wrong labels: 4 images").wait_for()
    assert page.locator("[data-testid=gallery] .wrong").count() == 0  # one label says nothing of the others
    captions = page.locator("[data-testid=gallery] .caption").all_inner_texts()
    assert captions == ["missed a, 10%", "invented a, 80%", "missed b, 40%", "missed a, 45%"]
