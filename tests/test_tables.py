import pytest
from markupsafe import Markup

from glassnet.tables import Table, make_table, text_table

WORDS = "a convolutional network of four layers, as in the report of 2019"


def test_a_table_knows_numbers_from_words():
    lines = text_table(("name", "count", "share"), [("a", 5, "99.1%"), ("long", 1234, "–")]).splitlines()
    assert lines == ["name  count  share", "----  -----  -----", "a         5  99.1%", "long   1234      –"]


def test_caption_total_and_note_are_written():
    table = make_table("Sizes", ("name", "n"), [("a", 1), ("b", 20)], total=("all", 21), note="Counted.")
    assert table.text(80) == (
        "Sizes\n\nname   n\n----  --\na      1\nb     20\n----  --\nall   21\n\nCounted."
    )  # fmt: skip
    assert table.markdown() == (
        "### Sizes\n\n| name | n   |\n|------|-----|\n| a    | 1   |\n| b    | 20  |\n| all  | 21  |\n\nCounted."
    )  # fmt: skip


def test_words_may_be_named():
    table = make_table("", ("code", "n"), [("007", 1)], words=(0,))
    assert table.text(80).splitlines()[2] == "007   1"
    assert make_table("", ("code", "n"), [("007", 1)]).text(80).splitlines()[2] == " 007  1"


def test_long_cells_wrap_at_spaces_and_short_ones_do_not():
    table = make_table("", ("name", "about", "mean"), [("net", WORDS, "0.9 ± 0.1")])
    lines = table.text(50).splitlines()
    assert all(len(line) <= 50 for line in lines)
    assert lines[2].startswith("net   a convolutional")
    assert lines[2].endswith("0.9 ± 0.1")
    assert " ".join(line[6:39].strip() for line in lines[2:]) == WORDS


def test_too_many_columns_go_into_further_blocks_with_the_names_repeated():
    columns = ("layer", "picture", *(f"measure{i}" for i in range(12)))
    rows = [("conv1", "PCA 2-D", *(f"0.{i:03}" for i in range(12))), ("fc1", "t-SNE", *("–" for _ in range(12)))]
    text = make_table("", columns, rows, names=2).text(80)
    blocks = text.split("\n\n")
    assert len(blocks) == 2
    assert all(len(line) <= 80 for line in text.splitlines())
    assert all(block.splitlines()[2].startswith("conv1  PCA 2-D") for block in blocks)
    assert [word for block in blocks for word in block.splitlines()[0].split()[2:]] == list(columns[2:])
    assert [word for block in blocks for word in block.splitlines()[2].split()[3:]] == list(rows[0][2:])


def test_a_word_wider_than_the_terminal_is_not_cut():
    path = "/a/folder/" + "deep/" * 20
    text = make_table("", ("name", "where"), [("digits", path)]).text(40)
    assert path in text


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_the_terminal_decides_on_the_width(monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = text_table(("name", "about"), [("net", WORDS * 3)]).splitlines()
    assert columns - 20 < max(map(len, lines)) <= columns


def test_headings_wrap_too():
    lines = make_table("", ("n", "share of all pixels"), [("a", "0.5")]).text(12).splitlines()
    assert [line.strip() for line in lines[:3]] == ["n   share of", "all", "pixels"]


def test_a_bar_does_not_end_a_cell_in_markdown():
    assert "| a\\|b |" in Table("", ("x",), (("a|b",),)).markdown()


def test_markup_stays_markup_and_a_table_may_be_empty():
    assert isinstance(make_table("", ("x",), [(Markup("<b>1</b>"),)]).rows[0][0], Markup)
    assert text_table(("x", "y"), []) == "x  y\n-  -"


@pytest.mark.parametrize("width", [12, 21, 22, 80])
def test_a_table_fits_where_it_takes_one_block_of_that_width(width):
    table = make_table("", ("layer", "heading", "b"), [("features", "1.25", "2")])
    assert table.fits(width) == (width >= 20)
    one = len(table.text(width).split("\n\n")) == 1
    assert table.fits(width) == (one and max(map(len, table.text(width).splitlines())) <= width)
