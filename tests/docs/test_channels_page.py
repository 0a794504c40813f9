"""The page about channels: its Python on any network runs as it stands, and gives what the page says."""

import re
from pathlib import Path

import numpy as np
from follow import follow

PATH = Path(__file__).parents[2] / "docs" / "channels.md"
PAGE = PATH.read_text()


def test_its_python_runs_from_top_to_bottom(desk):
    names = follow(PATH)
    assert names["unit"].seen == (10, 10, 10, 10)
    made, parts = names["made"], names["parts"]
    driven = made.real_best > 0
    np.testing.assert_allclose(made.multiple[driven], (made.activation / made.real_best)[driven], rtol=1e-6)
    assert np.isnan(made.multiple[~driven]).all()
    assert len(names["kinds"].images) == 4
    assert len(parts.importance) == len(parts.intervals) == 3


def test_its_tables_name_what_there_is():
    from glassnet.microscope.ablation_result import Ablation
    from glassnet.microscope.concepts_result import Concepts
    from glassnet.microscope.visualized import Visualized

    tables = PAGE.split("## Synthetic images")[1].split("## Receptive fields")[0]
    rows = re.findall(r"^\| (`.*?) \|", tables, re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`(\w+)", row)} - {"diversity"}
    kinds = (Ablation, Concepts, Visualized)
    known = {name for kind in kinds for name in (*kind.__dataclass_fields__, *vars(kind))}
    assert len(named) > 15
    assert named <= known
