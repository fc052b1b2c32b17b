"""The page report.html: one file without external resources, in which runs link to their records."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from tests.browser import Browser
from tests.report import design_factories, factories
from tests.report.page_scripts import FIND_FAULTS_SCRIPT, SORT_SCRIPT
from vgg_ablate.analysis import summary
from vgg_ablate.records import Outcome
from vgg_ablate.report import markdown, write
from vgg_ablate.report.html import runs
from vgg_ablate.report.methods_text import render_methods

ROOT = Path(__file__).parent.parent.parent
LONG = """\
version: 1
name: long-words
question: >-
  Does a question that is far longer than any question should ever be,
  with anUnreasonablyLongWordInTheMiddleOfItThatNobodyCanBreak, still fit?
seeds: 4
data: {name: digits, image_size: 32}
arch: {stages: "4 4 | 8 8", norm: batch}
train: {epochs: 3}
variants:
  a-variant-whose-name-is-as-long-as-a-name-may-be-in-a-study-of-this-very-package: {arch.kernel: 5}
  wide: {arch.width: 2}
claims:
  - id: a-claim-with-a-very-long-id-that-must-be-wrapped-or-cut
    text: >-
      a sentence that goes on and on and on about a difference between two variants,
      until nobody remembers what it was that it was about in the beginning
    kind: different
    a: wide
    b: a-variant-whose-name-is-as-long-as-a-name-may-be-in-a-study-of-this-very-package
    margin: 0.5
  - {id: same, text: "<b>twice</b> the width & nothing changes", kind: equivalent, a: wide, b: base, margin: 1.0}
  - {id: fast, text: it is fast, kind: better, a: wide, b: base, metric: images_per_second}
"""


class Document(HTMLParser):
    """The ids, links and external sources of a page, and the elements that are not closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.sources: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect ids and references, and push the element on the stack of open ones."""
        attributes = {name: value or "" for name, value in attrs}
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.links += [attributes["href"]] if tag == "a" and "href" in attributes else []
        self.sources += [attributes[name] for name in ("src", "srcset", "data", "action") if name in attributes]
        self.sources += [attributes["href"]] if tag == "link" else []
        if tag not in ("meta", "br", "link", "img", "input") and not self.get_starttag_text().endswith("/>"):  # type: ignore[union-attr]
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Pop the element that was opened last if it is the one that ends."""
        if self.open and self.open[-1] == tag:
            self.open.pop()


def write_page(folder: Path) -> Path:
    write.write_report(folder)
    return folder / "report.html"


