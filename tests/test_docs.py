"""The documentation: generated pages are up to date, every study in it is valid, and every command can be typed."""

from __future__ import annotations

import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import typer.main
from ruamel.yaml import YAML
from typer.testing import CliRunner

from vgg_ablate.cli import app
from vgg_ablate.config.study import load
from vgg_ablate.external.claims_file import load_claims

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
CHEAP = {"check", "describe", "explain", "init", "judge", "schema", "space"}
FENCE = re.compile(
    r"^```(?P<language>\w*)(?: title=\"(?P<title>[^\"]+)\")?\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
COMMAND = re.compile(r"python -m vgg_ablate +(?P<arguments>[^`#;|>)\n]+)")
BASE = ROOT / "vgg_ablate/cli/templates/list.yaml"


def name_page(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def find_blocks(page: Path, *languages: str) -> Iterator[tuple[str, str]]:
    """Yield the title and the text of every block of YAML, or of other languages."""
    for match in FENCE.finditer(page.read_text(encoding="utf-8")):
        if match["language"] in (languages or ("yaml",)):
            yield match["title"] or "", match["text"]


def find_commands(page: Path) -> list[list[str]]:
    """Return the arguments of every command, with lines joined at a backslash."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    return [shlex.split(match["arguments"]) for match in COMMAND.finditer(text)]


def is_cheap(arguments: list[str]) -> bool:
    """Return whether a command can be run as it is: without names such as STUDY, data sets, and long work."""
    is_quick = arguments[0] in CHEAP or "--no-probe" in arguments
    if arguments[0] == "judge" and not Path(arguments[1]).exists():
        return False
    return is_quick and not any(re.search(r"\b[A-Z]{4,}\b|\.\.\.", argument) for argument in arguments)


BLOCKS = [(page, title, text) for page in PAGES for title, text in find_blocks(page)]


@pytest.mark.parametrize(
    ("page", "title", "text"), BLOCKS, ids=[f"{name_page(page)}-{title}" for page, title, _ in BLOCKS]
)
def test_every_study_of_the_documentation_is_valid(page: Path, title: str, text: str, tmp_path: Path) -> None:
    document: Any = YAML(typ="safe", pure=True).load(text)
    path = tmp_path / "study.yaml"
    if title.endswith("claims.yaml"):
        path.write_text(text, encoding="utf-8")
        assert load_claims(path).claims
        return
    if "version" in document:
        path.write_text(text, encoding="utf-8")
    else:  # a part of a study: the other keys are those of an example
        extended = text if "claims" in document else f"{text}\nclaims: []\n"
        variants = "null" if "design" in document else "{}"  # a design in place of the example's variants
        extended = extended if "variants" in document else f"{extended}\nvariants: {variants}\n"
        path.write_text(f"extends: {BASE}\n{extended}", encoding="utf-8")
    study = load(path)
    assert study.variants, f"{page}: {title}"


@pytest.mark.parametrize("page", PAGES, ids=name_page)
def test_every_command_of_a_page_can_be_typed(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands are parsed, and the cheap ones run, in the order of the page, beside the studies that it writes."""
    (tmp_path / "studies").mkdir()
    for path in (ROOT / "studies").iterdir():
        (tmp_path / "studies" / path.name).symlink_to(path)
    for title, text in find_blocks(page, "yaml", "csv"):
        if title:
            (tmp_path / title).write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    group: Any = typer.main.get_command(app)
    for arguments in find_commands(page):
        if arguments == ["COMMAND", "--help"]:
            continue
        command = group.commands.get(arguments[0])
        assert command is not None, f"{page}: {arguments}"
        if len(arguments) == 1:  # a mention
            continue
        command.make_context(arguments[0], arguments[1:])
        if name_page(page) == "docs/judge.md" and arguments[0] == "judge":
            assert Path(arguments[2]).is_file(), f"{arguments}: the page has no such claims"
        if is_cheap(arguments):
            result = CliRunner().invoke(app, arguments)
            assert result.exit_code == 0, f"{page}: {arguments}: {result.exception or result.output}"


@pytest.mark.parametrize("page", PAGES, ids=name_page)
def test_every_link_of_a_page_leads_to_a_file(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?://|#)([^)#\s]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{page}: {target}"


def test_the_generated_pages_are_up_to_date() -> None:
    pages = runpy.run_path(str(DOCS / "generate.py"))["build_pages"]()
    # Versions of typer differ in how they write defaults and ranges.
    if f"typer=={version('typer')}\n" not in (ROOT / "requirements-dev.lock").read_text(encoding="utf-8"):
        del pages["reference/command-line.md"]
    for name, text in pages.items():
        assert (DOCS / name).read_text(encoding="utf-8") == text, "python docs/generate.py"


def test_the_site_builds_without_warnings(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="mkdocs is not installed: make docs builds the site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for page in (tmp_path / "site").rglob("*.html"):  # readers without a network see every page as it is
        loaded = re.findall(r'<(?:script|img|iframe|link)[^>]+(?:src|href)="(https?://[^"]+)"', page.read_text("utf-8"))
        assert loaded == [], page
