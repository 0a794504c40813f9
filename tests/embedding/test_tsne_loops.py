"""How machine code is kept: never stale, not needed, and announced where it has to be made."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest

import glassnet
from glassnet.embedding.tsne import loops, mesh
from glassnet.embedding.tsne.loops import compiled, say_if_compiling, sources_stamp


def doubled(x):
    return 2 * x


def test_without_a_folder_to_write_to_each_process_compiles_for_itself(monkeypatch, capsys):
    monkeypatch.setattr("numba.core.caching.CacheImpl._locator_classes", [])
    with pytest.raises(RuntimeError, match="cannot cache function"):
        numba.njit(cache=True)(doubled)
    loop = compiled(doubled)
    say_if_compiling(loop)
    assert "compiling t-SNE" in capsys.readouterr().err
    assert loop(3) == 6
    say_if_compiling(loop)
    assert capsys.readouterr().err == ""


def test_compiling_is_announced_unless_fresh_machine_code_is_on_disk(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    assert compiled(doubled)(3) == 6
    say_if_compiling(compiled(doubled))
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(loops, "sources_stamp", lambda: "edited")
    say_if_compiling(compiled(doubled))
    assert "compiling t-SNE" in capsys.readouterr().err


def test_the_stamp_is_of_all_files():
    assert mesh.spread_2d._cache._cache_file._source_stamp == sources_stamp()


OTHER_FILE = """
from glassnet.embedding.tsne.loops import compiled
from glassnet.embedding.tsne.mesh import weights

@compiled
def total(u):
    w = weights(u)
    return w[0] + w[1] + w[2] + w[3]
"""
SCRIPT = """
import numpy as np
from glassnet.embedding.tsne.other import total
print(round(float(total(np.float32(0.5))), 3), sum(total.stats.cache_hits.values()))
"""


def test_a_loop_called_from_another_file_is_never_stale(tmp_path):
    package = tmp_path / "glassnet"
    shutil.copytree(Path(glassnet.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__", "static"))
    folder = package / "embedding" / "tsne"
    for name in ("__init__.py", "../__init__.py"):
        (folder / name).write_text("")  # else torch is loaded three times
    (folder / "other.py").write_text(OTHER_FILE)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "NUMBA_CACHE_DIR": str(tmp_path / "cache")}

    def total() -> str:
        command = [sys.executable, "-c", SCRIPT]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()

    assert [total(), total()] == ["1.0 0", "1.0 1"]
    text = (folder / "mesh.py").read_text()
    changed = text.replace(
        "HALF, SIXTH = np.float32(1 / 2), np.float32(1 / 6)", "HALF, SIXTH = np.float32(1 / 2), np.float32(1 / 3)"
    )
    assert changed != text
    (folder / "mesh.py").write_text(changed)
    assert np.isclose(float(total().split()[0]), 2)
