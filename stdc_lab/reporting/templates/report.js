// Sorts a table by the column whose heading is pressed; cells without a value stay last.
for (const table of document.querySelectorAll("table.sortable")) {
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => {
    heading.querySelector("button").addEventListener("click", () => {
      const descending = heading.getAttribute("aria-sort") === "ascending";
      for (const other of headings) other.removeAttribute("aria-sort");
      heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
      const body = table.tBodies[0];
      const keyed = [...body.rows].map((row) => [row.cells[column].dataset.key, row]);
      const numeric = keyed.every(([key]) => key === undefined || !Number.isNaN(Number(key)));
      keyed.sort(([a], [b]) => {
        if (a === undefined || b === undefined) return (a === undefined) - (b === undefined);
        const order = numeric ? a - b : a.localeCompare(b);
        return descending ? -order : order;
      });
      body.append(...keyed.map(([, row]) => row));
    });
  });
}
