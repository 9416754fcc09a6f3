"""What a report's pages do where scripts run: cards by group and in another order, tables sorted by their columns.

Without it the pages are complete: the controls are hidden until it shows them. It makes no HTML of any text.
"""

from __future__ import annotations

SCRIPT = """"use strict";
document.querySelectorAll(".controls").forEach((controls) => {
  const list = document.querySelector(".cards");
  const cards = Array.from(list.children);
  const [group, order] = ["group", "order"].map((name) => controls.querySelector("#" + name));
  const apply = () => {
    const [key, sign] = order.value.split(" ");
    cards.sort((a, b) => sign * (a.dataset[key] - b.dataset[key]) || a.dataset.rank - b.dataset.rank);
    cards.forEach((card) => {
      card.hidden = Boolean(group && group.value) && !card.dataset.groups.split(" ").includes(group.value);
      list.append(card);
    });
    const seen = cards.filter((card) => !card.hidden).length;
    controls.querySelector("output").textContent = seen + " of " + cards.length + " cards";
  };
  controls.addEventListener("change", apply);
  controls.hidden = false;
  apply();
});
document.querySelectorAll("table.sortable").forEach((table) => {
  const body = table.tBodies[table.tBodies.length - 1];
  const heads = Array.from(table.tHead.rows[0].cells);
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const falling = head.getAttribute("aria-sort") !== "descending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", falling ? "descending" : "ascending");
      const value = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent;
      const compare = (a, b) => (a === "") - (b === "") || (isNaN(a) || isNaN(b) ? a.localeCompare(b) : a - b);
      const rows = Array.from(body.rows).map((row) => [value(row), row]);
      rows.sort(([a], [b]) => (a === "" || b === "" ? compare(a, b) : compare(a, b) * (falling ? -1 : 1)));
      body.append(...rows.map((row) => row[1]));
    });
  });
});
"""
