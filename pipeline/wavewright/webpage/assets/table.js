// Tables of class "sortable": heads become buttons that sort, and the filters above hide rows.
// Without this script the whole table is there, in its first order.
(() => {
  for (const table of document.querySelectorAll("table.sortable")) {
    const body = table.tBodies[0];
    const heads = [...table.tHead.rows[0].cells];
    const rows = [...body.rows];
    const status = document.getElementById(`${table.id}-status`);
    const filters = document.getElementById(`${table.id}-filters`);

    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      button.addEventListener("click", () => sort(head, column));
      head.append(button);
    });

    // Numbers by size, words by the alphabet; cells without a number come last either way.
    function keyOf(row, column) {
      const text = row.cells[column].textContent.replace("\u2212", "-");
      const number = parseFloat(text);
      return heads[column].classList.contains("number") ? number : text;
    }

    function sort(head, column) {
      const up = head.getAttribute("aria-sort") === "ascending";
      const direction = up ? -1 : 1;
      const keyed = rows.map((row) => [keyOf(row, column), row]);
      keyed.sort(([a], [b]) => {
        if (typeof a === "string") {
          return direction * a.localeCompare(b, undefined, { numeric: true });
        }
        return Number.isNaN(a) - Number.isNaN(b) || direction * (a - b) || 0;
      });
      for (const other of heads) {
        other.removeAttribute("aria-sort");
      }
      head.setAttribute("aria-sort", up ? "descending" : "ascending");
      rows.splice(0, rows.length, ...keyed.map(([, row]) => row));
      body.append(...rows);
      say(`sorted by ${head.textContent.trim()}, ${up ? "descending" : "ascending"}`);
    }

    function filter() {
      const [words, ...choices] = filters.querySelectorAll("input, select");
      const wanted = words.value.trim().toLowerCase();
      for (const row of rows) {
        const name = row.cells[0];
        const said = `${name.textContent} ${name.title}`.toLowerCase();
        row.hidden = !said.includes(wanted)
          || choices.some((choice) => choice.value && row.dataset[choice.name] !== choice.value);
      }
      hideEmpty();
      say("");
    }

    // Columns without a value in any row that is left, such as a metric of other conditions.
    function hideEmpty() {
      const left = rows.filter((row) => !row.hidden);
      heads.forEach((head, column) => {
        const empty = left.length > 0 && left.every((row) => !row.cells[column].textContent);
        if (head.hidden !== empty) {
          for (const row of [table.tHead.rows[0], ...rows]) {
            row.cells[column].hidden = empty;
          }
        }
      });
    }

    function say(what) {
      const shown = rows.filter((row) => !row.hidden).length;
      status.textContent = [`${shown} of ${rows.length} rows`, what].filter(Boolean).join(", ");
    }

    filters.addEventListener("input", filter);
    say("");
  }
})();
