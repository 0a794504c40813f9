"""The reference pages of the site say all that the code does: every option, every public name, every measure."""

import dataclasses
from pathlib import Path

import measure_tables
import pytest
import reference

import glassnet
from glassnet.cli import COMMANDS
from glassnet.cli.parse import settings_of
from glassnet.measures import MEASURES


@pytest.fixture(scope="module")
def commands():
    return reference.commands_page()


@pytest.fixture(scope="module")
def python():
    return reference.python_page()


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_stands_there_with_all_its_options(commands, name):
    section = commands.split(f"## glassnet {name}\n")[1].split("\n## ")[0]
    fields = dataclasses.fields(settings_of(COMMANDS[name]))
    given = [field.name for field in fields if not any(kind in str(field.type) for kind in ("Positional", "Suppress"))]
    options = [f"--{field.replace('_', '-')}" for field in given]
    assert [option for option in options if option not in section] == []
    assert "--json" in section


def test_every_public_name_has_its_signature_and_text(python):
    sections = {part.split("\n")[0]: part for part in python.split("\n### ")[1:]}
    assert set(sections) == {f"gn.{name}" for name in glassnet.__all__} - {"gn.__version__"}
    assert all(len(text.split()) > 5 for text in sections.values())
    assert "callbacks: Sequence[Callback] = ()," in sections["gn.train"]
    assert "- `InputError`: A name, option, size or file cannot be used" in sections["gn.train"]
    assert "- `epochs: int | None = None`: " in sections["gn.TrainSettings"]
    assert "#### Embedding.transform" in sections["gn.Embedding"]


def test_a_name_in_no_group_stops_the_build(monkeypatch):
    monkeypatch.setattr(glassnet, "__all__", [*glassnet.__all__, "unheard_of"])
    with pytest.raises(ValueError, match="unheard_of"):
        reference.python_page()


def test_text_that_markdown_would_take_for_markup_is_kept():
    assert reference._escaped("a * b `c * d` <e> f_g") == r"a \* b `c * d` \<e\> f\_g"


def test_a_table_of_measures_says_what_measures_py_says():
    filled = measure_tables.fill("before\n\n<!-- measures: loss knn_accuracy -->\n\nafter")
    (loss, knn) = filled.splitlines()[4:6]
    assert loss == f"| **Loss** | `loss` | {MEASURES['loss'].meaning} | lower |"
    assert knn.startswith("| **kNN accuracy** (kNN) | `knn_accuracy` | ")
    assert MEASURES["knn_accuracy"].ends.format(chance="1 / classes") in knn
    with pytest.raises(KeyError):
        measure_tables.fill("<!-- measures: unheard_of -->")


def test_the_page_of_measures_has_each_of_them_once():
    page = (Path(__file__).parents[2] / "docs" / "measures.md").read_text()
    listed = [key for keys in measure_tables.MARK.findall(page) for key in keys.split()]
    assert sorted(listed) == sorted(MEASURES)
