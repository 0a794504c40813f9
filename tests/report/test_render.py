import itertools
import re
import shutil
from collections import Counter

import pytest

from glassnet.errors import InputError
from glassnet.report import render, write_report
from glassnet.run import RunDirectory

TITLES = [
    "Settings and versions", "Learning curves", "Test results", "The network", "Features", "Attributions",
    "How these numbers were made",
]  # fmt: skip
HOSTILE = ["<script>alert(1)</script>", '"><img src=x onerror=alert(2)>', "{{ 7 * 7 }}", "a & b"]
PARTS = {
    "metrics.jsonl": ("recorded no epochs", "glassnet train --data mnist-sample"),
    "evaluation/test.json": ("was not evaluated on test images", "glassnet eval"),
    "embeddings/fc1.json": ("were not embedded", "glassnet features"),
}


@pytest.fixture
def page(run):
    return render([run])


def test_every_section_is_there_in_order(page, outline):
    assert [words for level, words in outline(page).headings if level == 2] == TITLES


def test_headings_step_down_one_level_at_a_time(page, outline):
    levels = [level for level, _ in outline(page).headings]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


def test_no_id_stands_twice_and_every_link_inside_has_its_end(page, outline):
    elements = outline(page).elements
    ids = Counter(attributes["id"] for _, attributes in elements if "id" in attributes)
    assert [name for name, times in ids.items() if times > 1] == []
    links = [a["href"] for tag, a in elements if tag == "a" and a["href"].startswith("#")]
    links += [a["xlink:href"] for _, a in elements if a.get("xlink:href", "").startswith("#")]
    links += [f"#{name}" for _, a in elements for v in a.values() for name in re.findall(r"url\(#([^)]+)\)", v or "")]
    assert len(links) > 20
    assert {link[1:] for link in links} <= ids.keys()


def test_the_page_asks_for_nothing_outside_itself(page, outline):
    found = outline(page)
    assert not found.having("link")
    assert not found.having("iframe")
    sources = [a.get("src") or a.get("xlink:href") for tag, a in found.elements if tag in ("img", "image", "script")]
    assert all(source is None or source.startswith("data:image/png;base64,") for source in sources)
    assert "@import" not in page
    assert not re.search(r"url\((?!#)", page)
    policy = next(a["content"] for a in found.having("meta") if a.get("http-equiv"))
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-")


def test_every_picture_says_what_it_shows(page, outline):
    drawings = [a for tag, a in outline(page).elements if a.get("class") == "drawing"]
    assert len(drawings) == 9
    assert all(a.get("aria-label") or a.get("alt") for a in drawings)
    assert len(outline(page).having("figcaption")) == 9


def test_every_table_has_a_caption_and_every_heading_cell_a_scope(page, outline):
    found = outline(page)
    assert len(found.having("table")) == len(found.having("caption")) >= 14
    assert all(a.get("scope") in ("row", "col") for a in found.having("th"))


@pytest.mark.parametrize("name", PARTS)
def test_a_section_without_its_artefact_says_what_to_do(run, outline, name):
    (run.path / name).unlink()
    sentence, command = PARTS[name]
    found = outline(render([run]))
    assert [words for level, words in found.headings if level == 2] == TITLES
    assert sentence in found.text
    assert f"{command} {run.path}" in found.text or command in found.text


def test_a_run_that_was_only_trained_has_a_report(run, outline):
    for folder in ("evaluation", "embeddings", "attributions", "figures"):
        shutil.rmtree(run.path / folder)
    found = outline(render([run]))
    assert [words for level, words in found.headings if level == 2] == TITLES
    assert f"glassnet explain {run.path}" in found.text
    assert "The figure learning-curves was not drawn." in found.text


def test_names_that_look_like_code_are_harmless(finished, run, outline):
    test = run.load_json("evaluation/test.json")
    for row, name in zip(test["per_class"], HOSTILE, strict=False):
        row["class"] = name
    run.save_json("evaluation/test.json", test)
    layer = run.load_json("embeddings/fc1.json")
    run.save_json("embeddings/<b>.json", {**layer, "layer": HOSTILE[0]})
    run.save_json("figures/architecture.json", {"title": HOSTILE[0], "alt": HOSTILE[1], "caption": HOSTILE[2]})
    found, plain = outline(render([run])), outline(render([RunDirectory.open(finished)]))
    assert len(found.having("script")) == len(plain.having("script")) == 1
    assert len(found.having("img")) == len(plain.having("img"))
    assert not any("onerror" in attributes for _, attributes in found.elements)
    assert all(name in found.text for name in HOSTILE)


def test_numbers_that_are_missing_or_nan_are_dashes(run):
    for name in ("evaluation/test.json", "embeddings/fc1.json", "attributions/wrong.json"):
        text = (run.path / name).read_text()
        (run.path / name).write_text(re.sub(r": -?\d[\d.e-]*", ": NaN", text))
    text = (run.path / "run.json").read_text()
    holed = re.sub(r'("(?!schema_version)\w+": )-?\d[\d.e-]*', r"\1null", text)
    (run.path / "run.json").write_text(holed)
    page = render([RunDirectory.open(run.path)])
    assert "–" in page
    assert re.findall(r">[^<]*\b(?:nan|NaN|None|null|inf)\b[^<]*<", page.partition("</script>")[2]) == []


def test_a_damaged_file_is_an_input_error(run):
    (run.path / "embeddings" / "fc1.json").write_text("{")
    with pytest.raises(InputError, match=r"fc1\.json is damaged"):
        render([run])


def test_a_file_that_holds_something_else_is_an_input_error(run):
    run.save_json("evaluation/test.json", [1, 2])
    with pytest.raises(InputError, match=r"test\.json is damaged \(it holds no JSON object\); make it again"):
        render([run])


def test_several_runs_begin_with_their_comparison(run, outline, tmp_path):
    second = RunDirectory.open(shutil.copytree(run.path, tmp_path / "second <one>"))
    page = render([run, second])
    found = outline(page)
    levels = [level for level, _ in found.headings]
    assert [words for level, words in found.headings if level < 3] == [
        "2 runs compared", "Comparison", "demo", "second <one>",
    ]  # fmt: skip
    assert [words for level, words in found.headings if level == 3] == TITLES * 2
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    ids = Counter(attributes["id"] for _, attributes in found.elements if "id" in attributes)
    assert max(ids.values()) == 1


def test_no_run_is_an_input_error():
    with pytest.raises(InputError, match="no run was given, expected at least one run directory"):
        render([])


def test_the_same_run_gives_the_same_page(run):
    assert render([run]) == render([run])


def test_the_report_is_written_beside_the_run_or_where_one_says(run, tmp_path):
    assert write_report(run) == run.path / "report.html"
    elsewhere = tmp_path / "pages" / "demo.html"
    assert write_report(run, out=elsewhere) == elsewhere
    assert elsewhere.read_text() == (run.path / "report.html").read_text() == render([run])


def test_a_report_that_fails_leaves_the_old_one(run):
    path = write_report(run)
    before = path.read_text()
    (run.path / "evaluation" / "test.json").write_text("no")
    with pytest.raises(InputError):
        write_report(run)
    assert path.read_text() == before
    assert not list(run.path.glob(".*tmp*"))
