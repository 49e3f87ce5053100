"use strict";
// Tabs and plots of one report. Nothing is loaded: the data and Plotly are in the page, compressed.
(() => {
  const root = document.documentElement;
  const all = (selector, parent = document) => [...parent.querySelectorAll(selector)];
  const one = (selector, parent = document) => parent.querySelector(selector);
  root.classList.add("js");

  // --- data -------------------------------------------------------------------------------------------------------
  async function unpacked(id) {
    const text = atob(one("#" + id).textContent);
    const bytes = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).text();
  }

  let loading = null;
  function loaded() {
    loading ??= (async () => {
      if (typeof DecompressionStream === "undefined") throw new Error("it cannot unpack them (no DecompressionStream)");
      const [data, code] = await Promise.all([unpacked("data"), unpacked("plotly")]);
      const script = document.createElement("script");
      script.textContent = code;
      document.head.append(script);
      if (!window.Plotly) throw new Error("it does not run their script");
      return JSON.parse(data);
    })();
    return loading;
  }

  function withoutPlots(error) {
    const note = one("#no-plots");
    note.textContent = "This browser cannot show the plots: " + error.message + ". All numbers are in the tables.";
    note.hidden = false;
    all(".plot").forEach((plot) => { plot.style.height = "auto"; plot.textContent = "No plot in this browser."; });
  }

  // --- theme ------------------------------------------------------------------------------------------------------
  const system = matchMedia("(prefers-color-scheme: dark)");
  const button = one("#theme");
  let printing = false;
  const isDark = () => !printing && (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
  const color = (name) => getComputedStyle(root).getPropertyValue(name).trim();

  function showTheme() {
    all(".keys i").forEach((mark) => { mark.style.color = recolored(mark.dataset.color); });
    button.setAttribute("aria-pressed", String(isDark()));
    button.textContent = isDark() ? "Light" : "Dark";
    button.title = isDark() ? "Switch to light colours" : "Switch to dark colours";
  }
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    showTheme();
    redraw();
  });
  system.addEventListener("change", () => { showTheme(); redraw(); });
  // The colours of lines on a dark ground: the same hues, lighter.
  const DARK = {
    "#0072b2": "#56a8dd", "#d55e00": "#ff8a3d", "#009e73": "#34c99c", "#cc79a7": "#e39ac4", "#e69f00": "#f2b632",
    "#56b4e9": "#8fd0f7", "#882255": "#d3699f", "#000000": "#e6e9ee",
    "#7a6a9b": "#a596c8", "#3e6d9c": "#6fa3d6", "#21918c": "#3fbdb6", "#5aa845": "#84d06e", "#e0a100": "#ffd257",
  };
  function recolored(value) {
    if (!isDark()) return value;
    if (typeof value === "string") return DARK[value.toLowerCase()] ?? value;
    if (Array.isArray(value)) return value.length && typeof value[0] === "number" ? value : value.map(recolored);
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([key, item]) =>
        [key, /color|line|marker|font|contours|shapes/.test(key) ? recolored(item) : item]));
    }
    return value;
  }
  function tinted(hex, opacity) {
    const shown = recolored(hex);
    const channel = (start) => parseInt(shown.slice(start, start + 2), 16);
    return "rgba(" + [channel(1), channel(3), channel(5), opacity].join(",") + ")";
  }
  showTheme();

  function themed(figure) {
    const [fg, muted, grid, card] = ["--fg", "--muted", "--grid", "--card"].map(color);
    const isNarrow = innerWidth < 700;
    const layout = structuredClone(figure.layout);  // Plotly writes into it
    for (const key of ["xaxis", "yaxis"]) {
      const axis = { gridcolor: grid, zerolinecolor: grid, linecolor: muted, tickcolor: muted, tickfont: { color: muted } };
      layout[key] = { ...axis, exponentformat: "power", automargin: true, ...layout[key] };
      if (isNarrow && layout[key].type === "log") layout[key].nticks = 4;
    }
    const data = figure.data.map((trace) => {
      const shown = recolored(structuredClone(trace));
      if (isNarrow && trace.type === "heatmap") shown.showscale = false;
      if (isNarrow && trace.type === "contour") {
        shown.colorbar = { ...shown.colorbar, orientation: "h", y: -0.2, yanchor: "top", thickness: 10, title: { side: "bottom", ...shown.colorbar?.title } };
      }
      return shown;
    });
    return {
      data,
      layout: {
        paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", hovermode: "closest", autosize: true,
        ...recolored(layout),
        font: { family: "system-ui, sans-serif", size: 12, color: fg },
        legend: { bgcolor: "rgba(0,0,0,0)", orientation: "h", yref: "container", y: 0, yanchor: "bottom", x: 0, xanchor: "left" },
        modebar: { bgcolor: "rgba(0,0,0,0)", color: muted, activecolor: fg },
        hoverlabel: { bgcolor: card, bordercolor: muted, font: { color: fg }, namelength: 40 },
      },
    };
  }
  const hasMouse = matchMedia("(hover: hover)").matches;
  const CONFIG = {
    responsive: true, displaylogo: false, displayModeBar: hasMouse ? "hover" : false, plotlyServerURL: "",
    modeBarButtonsToRemove: ["sendChartToCloud", "sendDataToCloud", "select2d", "lasso2d"],  // nothing leaves the page
  };

  // --- plots ------------------------------------------------------------------------------------------------------
  const drawn = new Set();
  async function draw(plot) {
    let data;
    try { data = await loaded(); } catch (error) { withoutPlots(error); return; }
    const figure = plot.dataset.figure ? data.figures[plot.dataset.figure] : panel(plot, data.curves);
    const { data: traces, layout } = themed(figure);
    // Columns of words need room of their own; the box around them scrolls.
    plot.style.minWidth = (layout.meta?.leastWidth ?? 0) + "px";
    await window.Plotly.react(plot, traces, layout, CONFIG);
    drawn.add(plot);
  }
  const drawIn = (parent) => Promise.all(all(".plot", parent).filter((plot) => !drawn.has(plot)).map(draw));
  const redraw = () => Promise.all([...drawn].map(draw));

  // --- tabs -------------------------------------------------------------------------------------------------------
  const tabs = all("#tabs [role=tab]");
  function open(tab, focus = false) {
    for (const other of tabs) {
      const isOpen = other === tab;
      other.setAttribute("aria-selected", String(isOpen));
      other.tabIndex = isOpen ? 0 : -1;
      one("#" + other.getAttribute("aria-controls")).hidden = !isOpen;
    }
    if (focus) tab.focus();
    const strip = tab.parentElement;
    strip.scrollLeft = Math.max(0, tab.offsetLeft - (strip.clientWidth - tab.offsetWidth) / 2);
    const section = one("#" + tab.getAttribute("aria-controls"));
    drawIn(section).then(() => all(".js-plotly-plot", section).forEach((plot) => window.Plotly.Plots.resize(plot)));
  }
  tabs.forEach((tab, index) => {
    tab.addEventListener("click", () => {
      open(tab);
      history.replaceState(null, "", "#" + tab.getAttribute("aria-controls"));
      if (scrollY > one("#tabs").offsetTop) scrollTo(0, one("#tabs").offsetTop);
    });
    tab.addEventListener("keydown", (event) => {
      const to = { ArrowRight: index + 1, ArrowLeft: index - 1, Home: 0, End: tabs.length - 1 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      open(tabs[(to + tabs.length) % tabs.length], true);
    });
  });
  addEventListener("hashchange", openHash);
  function openHash() {
    const wanted = tabs.find((tab) => "#" + tab.getAttribute("aria-controls") === location.hash);
    open(wanted ?? tabs[0]);
  }

  showTables(all, one);

  // --- curves -----------------------------------------------------------------------------------------------------
  const curves = one("#curve-panels");
  const hidden = new Set();  // names in the legend

  function smoothed(values, weight) {
    let mean = 0, total = 0;
    return values.map((value) => {
      if (value === null) return null;
      mean = weight * mean + (1 - weight) * value;
      total = weight * total + (1 - weight);
      return mean / total;
    });
  }
  function panel(plot, content) {
    const view = content.views[one(".view", curves).value];
    const weight = Number(one(".smoothing", curves).value);
    const data = [];
    (view.metrics[plot.dataset.metric] ?? []).forEach((line, i) => {
      const style = view.lines[i];
      if (!line || hidden.has(style.legend)) return;
      const [x, y, low, high] = line;
      const common = { x, type: "scatter", mode: x.length > 1 ? "lines" : "markers", hoverinfo: "skip", showlegend: false };
      if (low) {
        data.push({ ...common, y: smoothed(low, weight), line: { width: 0 } });
        data.push({ ...common, y: smoothed(high, weight), line: { width: 0 }, fill: "tonexty", fillcolor: tinted(style.color, 0.18) });
      }
      if (weight) data.push({ ...common, y, line: { color: style.color, width: 1 }, opacity: 0.3 });
      data.push({
        ...common, y: smoothed(y, weight), name: style.name, hoverinfo: "x+y+name",
        line: { color: style.color, width: style.width, dash: style.dash }, opacity: style.opacity,
      });
    });
    const empty = { text: "not recorded by these runs", showarrow: false, xref: "paper", yref: "paper", x: 0.5, y: 0.5 };
    const hover = data.length > 12 ? "closest" : "x unified";
    return { data, layout: { xaxis: { title: { text: content.unit, standoff: 4 } }, yaxis: {}, hovermode: hover, margin: { l: 44, r: 8, t: 8, b: 34 },
      annotations: data.length ? [] : [empty] } };
  }
  function legend(content) {
    const view = content.views[one(".view", curves).value];
    one(".view-note", curves).textContent = view.note[0].toUpperCase() + view.note.slice(1) + ".";
    const styles = new Map(view.lines.map((style) => [style.legend, style]));
    one(".legend", curves).replaceChildren(...[...styles.values()].map((style) => {
      const item = document.createElement("button");
      const mark = document.createElement("i");
      item.type = "button";
      mark.style.background = recolored(style.color);
      item.append(mark, style.legend);
      item.setAttribute("aria-pressed", String(!hidden.has(style.legend)));
      item.addEventListener("click", () => {
        if (!hidden.delete(style.legend)) hidden.add(style.legend);
        item.setAttribute("aria-pressed", String(!hidden.has(style.legend)));
        drawCurves();
      });
      return item;
    }));
  }
  const drawCurves = () => Promise.all(all(".plot", curves).map(draw));
  async function curvesChanged() {
    let content;
    try { content = (await loaded()).curves; } catch { return; }
    const weight = Number(one(".smoothing", curves).value);
    one(".smoothed", curves).textContent = weight ? "moving average, in which earlier values weigh " + weight + "; recorded values are pale" : "none";
    legend(content);
    if (drawn.has(one(".plot", curves))) await drawCurves();
  }
  if (curves) {
    one(".view", curves).addEventListener("change", () => { hidden.clear(); curvesChanged(); });
    one(".smoothing", curves).addEventListener("input", curvesChanged);
    one(".metric", curves)?.addEventListener("change", (event) => {
      const plot = event.target.closest(".figure").querySelector(".plot");
      plot.dataset.metric = event.target.value;
      draw(plot);
    });
    button.addEventListener("click", curvesChanged);
    system.addEventListener("change", curvesChanged);
  }

  // --- print ------------------------------------------------------------------------------------------------------
  addEventListener("beforeprint", () => { printing = true; if (window.Plotly) redraw(); });
  addEventListener("afterprint", () => { printing = false; redraw(); });

  openHash();
  if (curves) curvesChanged();
})();
