"""What is built from this source installs and runs by itself, with the explorer's page inside; its version is one."""

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
import requests
import yaml

import glassnet
from glassnet.models import MODELS

pytest.importorskip("hatchling")
ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "glassnet"


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A wheel and a source distribution, built from this source without a network."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", folder], cwd=ROOT, check=True, capture_output=True
    )
    (wheel,), (source,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return wheel, source


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory):
    """Run a Python that finds the installed wheel before anything else, in an empty folder."""
    target, empty = tmp_path_factory.mktemp("installed"), tmp_path_factory.mktemp("empty")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-compile"]
    subprocess.run([*pip, "--disable-pip-version-check", "--target", target, built[0]], check=True, capture_output=True)
    environment = {**os.environ, "PYTHONPATH": str(target), "COLUMNS": "80"}

    def start(*words, **options):
        """Start the installed script, as a shell would."""
        command = [sys.executable, target / "bin" / "glassnet", *map(str, words)]
        return subprocess.Popen(
            command, cwd=empty, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
        )

    start.python = lambda code: subprocess.run(
        [sys.executable, "-c", code], cwd=empty, env=environment, check=True, capture_output=True, text=True
    ).stdout.split()
    start.target = target
    return start


def _said(process):
    out, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    return out


def test_the_wheel_holds_all_files_of_the_package(built):
    with zipfile.ZipFile(built[0]) as wheel:
        inside = {name for name in wheel.namelist() if name.startswith("glassnet/")}
    here = {path.relative_to(ROOT / "src").as_posix() for path in PACKAGE.rglob("*") if path.is_file()}
    assert inside == {name for name in here if "__pycache__" not in name}
    assert "glassnet/explorer/static/index.html" in inside
    assert "glassnet/py.typed" in inside


def test_the_source_distribution_builds_the_same_wheel(built, tmp_path):
    with tarfile.open(built[1]) as packed:
        packed.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    for name in ("README.md", "LICENSE", "CITATION.cff", "CHANGELOG.md", "tests/conftest.py", "web/package.json"):
        assert (source / name).is_file()
    assert not list(source.rglob("node_modules"))
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    (again,) = tmp_path.glob("*.whl")
    assert again.read_bytes() == built[0].read_bytes()


def test_the_version_has_one_place(built, installed):
    version = glassnet.__version__
    assert built[0].name == f"glassnet-{version}-py3-none-any.whl"
    assert built[1].name == f"glassnet-{version}.tar.gz"
    code = "import glassnet as gn, importlib.metadata as m; print(gn.__version__, m.version('glassnet'), gn.__file__)"
    said, metadata, file = installed.python(code)
    assert said == metadata == version
    assert Path(file).is_relative_to(installed.target)
    assert _said(installed("-V")) == f"glassnet {version}\n"


def test_the_installed_command_lists_the_models(installed):
    assert set(MODELS) <= set(_said(installed("models")).split())


def test_the_installed_explorer_serves_its_page(installed, finished):
    process = installed("explore", finished.path, "--no-browser", "--port", 0)
    try:
        address = process.stderr.readline().split()[-1]
        browser = requests.Session()
        page = browser.get(address, timeout=60)
        assert page.status_code == 200
        (script,) = re.findall(r'src="\./(assets/index-[\w-]+\.js)"', page.text)
        sent = browser.get(address.partition("?")[0] + script, timeout=60)
        assert sent.status_code == 200
        assert sent.content == (installed.target / "glassnet" / "explorer" / "static" / script).read_bytes()
    finally:
        process.terminate()
        process.communicate(timeout=60)


# What version 1.2.0 of the citation file format asks for and allows at the top of a file.
_REQUIRED = {"cff-version", "message", "title", "authors"}
_ALLOWED = _REQUIRED | {
    *("abstract", "commit", "contact", "date-released", "doi", "identifiers", "keywords", "license", "license-url"),
    *("preferred-citation", "references", "repository", "repository-artifact", "repository-code", "type", "url"),
    "version",
}


def test_the_citation_is_valid_and_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert _REQUIRED <= citation.keys() <= _ALLOWED
    assert citation["cff-version"] == "1.2.0"
    assert citation["type"] == "software"
    assert citation["license"] == "Apache-2.0"
    assert citation["version"] == glassnet.__version__
    assert all(author["name"] for author in citation["authors"])
    assert len(set(citation["keywords"])) == len(citation["keywords"])


def test_the_changes_begin_with_this_version():
    heading = next(line for line in (ROOT / "CHANGELOG.md").read_text().splitlines() if line.startswith("## "))
    assert glassnet.__version__ in heading
