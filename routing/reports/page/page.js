"use strict";
(() => {
  const root = document.documentElement;
  const theme = document.getElementById("theme");
  if (theme) {
    const dark = matchMedia("(prefers-color-scheme: dark)");
    theme.hidden = false;
    theme.addEventListener("click", () => {
      const now = root.dataset.theme || (dark.matches ? "dark" : "light");
      root.dataset.theme = now === "dark" ? "light" : "dark";
    });
  }
  const value = (cell) => {
    const told = cell.dataset.v;
    return told === undefined ? cell.textContent.trim().toLowerCase() : told === "" ? null : Number(told);
  };
  for (const table of document.querySelectorAll("table.sort")) {
    table.querySelectorAll("thead th").forEach((head, at) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "descending" ? 1 : -1;
        table.querySelectorAll("thead th").forEach((each) => each.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", down === 1 ? "ascending" : "descending");
        const rows = [...table.tBodies[0].rows];
        rows.sort((a, b) => {
          const x = value(a.cells[at]), y = value(b.cells[at]);
          if (x === null || y === null) return (x === null) - (y === null);
          return (x < y ? -1 : x > y ? 1 : 0) * down;
        });
        table.tBodies[0].append(...rows);
      });
    });
  }
  const box = document.getElementById("find");
  if (box) {
    const rows = [...document.querySelectorAll(".log > details")].map((row) => [row, row.textContent.toLowerCase()]);
    const said = document.getElementById("found");
    document.getElementById("finder").hidden = false;
    box.addEventListener("input", () => {
      const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const [row, text] of rows) {
        row.hidden = !words.every((word) => text.includes(word));
        shown += !row.hidden;
      }
      said.textContent = shown + " of " + rows.length;
    });
  }
  addEventListener("beforeprint", () => {
    if (!box) document.querySelectorAll("details").forEach((each) => { each.open = true; });
  });
})();
