"""A real browser, without a head: what a page says after it has been laid out, and pictures of it."""

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
    """Where chromium is; the test is skipped where it is not."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no chromium on this machine (Debian: apt-get install chromium)")
    return program


def run_script(page: Path, script: str, *, widths: tuple[int, ...]) -> list[Any]:
    """What `script`, the body of a function, returns inside the page, in a frame of each width (CSS pixels)."""
    return run_script_on_pages([page], script, widths=widths)


def run_script_on_pages(pages: Sequence[Path], script: str, *, widths: tuple[int, ...]) -> list[Any]:
    """The same of many pages in one browser: all widths of the first page, then of the next."""
    framed = pages[0].with_name("framed.html")
    frames: list[tuple[int, str]] = []
    for page in pages:
        inside = page.read_text(encoding="utf-8").replace("</body>", f"<script>{_SAID % script}</script></body>")
        with_script = page.with_name("with-script.html")
        with_script.write_text(inside, encoding="utf-8")
        frames += [(width, f"{with_script.as_uri()}#frame-{len(frames) + at}") for at, width in enumerate(widths)]
    framed.write_text(_AROUND % "".join(_FRAME % frame for frame in frames), encoding="utf-8")
    dumped = _run(find_chromium(), framed, "--dump-dom")
    answers = re.findall(r"<pre>(.*?)</pre>", dumped, re.DOTALL)
    assert len(answers) == len(frames), f"the pages said {len(answers)} things: {dumped[:500]}"
    told = dict(json.loads(html.unescape(answer)) for answer in answers)
    return [told[f"#frame-{number}"] for number in range(len(frames))]


def _run(program: str, page: Path, *arguments: str) -> str:
    with tempfile.TemporaryDirectory() as profile:
        command = [program, *_FLAGS, f"--user-data-dir={profile}", "--window-size=1400,2000", *arguments, page.as_uri()]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout


# A window has a least width; a frame has not. The page in it tells the page around it.
_AROUND = """<!doctype html><meta charset="utf-8">
<script>
addEventListener("message", (event) => {
  const said = document.createElement("pre");
  said.textContent = event.data;
  document.body.append(said);
});
</script>
<body>%s</body>
"""
_FRAME = '<iframe style="width: %dpx; height: 1900px; border: 0" src="%s"></iframe>'
_SAID = """
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
