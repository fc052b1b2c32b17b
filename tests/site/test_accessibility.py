"""Pages for keyboards and screen readers: axe-core finds nothing in any kind of page, at any width, in any colors."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Literal

import pytest

import vgg_ablate
from tests.browser import Browser
from tests.external.factories import make_claims, make_runs
from tests.report.page_scripts import FIND_FAULTS_SCRIPT
from tests.runs.deciding import write_plan
from tests.runs.harness import run_undisturbed
from vgg_ablate.site.serve import start_server

# What is folded is hidden from axe-core, and on a gradient it does not compute the contrast of a text.
FIND_VIOLATIONS = """
document.head.append(Object.assign(document.createElement("style"), { textContent: ".wide { background: none; }" }));
for (const folded of document.querySelectorAll("details")) folded.open = true;
const { violations } = await axe.run(document, { resultTypes: ["violations"] });
return violations.flatMap((rule) => rule.nodes.map((node) => `${rule.impact} ${rule.id}: ${node.html.slice(0, 200)}`));
"""
VIEWS: tuple[tuple[int, Literal["light", "dark"]], ...] = ((1280, "light"), (400, "dark"))


def find_violations(browser: Browser, page: Path | str, wait: str = "") -> list[str]:
    """Return what axe-core finds in a page, wide in light colors and narrow in dark ones, after the script `wait`."""
    axe = resources.files("axe_core_python").joinpath("axe.min.js").read_text(encoding="utf-8")
    violations: list[str] = []
    for width, colors in VIEWS:
        browser.open_page(page, width=width, colors=colors)
        browser.run_script(wait)
        browser.run_script(axe)
        violations += [f"{width} px, {colors}: {violation}" for violation in browser.run_script(FIND_VIOLATIONS)]
    return violations


@pytest.mark.parametrize("name", ["index.html", "paper.html", "list-digits/index.html", "factorial-digits/index.html"])
def test_the_pages_of_the_site_are_accessible(name: str, site: Path, browser: Browser) -> None:
    assert find_violations(browser, site / name) == []


def test_the_page_of_judged_runs_is_accessible(tmp_path: Path, browser: Browser) -> None:
    vgg_ablate.judge(make_runs(), make_claims()).write(tmp_path)
    assert find_violations(browser, tmp_path / "report.html") == []


@contextmanager
def serve_running_study(folder: Path) -> Iterator[str]:
    """Serve a study with looks whose log ends during a run; yield the address of its live page."""
    results = folder / "results" / "asked"
    run_undisturbed(write_plan(folder), results)
    lines = (results / "events.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    starts = [number for number, line in enumerate(lines) if '"started"' in line]
    (results / "events.jsonl").write_text("".join(lines[: starts[-1] + 2]), encoding="utf-8")
    with start_server(results.parent, folder / "site", 0) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/live/asked"
        server.shutdown()
        thread.join()


WAIT_FOR_RUNS = """
const find = (selector) => document.querySelector(selector);
while (!find("#running tr") || !find("#claims tr") || !find("#ended li") || !find("#curves polyline"))
  await new Promise((resolve) => setTimeout(resolve, 20));
"""


def test_the_live_page_is_accessible_and_nothing_in_it_is_cut(tmp_path: Path, browser: Browser) -> None:
    with serve_running_study(tmp_path) as url:
        assert find_violations(browser, url, WAIT_FOR_RUNS) == []
        assert browser.run_script(FIND_FAULTS_SCRIPT) == {"overlaps": [], "overflows": []}
        browser.open_page("about:blank", width=400)  # closes the stream


FIND_CONTROLS = """
window.controls = [...document.querySelectorAll("a[href], button, summary, input, select, [tabindex='0']")]
  .filter((control) => control.checkVisibility());
return controls.length;
"""
DESCRIBE_FOCUS = """
const focused = document.activeElement;
return [controls.indexOf(focused), getComputedStyle(focused).outlineStyle !== "none"];
"""


@pytest.mark.parametrize("name", ["index.html", "list-digits/index.html"])
def test_the_tab_key_reaches_every_control_in_order_and_shows_where_it_is(
    name: str, site: Path, browser: Browser
) -> None:
    browser.open_page(site / name, width=1280)
    count = browser.run_script(FIND_CONTROLS)
    assert count > 3
    for index in range(count):
        browser.press_key("Tab")
        assert browser.run_script(DESCRIBE_FOCUS) == [index, True]


def test_the_enter_key_sorts_and_unfolds(site: Path, browser: Browser) -> None:
    browser.open_page(site / "list-digits/index.html", width=1280)
    browser.run_script("document.querySelector('#comparison th button').focus();")
    browser.press_key("Enter", "\r")
    assert browser.run_script("return document.querySelector('#comparison th').ariaSort;") == "ascending"
    browser.run_script("document.querySelector('summary').focus();")
    browser.press_key("Enter", "\r")
    assert browser.run_script("return document.querySelector('details').open;")


def test_a_page_that_is_not_accessible_is_found(tmp_path: Path, browser: Browser) -> None:
    page = tmp_path / "bad.html"
    page.write_text(
        '<!doctype html><html lang="en"><title>bad</title><main><h1>bad</h1><img src="x.png"></main></html>'
    )
    assert any("image-alt" in violation for violation in find_violations(browser, page))
