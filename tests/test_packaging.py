"""What is installed and how: version, extras, lock file, files inside the wheel, and the commands of the Makefile."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def list_make_commands(*arguments: str, folder: Path) -> str:
    """Return what `make` would run in a clone without a virtual environment."""
    command = ["make", "-n", f"VENV={folder}/venv", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_the_version_is_printed_without_importing_torch() -> None:
    code = (
        "import sys; sys.argv = ['vgg_ablate', '--version']\n"
        "from vgg_ablate.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"vgg_ablate {PROJECT['project']['version']}, torch ")


def test_the_citation_names_the_version_and_the_licence_of_the_package() -> None:
    citation = YAML(typ="safe").load(ROOT / "CITATION.cff")
    assert citation["version"] == PROJECT["project"]["version"]
    assert citation["license"] == PROJECT["project"]["license"]
    assert (ROOT / "LICENSE").read_text(encoding="utf-8").startswith("MIT License")


def test_every_file_of_the_package_is_in_its_wheel() -> None:
    package = ROOT / "vgg_ablate"
    patterns = PROJECT["tool"]["setuptools"]["package-data"]["vgg_ablate"]
    files = {path.relative_to(package).as_posix() for path in package.rglob("*") if path.is_file()}
    data = {name for name in files if not name.endswith((".py", ".pyc"))}
    assert data == {name for name in data if any(fnmatch(name, pattern) for pattern in patterns)}
    assert all(any(fnmatch(name, pattern) for name in data) for pattern in patterns)


def test_the_lock_file_pins_every_dependency_that_is_declared() -> None:
    lock = (ROOT / "requirements-dev.lock").read_text(encoding="utf-8")
    pinned = {line.split("==")[0] for line in lock.splitlines() if "==" in line}
    extras = PROJECT["project"]["optional-dependencies"]
    declared = [*PROJECT["project"]["dependencies"], *extras["test"], *extras["docs"]]
    names = {re.split(r"[\[<>=; ]", requirement)[0].replace(".", "-") for requirement in declared} - {"vgg_ablate"}
    assert names <= pinned
    assert "://" not in lock  # any package index will do


@pytest.mark.parametrize("target", ["study", "test", "docs"])
def test_cpu_users_get_torch_without_cuda_before_anything_else(target: str, tmp_path: Path) -> None:
    lines = list_make_commands(target, "CPU=1", folder=tmp_path).splitlines()
    installs = [line for line in lines if "pip install" in line]
    assert re.search(r"--index-url https://download\.pytorch\.org/whl/cpu torch torchvision$", installs[1])
    assert "--editable ." in installs[2]


def test_without_cpu_one_line_names_it_and_no_other_index_is_asked(tmp_path: Path) -> None:
    commands = list_make_commands("study", folder=tmp_path)
    assert "make study CPU=1" in commands
    assert "--index-url" not in commands
