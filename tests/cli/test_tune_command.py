import json

import numpy as np
import pytest
from PIL import Image

from glassnet import cli
from glassnet.cli.training import describe_grid
from glassnet.stats import PairedDifference
from glassnet.tuning import Cell, Tuning

BASE = [
    "--model-options",
    "hidden=4",
    "--epochs",
    "1",
    "--batch-size",
    "8",
    "--validation",
    "0.25",
    "--precision",
    "fp32",
]
GRID = ["--grid", "filters=2,2,2,2", "3,3,3,3"]


def cell(name, accuracy, **rest):
    values = {"filters": tuple(map(int, name.split(","))), "dropout": None}
    seeds = tuple(range(len(accuracy)))
    figures = {"seeds": seeds, "unfinished": (), "runs": tuple(f"r{s}" for s in seeds), "seconds": (60.0,) * len(seeds)}
    figures |= dict.fromkeys(("validation_loss", "test_accuracy", "test_loss"), (0.5,) * len(seeds))
    return Cell(name=name, values=values, parameters=1234, validation_accuracy=accuracy, **figures | rest)


def test_the_table(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    best, second, third = cell("2,2", (0.9, 0.92)), cell("1,1", (0.8, 0.82)), cell("3,3", (0.7, 0.8), unfinished=(2,))
    differences = {"2,2": None, "1,1": PairedDifference(-0.1, -0.12, -0.08, 0.01, 0.03, 2), "3,3": None}
    lines = describe_grid(
        Tuning(tmp_path, ("filters", "dropout"), (best, second, third), differences)
    ).text.splitlines()
    rows = [[part.strip() for part in line.split("  ") if part.strip()] for line in lines]
    assert rows[2] == [
        *["filters", "dropout", "seeds", "accuracy", "loss", "parameters", "seconds"],
        "minus best",
        "95% interval",
        "p",
        "real",
    ]
    assert rows[4] == ["2,2", "–", "2", "0.9100 ± 0.0141", "0.5000 ± 0.0000", "1,234", "60.0 ± 0.0", "best"]
    assert rows[5][7:] == ["-0.1000", "-0.1200 to -0.0800", "0.030", "yes"]
    assert rows[6][2] == "2 of 3"
    assert rows[6][7:] == ["–", "–", "–", "cannot say"]
    text = "\n".join(lines)
    assert "corrected by Holm's method for all 3 pairs" in text
    assert "'cannot say': fewer than 2 seeds in common with the best setting" in text
    assert text.index("chosen on validation: 2,2") < text.index("Test, looked at after the choice")


def test_one_cell_and_one_seed(tmp_path):
    only = cell("2,2", (0.9,))
    text = describe_grid(Tuning(tmp_path, ("filters",), (only,), {"2,2": None})).text
    assert "Only one setting, so there is nothing to compare." in text
    assert "0.9000  0.5000" in text  # no ± where there is one seed


def test_a_grid_from_the_command_line(tmp_path, capsys):
    for number in range(20):
        picture = tmp_path / "pictures" / "ab"[number % 2] / f"{number}.png"
        picture.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(number).integers(0, 256, (8, 8), dtype=np.uint8)).save(picture)
    words = [
        "tune",
        "--data",
        f"folder:{tmp_path / 'pictures'}",
        *BASE,
        *GRID,
        "--seeds",
        "0",
        "--out",
        str(tmp_path / "grid"),
        "--json",
    ]
    assert cli.run(words) == 0
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert [c["values"]["filters"] for c in sorted(told["cells"], key=lambda c: c["name"])] == [[2] * 4, [3] * 4]
    assert "training 1 of 2: filters=2,2,2,2, seed 0" in err
    assert cli.run([*words[:-1], "--epochs", "1"]) == 0
    out, err = capsys.readouterr()
    assert "2 of 2 trainings are already finished" in err
    assert f"next: glassnet report {tmp_path / 'grid'}" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "--grid is missing, expected at least one axis, as in --grid filters=16,16,16,16 32,32,64,64."),
        (["--grid", "filterz=1"], "no setting or model option 'filterz'. Did you mean filters?"),
        (["--grid", "0.01"], "--grid got '0.01', expected NAME=VALUE followed by more values"),
        (
            ["--grid", "epochs=x"],
            "epochs on the grid is 'x', expected a whole number or none.",
        ),
        (["--seed", "3", *GRID], "unrecognized options: --seed, 3. Did you mean --seeds?"),
        (["--resume", "runs/x", *GRID], "unrecognized options: --resume"),
        (["--epochs", "0", *GRID], "--epochs is 0, expected a number above 0"),
    ],
)
def test_wrong_words(words, message, capsys, tmp_path):
    assert cli.run(["tune", *words, "--out", str(tmp_path / "grid")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "grid").exists()
