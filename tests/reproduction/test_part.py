import numpy as np
import pytest

from glassnet.errors import InputError
from glassnet.reproduction.part import Stage, open_folder, stage


@pytest.fixture
def counted(tmp_path):
    calls = []

    def run(inputs):
        def compute():
            calls.append(inputs)
            return Stage({"rows": np.arange(3)}, {"calls": len(calls)})

        return stage(open_folder(tmp_path), "one", inputs, compute)

    return run


def test_a_finished_stage_is_read_back_and_other_inputs_do_it_again(counted):
    assert counted({"seed": 0}).numbers == {"calls": 1}
    again = counted({"seed": 0})
    assert again.numbers == {"calls": 1}
    assert again.arrays["rows"].tolist() == [0, 1, 2]
    assert counted({"seed": 1}).numbers == {"calls": 2}
    assert counted({"seed": 0}).numbers == {"calls": 3}


@pytest.mark.parametrize("damage", ["{", "[]", '{"inputs": {"seed": 0}}'])
def test_a_damaged_stage_is_done_again(counted, tmp_path, damage):
    counted({"seed": 0})
    (tmp_path / "stages" / "one.json").write_text(damage)
    assert counted({"seed": 0}).numbers == {"calls": 2}


def test_a_stage_that_was_killed_is_done_again(counted, tmp_path):
    counted({"seed": 0})
    (tmp_path / "stages" / "one.npz").unlink()
    assert counted({"seed": 0}).numbers == {"calls": 2}


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="which is a file; expected a new folder"):
        open_folder(tmp_path / "file")
