"""Scripts that tests run in a page: faults of its layout, and the order of a sorted table."""

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
// A word of a verdict stands in one line.
for (const verdict of document.querySelectorAll(".word")) {
  const texts = document.createTreeWalker(verdict, NodeFilter.SHOW_TEXT);
  for (let node = texts.nextNode(); node; node = texts.nextNode())
    for (const word of node.data.matchAll(/\\S+/g)) {
      const range = document.createRange();
      range.setStart(node, word.index);
      range.setEnd(node, word.index + word[0].length);
      if (range.getClientRects().length > 1) overflows.push(`${word[0]} is broken`);
    }
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
