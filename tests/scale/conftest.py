import pytest

import glassnet as gn
from tiny_runs import save_bars


@pytest.fixture(scope="session")
def base(tmp_path_factory):
    """Settings of trainings of a few steps an epoch."""
    bars = save_bars(tmp_path_factory.mktemp("data") / "bars")
    options = ("filters=2,2,2,2", "hidden=4")
    return gn.TrainSettings(
        data=f"folder:{bars}", model_options=options, epochs=2, batch_size=16, validation=0.25, precision="fp32"
    )


def numbers(result):
    """What a grid's file holds, but for where the runs lie and the seconds they took."""
    told = result.to_json()
    cells = [{key: one for key, one in cell.items() if key not in ("runs", "seconds")} for cell in told["cells"]]
    return {**told, "out": None, "cells": cells}


@pytest.fixture(scope="session", name="numbers")
def _numbers():
    return numbers
