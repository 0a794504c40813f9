"""The pages on how to add a part, followed literally: files written, registries changed, contract tests run.

All of it happens in a copy of the source tree and in one process, so that torch is loaded once.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from follow import blocks

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "docs" / "extending" / f"{name}.md" for name in ("data-set", "model", "method", "task")]
FOLLOW = """
import sys
from pathlib import Path
from follow import blocks, follow, write
pages = [Path(name) for name in sys.argv[1:]]
parts = [block for page in pages for block in blocks(page) if block.title]
for block in parts:  # before glassnet is loaded from them: a registry is read once
    write(block)
import glassnet, small_data
small_data.make_small(dict.__setitem__)
for page in pages:
    print("following", page.name, flush=True)
    follow(page, write_files=False)
"""


@pytest.fixture
def tree(tmp_path):
    """A copy of the source tree, compiled files too, without the built front end and what the pages do not need."""
    for name in ("src", "tests", "docs/site", "docs/extending"):
        ignored = shutil.ignore_patterns("static", "browser", "explorer_page.py", "torture", "zoo")
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


@pytest.mark.timeout(900)
def test_what_the_pages_say_adds_a_data_set_a_model_a_method_and_a_task(tree):
    path = os.pathsep.join(str(tree / name) for name in ("src", "docs/site", "tests"))
    done = subprocess.run(
        [sys.executable, "-c", FOLLOW, *map(str, PAGES)],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "GLASSNET_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said[-6000:]
    assert [f"following {page.name}" in said for page in PAGES] == [True] * 4
    assert said.count(" passed") == 4
    for run in ("stripes", "lenet", "for-maps", "ordinal"):
        assert (tree / "runs" / run / "run.json").exists()


def test_each_page_says_all_three_steps():
    for page in PAGES:
        languages = [block.language for block in blocks(page)]
        assert "diff" in languages, page
        assert any(block.title.endswith(".py") and block.language == "python" for block in blocks(page)), page
        assert any("python -m pytest tests/" in block.text for block in blocks(page)), page
