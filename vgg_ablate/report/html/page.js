// On a narrow screen the comparison, and the tables of the scoreboard, show one block per row, in which every cell
// carries the heading of its column.
for (const table of document.querySelectorAll("#comparison, .tables #claims, #paper")) {
  const headings = [...table.tHead.rows[0].cells].map((heading) => heading.textContent);
  for (const row of table.querySelectorAll("tbody tr:not(.block)"))
    [...row.cells].forEach((cell, column) => (cell.dataset.label = headings[column]));
  table.classList.add("stacked");
}
// Tables can be sorted by their headings. Without scripts they stand in the order in which they were written.
for (const table of document.querySelectorAll("main table")) {
  const body = table.tBodies[0];
  if (body.rows.length < 3 || body.querySelector(".block") || table.id === "claims") continue;
  [...table.tHead.rows[0].cells].forEach((heading, column) => {
    const button = document.createElement("button");
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const way = heading.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      const value = (row) => row.cells[column].dataset.value;
      const order = (a, b) => {
        const [x, y] = [value(a), value(b)];
        if (x === "" || y === "") return (x === "") - (y === "");  // what is not known comes last
        const both = x - y;
        return way * (Number.isNaN(both) ? x.localeCompare(y) : both);
      };
      body.append(...[...body.rows].sort(order));
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      heading.setAttribute("aria-sort", way > 0 ? "ascending" : "descending");
    });
  });
}
// A link to a folded part opens it, and all parts around it.
const unfold = () => {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  for (let part = target && target.closest("details"); part; part = part.parentElement.closest("details")) part.open = true;
  if (target) target.scrollIntoView();
};
addEventListener("hashchange", unfold);
unfold();
// On paper nothing can be unfolded: everything is open but the list of runs, which is long and stands in runs.csv.
const unfolded = [];
addEventListener("beforeprint", () => {
  for (const part of document.querySelectorAll(".details > details:not([open])"))
    if (!part.querySelector(".records")) unfolded.push(part);
  for (const part of unfolded) part.open = true;
});
addEventListener("afterprint", () => {
  for (const part of unfolded.splice(0)) part.open = false;
});
