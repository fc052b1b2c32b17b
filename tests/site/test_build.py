"""The site: every study has a page, every link leads to a file, nothing is loaded from elsewhere, filters work."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.browser import Browser
from tests.site.conftest import STUDIES
from vgg_ablate.cli import app
from vgg_ablate.errors import SpecError
from vgg_ablate.site.build import build_site


def test_every_study_has_a_page_and_every_link_leads_to_a_file(site: Path) -> None:
    pages = [site / "index.html", site / "paper.html", *(site / name / "index.html" for name in STUDIES)]
    for page in pages:
        for target in re.findall(r'(?:href|src)="([^"#]+)', page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page}: {target}"
    index = pages[0].read_text(encoding="utf-8")
    assert "<h1>vgg_ablate: studies</h1>\n<p>Ablation studies and " in index
    assert all(f'href="{name}/index.html"' in index for name in STUDIES)


def test_nothing_is_loaded_from_elsewhere_and_texts_are_no_markup(site: Path) -> None:
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert not re.search(r'(?:href|src)="(?:https?:)?//', text)
        assert "<b>it</b>" not in text


def test_the_index_says_how_far_each_study_is(results: Path, tmp_path: Path) -> None:
    copy = tmp_path / "results"
    shutil.copytree(results, copy)
    for record in (copy / "list-digits" / "records").glob("*.json"):
        record.unlink()
    next((copy / "factorial-digits" / "records").glob("*.json")).unlink()
    (copy / "torn").mkdir()
    (copy / "torn" / "manifest.json").write_text("{", encoding="utf-8")
    states = {entry.folder: entry.state for entry in build_site(copy, tmp_path / "site")}
    assert states == {"list-digits": "not run yet", "factorial-digits": "unfinished", "torn": "damaged"}


def test_the_filters_hide_what_does_not_fit(site: Path, browser: Browser) -> None:
    script = """
    const count = () => [...document.querySelectorAll(".studies li")].filter((item) => !item.hidden).length;
    const set = (selector, value) => {
      document.querySelector(selector).value = value;
      document.querySelector("form").dispatchEvent(new Event("input"));
      return count();
    };
    return [count(), set("#search", "factorial"), set("#search", "nothing fits"), set("#search", ""),
            set("#state", "finished"), document.documentElement.scrollWidth <= innerWidth];
    """
    for width in (1280, 400):
        browser.open_page(site / "index.html", width=width)
        assert browser.run_script(script) == [2, 1, 0, 2, 2, True]


def test_the_command_names_the_index_and_refuses_folders_without_results(results: Path, tmp_path: Path) -> None:
    out = tmp_path / "site"
    done = CliRunner().invoke(app, ["site", str(results), "--out", str(out)], catch_exceptions=False)
    assert done.stdout == f"{out}/index.html: 2 studies\n"
    with pytest.raises(SpecError, match="no results folder in here"):
        build_site(out / "list-digits" / "figures", tmp_path / "other")
    for folder in (results, results / "list-digits"):
        with pytest.raises(SpecError, match="name another folder"):
            build_site(results, folder)


def test_on_a_narrow_screen_the_scoreboard_is_no_wider_than_the_page(site: Path, browser: Browser) -> None:
    script = "return [...document.querySelectorAll('.tables .wide')].map((box) => box.scrollWidth - box.clientWidth);"
    browser.open_page(site / "paper.html", width=400)
    assert set(browser.run_script(script)) == {0}