@pytest.fixture(scope="module")
def pretend(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_page(factories.make_results_folder(tmp_path_factory.mktemp("results") / "pretend"))


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results") / "long"
    outcomes = {("wide", 1): Outcome.DIVERGED}
    return write_page(
        factories.make_results_folder(folder, text=LONG, outcomes=outcomes, missing=frozenset({("base", 2)}))
    )


@pytest.mark.parametrize("which", ["pretend", "long"])
def test_the_page_fetches_nothing_and_is_small(which: str, request: pytest.FixtureRequest) -> None:
    path: Path = request.getfixturevalue(which)
    text = path.read_text(encoding="utf-8")
    assert Document(text).sources == []
    assert not re.search(r"@import|url\((?!#)|fetch\(|XMLHttpRequest", text)
    assert path.stat().st_size < 500_000


@pytest.mark.parametrize("which", ["pretend", "long"])
def test_every_element_is_closed_and_every_id_stands_once(which: str, request: pytest.FixtureRequest) -> None:
    document = Document(request.getfixturevalue(which).read_text(encoding="utf-8"))
    assert document.open == []
    assert [name for name, count in Counter(document.ids).items() if count > 1] == []


@pytest.mark.parametrize("which", ["pretend", "long"])
def test_every_link_leads_somewhere(which: str, request: pytest.FixtureRequest) -> None:
    path: Path = request.getfixturevalue(which)
    document = Document(path.read_text(encoding="utf-8"))
    assert document.links
    for link in document.links:
        assert link[1:] in document.ids if link.startswith("#") else (path.parent / link).is_file(), link


@pytest.mark.parametrize("which", ["pretend", "long"])
def test_every_column_has_a_heading(which: str, request: pytest.FixtureRequest) -> None:
    headings = re.findall(r"<th\b[^>]*>(.*?)</th>", request.getfixturevalue(which).read_text(encoding="utf-8"))
    assert headings
    assert all(headings)


def test_every_run_stands_in_the_page_with_its_record(pretend: Path) -> None:
    links = set(Document(pretend.read_text(encoding="utf-8")).links)
    report = summary.load_report(pretend.parent)
    assert {f"records/{key}.json" for key in report.frame["key"]} <= links


def test_question_answer_and_claims_come_first_and_the_command_that_runs_it_again_last(pretend: Path) -> None:
    text = pretend.read_text(encoding="utf-8")
    order = [
        "<h1>",
        'class="answer"',
        'class="training"',
        'id="claims"',
        ">Variants<",
        ">Figures<",
        ">Details<",
        ">Provenance<",
        ">How to run this again<",
    ]
    positions = [text.index(part) for part in order]
    assert positions == sorted(positions)
    assert "python -m vgg_ablate run results/pretend/study.yaml" in text[positions[-1] :]


def test_the_command_is_one_that_can_be_typed(tmp_path: Path) -> None:
    command = ["__main__.py", "run", "studies/pretend.yaml", "seeds=5"]
    folder = factories.make_results_folder(tmp_path / "pretend", provenance={"command": command})
    provenance = dict(markdown.list_provenance(summary.load_report(folder)))
    assert provenance["command"] == "python -m vgg_ablate run studies/pretend.yaml seeds=5"
    elsewhere = summary.load_report(
        factories.make_results_folder(tmp_path / "pretend", provenance={"folder": "/tmp/my runs"})
    )
    assert markdown.format_rerun_command(elsewhere) == (
        "python -m vgg_ablate run '/tmp/my runs/study.yaml' --out '/tmp/my runs'"
    )
    assert "folder" not in dict(markdown.list_provenance(elsewhere))
    assert "verify /tmp/my runs" in render_methods(elsewhere)


def test_report_md_shows_every_figure_of_its_folder(pretend: Path) -> None:
    shown = re.findall(r"!\[[^]]+\]\(([^)]+)\)", (pretend.parent / "report.md").read_text(encoding="utf-8"))
    assert sorted(shown) == sorted(f"figures/{path.name}" for path in (pretend.parent / "figures").iterdir())


def test_markup_in_a_study_file_is_shown_as_text(long: Path) -> None:
    text = long.read_text(encoding="utf-8")
    assert "&lt;b&gt;twice&lt;/b&gt;" in text
    assert "<b>twice</b>" not in text


def test_runs_that_diverged_or_are_missing_are_listed(long: Path) -> None:
    text = long.read_text(encoding="utf-8")
    assert "wide: diverged 1/4 (seed 1)" in text
    assert "base: missing 1/4 (seed 2)" in text


def test_a_page_of_very_many_runs_lists_the_first_and_links_to_runs_csv(pretend: Path) -> None:
    text = runs.render_runs(summary.load_report(pretend.parent), most=12)
    assert text.count("<details") == 2
    assert '5 more runs are listed in <a href="runs.csv">' in text


def test_the_installed_package_has_every_file_of_the_page() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = settings["tool"]["setuptools"]["package-data"]["vgg_ablate"]
    package = ROOT / "vgg_ablate"
    included = {path for pattern in patterns for path in package.glob(pattern)}
    files = {path for path in (package / "report/html").rglob("*.*") if path.suffix in (".html", ".css", ".js")}
    assert files
    assert files <= included


def test_a_page_of_thousands_of_runs_is_small(tmp_path: Path) -> None:
    text = factories.STUDY.replace("seeds: 5", "seeds: 150").replace("epochs: 2", "epochs: 100")
    path = write_page(factories.make_results_folder(tmp_path / "many", text=text))
    assert path.stat().st_size < 500_000


NO_FAULTS: dict[str, list[Any]] = {"overlaps": [], "overflows": []}


def find_faults(browser: Browser, page: Path, width: int) -> dict[str, list[Any]]:
    browser.open_page(page, width=width)
    faults: dict[str, list[Any]] = browser.run_script(FIND_FAULTS_SCRIPT)
    return faults


@pytest.mark.parametrize("width", [1280, 850, 400])  # at 850 px the columns of the claims are narrowest
@pytest.mark.parametrize("which", ["pretend", "long"])
def test_in_a_browser_no_text_overlaps_or_overflows(
    which: str, width: int, request: pytest.FixtureRequest, browser: Browser
) -> None:
    assert find_faults(browser, request.getfixturevalue(which), width) == NO_FAULTS


@pytest.mark.parametrize("kind", design_factories.DESIGNS)
def test_in_a_browser_the_page_of_every_design_has_no_text_that_overlaps_or_overflows(
    kind: str, tmp_path: Path, browser: Browser
) -> None:
    page = write_page(design_factories.make_design_folder(tmp_path / kind, kind))
    for width in (1280, 400):
        assert find_faults(browser, page, width) == NO_FAULTS


def test_the_browser_sees_text_that_overlaps_or_overflows(tmp_path: Path, browser: Browser) -> None:
    page = tmp_path / "bad.html"
    page.write_text(
        "<!doctype html><body><main><p style='margin: 0'>one</p><p style='margin: -12px 0 0'>two</p>"
        "<p style='width: 2000px'>wide</p></main></body>",
        encoding="utf-8",
    )
    faults = find_faults(browser, page, 400)
    assert faults["overlaps"] == [["one", "two"]]
    assert any("too wide" in fault for fault in faults["overflows"])


def test_a_heading_sorts_its_table_both_ways(pretend: Path, browser: Browser) -> None:
    browser.open_page(pretend, width=1280)
    written, up, down = browser.run_script(SORT_SCRIPT)
    assert up == sorted(written, key=float)
    assert down == up[::-1]
