"use strict";
// Tables that can be sorted and filtered, and samples that can be ordered; `all` and `one` look elements up.
function showTables(all, one) {
  // --- tables -----------------------------------------------------------------------------------------------------
  const words = (input) => input.value.toLowerCase().split(/\s+/).filter(Boolean);
  const has = (text, wanted) => wanted.every((word) => text.includes(word));

  function sortKey(cell) {
    if (cell.dataset.v !== undefined) return [0, Number(cell.dataset.v)];
    const text = cell.textContent.trim();
    return text === "" || text === "-" ? [2, ""] : [1, text.toLowerCase()];
  }
  // What is missing stays last in both directions; numbers come before texts.
  function compared(a, b, sign) {
    if (a[0] !== b[0]) return a[0] === 2 || b[0] === 2 ? a[0] - b[0] : sign * (a[0] - b[0]);
    return a[1] < b[1] ? -sign : a[1] > b[1] ? sign : 0;
  }
  function sortable(box) {
    const body = one("tbody", box);
    const rows = [...body.rows];
    all("th button", box).forEach((head) => head.addEventListener("click", () => {
      const th = head.parentElement;
      const isUp = th.getAttribute("aria-sort") !== "ascending";
      all("th", box).forEach((other) => other.removeAttribute("aria-sort"));
      th.setAttribute("aria-sort", isUp ? "ascending" : "descending");
      const keys = new Map(rows.map((row) => [row, sortKey(row.cells[th.cellIndex])]));
      const ordered = [...rows].sort((a, b) => compared(keys.get(a), keys.get(b), isUp ? 1 : -1));
      body.append(...ordered);
    }));
  }
  function filterable(box) {
    const input = one(".filter", box);
    if (!input) return;
    const rows = [...one("tbody", box).rows];
    const texts = rows.map((row) => row.textContent.toLowerCase());
    const state = one(".state", box);
    const column = state && all("th", box).findIndex((th) => th.textContent === "State");
    const apply = () => {
      const wanted = words(input);
      let num = 0;
      rows.forEach((row, i) => {
        const isKept = has(texts[i], wanted) && (!state?.value || row.cells[column].textContent === state.value);
        row.hidden = !isKept;
        num += isKept;
      });
      one(".count", box).textContent = (num === rows.length ? "" : num + " of ") + rows.length + (rows.length === 1 ? " row" : " rows");
    };
    input.addEventListener("input", apply);
    state?.addEventListener("change", apply);
    apply();
  }
  all(".table").forEach((box) => { sortable(box); filterable(box); });

  // --- samples ----------------------------------------------------------------------------------------------------
  function samples(box) {
    const pairs = all(".pair", box);
    const texts = pairs.map((pair) => pair.textContent.toLowerCase());
    const gains = new Map(pairs.map((pair) => [pair, pair.dataset.gains.trim().split(",").map((text) => text === "" ? null : Number(text))]));
    const [order, input, count] = [one(".order", box), one(".filter", box), one(".count", box)];
    order.addEventListener("change", () => {
      const [judge, way] = order.value.split(" ");
      const key = (pair) => order.value === "record" ? [0, Number(pair.dataset.position)]
        : gains.get(pair)[judge] == null || Number.isNaN(gains.get(pair)[judge]) ? [2, 0] : [0, gains.get(pair)[judge]];
      box.append(...[...pairs].sort((a, b) => compared(key(a), key(b), way === "down" ? -1 : 1)));
    });
    const apply = () => {
      const wanted = words(input);
      pairs.forEach((pair, i) => { pair.hidden = !has(texts[i], wanted); });
      count.textContent = pairs.filter((pair) => !pair.hidden).length + " of " + pairs.length + " prompts";
    };
    input.addEventListener("input", apply);
    apply();
  }
  const sets = all("section.samples");
  sets.forEach(samples);
  const chooser = one("select.sets");
  const showSet = () => sets.forEach((box) => { box.hidden = Boolean(chooser) && box.id !== chooser.value; });
  chooser?.addEventListener("change", showSet);
  showSet();
}
