// Sorting and filtering of the tables of results, charts, and the copy button. All of it is extra: the page reads
// without. DataTables and Vega-Embed are in the scripts before this one.

const one = (selector, root = document) => root.querySelector(selector);
const all = (selector, root = document) => [...root.querySelectorAll(selector)];

// Numbers by value; what has none comes last, whichever way is sorted.
const byNumber = (direction) => (first, second) => {
  if (first === "" || second === "") return (first === "") - (second === "");
  return direction * (Number(first) - Number(second));
};
DataTable.type("measured", { order: { asc: byNumber(1), desc: byNumber(-1) } });

const tables = all("table.results").map((element) => {
  const columns = all("thead th", element).map((heading, index) => ({
    type: index ? "measured" : "string",
    orderSequence: heading.dataset.better === "1" ? ["desc", "asc", ""] : ["asc", "desc", ""],
  }));
  return new DataTable(element, {
    autoWidth: false,
    columns,
    info: false,
    language: { zeroRecords: "No method fits the filter." },
    layout: { topStart: null, topEnd: null, bottomStart: null, bottomEnd: null },
    order: [],
    paging: false,
  });
});

const filter = one("form.filter");

function applyFilter() {
  const role = filter.elements.role.value;
  const pair = filter.elements.pair ? filter.elements.pair.value : "";
  for (const section of all("section.pair")) section.hidden = Boolean(pair) && section.dataset.pair !== pair;
  for (const table of tables) {
    table.column(0).search(filter.elements.text.value, { regex: false, smart: false });
    table.search.fixed("role", (_text, _data, index) => !role || table.row(index).node().dataset.role === role);
    table.draw();
  }
  const shown = new Set(all("section.pair:not([hidden]) tbody tr[data-role] .name").map((name) => name.textContent));
  one("output", filter).textContent = `${shown.size} ${shown.size === 1 ? "method" : "methods"} shown`;
}

filter.hidden = false;
filter.addEventListener("input", applyFilter);
filter.addEventListener("submit", (event) => event.preventDefault());

const dark = matchMedia("(prefers-color-scheme: dark)");
const themes = JSON.parse(one("#themes").textContent);

for (const figure of all("figure[data-picture]")) {
  const specs = JSON.parse(one("script", figure).textContent);
  const selects = all("select", figure);
  const place = one(".chart", figure);
  let drawn = null;
  const draw = async () => {
    const spec = specs[selects.map((select) => select.value).join("-")];
    drawn?.finalize();
    drawn = null;
    if (!spec) {
      place.textContent = "No numbers for this choice.";
      return;
    }
    drawn = await vegaEmbed(place, spec, {
      actions: false,
      ast: true, // expressions are interpreted: the page's policy forbids code made of text
      config: themes[dark.matches ? "dark" : "light"],
      mode: "vega-lite",
      renderer: "svg",
      tooltip: { theme: dark.matches ? "dark" : "light" },
    });
  };
  one(".filter", figure).hidden = !selects.some((select) => select.length > 1);
  for (const select of selects) select.addEventListener("change", draw);
  dark.addEventListener("change", draw);
  draw();
}

for (const button of all("button[data-copies]")) {
  const source = document.getElementById(button.dataset.copies);
  const answer = one("output", button.parentElement);
  button.hidden = false;
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(source.textContent);
      answer.textContent = "Copied.";
    } catch {
      getSelection().selectAllChildren(source);
      answer.textContent = "Selected: copy with the keyboard.";
    }
  });
}
