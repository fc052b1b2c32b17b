"""Pages printed to PDF: nothing is wider than the paper, and what is folded is open or said to be left out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.browser import Browser

A4_INCHES = {"paperWidth": 210 / 25.4, "paperHeight": 297 / 25.4}
A4_WIDTH = 703  # CSS pixels between the margins of page.css
LIST_CUT = """
const wide = [...document.querySelectorAll("main *")].filter((element) => !element.closest("svg *"));
return wide.filter((element) => element.getBoundingClientRect().right > innerWidth + 0.5)
  .map((element) => element.outerHTML.slice(0, 100));
"""
# The listener comes after that of the page, so that it sees what the page has unfolded.
WATCH_PRINTING = """
window.left = [];
addEventListener("beforeprint", () => {
  for (const summary of document.querySelectorAll("details:not([open]) > summary"))
    if (summary.checkVisibility())
      window.left.push([summary.textContent, getComputedStyle(summary, "::after").content]);
});
"""
LIST_LEFT_OUT = "return [window.left, document.querySelectorAll('details[open]').length];"


@pytest.mark.parametrize("name", ["index.html", "paper.html", "list-digits/index.html", "factorial-digits/index.html"])
def test_nothing_in_print_is_wider_than_the_paper(name: str, site: Path, browser: Browser) -> None:
    browser.open_page(site / name, width=A4_WIDTH, media="print")
    browser.run_script("for (const folded of document.querySelectorAll('details')) folded.open = true;")
    assert browser.run_script(LIST_CUT) == []


@pytest.mark.parametrize(
    ("name", "left_out"), [("index.html", []), ("list-digits/index.html", ["Runs and their records"])]
)
def test_print_is_paged_and_names_what_it_leaves_out(
    name: str, left_out: list[str], site: Path, browser: Browser
) -> None:
    browser.open_page(site / name, width=A4_WIDTH, media="print")
    browser.run_script(WATCH_PRINTING)
    pdf = browser.print_page(**A4_INCHES)
    boxes = re.findall(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", pdf)
    assert len(boxes) == len(re.findall(rb"/Type /Page\b", pdf)) > len(left_out)
    assert {(round(float(width)), round(float(height))) for width, height in boxes} == {(596, 842)}
    assert browser.run_script(LIST_LEFT_OUT) == [[[part, '" (folded, not printed)"'] for part in left_out], 0]
