"""The page about networks of one's own: its Python runs as it stands, and says what it decides."""

from pathlib import Path

from follow import follow

from glassnet.attribution import METHODS
from zoo.architectures import ARCHITECTURES

PATH = Path(__file__).parents[2] / "docs" / "networks.md"
PAGE = PATH.read_text()


def test_its_python_runs_from_top_to_bottom(capsys):
    follow(PATH)
    printed = capsys.readouterr().err
    assert (
        "the 51 tokens of blocks.layers.0.norm1 and blocks.layers.1.norm1 are read as 3 other tokens and a grid"
        in printed
    )
    assert "the class scores are taken from the output's 'logits'" in printed


def test_it_names_what_there_is():
    assert f"[{len(ARCHITECTURES)} architectures]" in " ".join(PAGE.split())
    assert {"attention_rollout", "attention_relevance", "legrad"} <= METHODS.keys()
