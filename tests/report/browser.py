"""Headless Chromium: runs scripts in pages that are laid out at given widths."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--virtual-time-budget=2000",
)


def find_chromium() -> str:
    """Return the path of Chromium, or skip the test if it is not installed."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no chromium on this machine (Debian: apt-get install chromium)")
    return program


def run_script(page: Path, script: str, *, widths: tuple[int, ...]) -> list[Any]:
    """Run `script`, the body of a function, in a page at each width in CSS pixels, and return what it returns."""
    return run_script_on_pages([page], script, widths=widths)


def run_script_on_pages(pages: Sequence[Path], script: str, *, widths: tuple[int, ...]) -> list[Any]:
    """Run `script` in many pages in one browser: at all widths in the first page, then in the next."""
    frame_page = pages[0].with_name("frame_page.html")
    frames: list[tuple[int, str]] = []
    for page in pages:
        content = page.read_text(encoding="utf-8").replace(
            "</body>", f"<script>{_REPORT_RESULT % script}</script></body>"
        )
        with_script = page.with_name("with-script.html")
        with_script.write_text(content, encoding="utf-8")
        frames += [
            (width, f"{with_script.as_uri()}#frame-{len(frames) + offset}") for offset, width in enumerate(widths)
        ]
    frame_page.write_text(_OUTER_PAGE % "".join(_FRAME % frame for frame in frames), encoding="utf-8")
    dom = _run(find_chromium(), frame_page, "--dump-dom")
    answers = re.findall(r"<pre>(.*?)</pre>", dom, re.DOTALL)
    assert len(answers) == len(frames), f"expected {len(frames)} answers, got {len(answers)}: {dom[:500]}"
    results = dict(json.loads(html.unescape(answer)) for answer in answers)
    return [results[f"#frame-{number}"] for number in range(len(frames))]


def _run(program: str, page: Path, *arguments: str) -> str:
    with tempfile.TemporaryDirectory() as profile:
        command = [program, *_FLAGS, f"--user-data-dir={profile}", "--window-size=1400,2000", *arguments, page.as_uri()]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout


# A window has a minimum width and a frame has none. The page in a frame posts its result to the page around it.
_OUTER_PAGE = """<!doctype html><meta charset="utf-8">
<script>
addEventListener("message", (event) => {
  const result = document.createElement("pre");
  result.textContent = event.data;
  document.body.append(result);
});
</script>
<body>%s</body>
"""
_FRAME = '<iframe style="width: %dpx; height: 1900px; border: 0" src="%s"></iframe>'
_REPORT_RESULT = """
addEventListener("load", () => {
  const answer = (() => { %s })();
  parent.postMessage(JSON.stringify([location.hash, answer]), "*");
});
"""

# Every piece of text that is laid out, as [text, left, top, right, bottom]; folded parts are unfolded first.
LAYOUT_SCRIPT = """
for (const folded of document.querySelectorAll("details")) folded.open = true;
const pieces = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
for (let node = walker.nextNode(); node; node = walker.nextNode()) {
  if (!node.data.trim() || node.parentElement.closest("script, style")) continue;
  const range = document.createRange();
  range.selectNodeContents(node);
  for (const box of range.getClientRects())
    if (box.width > 0.5) pieces.push([node.data.trim(), box.left, box.top, box.right, box.bottom]);
}
"""
FIND_FAULTS_SCRIPT = (
    LAYOUT_SCRIPT
    + """
pieces.sort((a, b) => a[2] - b[2]);
const overlaps = [];
pieces.forEach((a, index) => {
  for (let other = index + 1; other < pieces.length && pieces[other][2] < a[4] - 2; other++) {
    const b = pieces[other];
    const wide = Math.min(a[3], b[3]) - Math.max(a[1], b[1]);
    const high = Math.min(a[4], b[4]) - Math.max(a[2], b[2]);
    if (wide > 1 && high > 0.3 * Math.min(a[4] - a[2], b[4] - b[2])) overlaps.push([a[0], b[0]]);
  }
});
const beyond = document.documentElement.scrollWidth - document.documentElement.clientWidth;
const overflows = beyond > 0 ? [`the page is ${beyond} px too wide`] : [];
for (const element of document.querySelectorAll("main *")) {
  if (element.closest("svg") || (element.closest(".wide") && !element.matches("tfoot p"))) continue;
  const box = element.getBoundingClientRect();
  if (box.right > innerWidth + 0.5 || box.left < -0.5) overflows.push(element.outerHTML.slice(0, 100));
  const room = element.scrollWidth - element.clientWidth;
  if (element.clientWidth && room > 1) overflows.push(`${room} px over: ${element.outerHTML.slice(0, 100)}`);
}
for (const svg of document.querySelectorAll("figure svg")) {
  const outer = svg.getBoundingClientRect();
  for (const text of svg.querySelectorAll("text")) {
    const box = text.getBoundingClientRect();
    const sides = [outer.left - box.left, box.right - outer.right, outer.top - box.top, box.bottom - outer.bottom];
    const out = Math.max(...sides);
    if (out > 1) overflows.push(`${text.textContent} is ${out} px outside of its figure`);
  }
}
return { overlaps, overflows };
"""
)
SORT_SCRIPT = """
const table = document.getElementById("comparison");
const column = [...table.tHead.rows[0].cells].findIndex((cell) => cell.textContent.startsWith("test error"));
const shown = () => [...table.tBodies[0].rows].map((row) => row.cells[column].dataset.value);
const written = shown();
const button = table.tHead.rows[0].cells[column].querySelector("button");
button.click();
const up = shown();
button.click();
return [written, up, shown()];
"""
