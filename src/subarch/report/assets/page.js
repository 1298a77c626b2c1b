// Draws each figure from the JSON beside it, again when the width crosses the limit, the colour scheme changes or the page is printed.
(() => {
  const NARROW = 560;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const settings = { responsive: true, displaylogo: false, displayModeBar: false, scrollZoom: false };
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const templates = read("templates");
  const plots = [...document.querySelectorAll(".plot")].map((div) => ({ div, text: div.dataset.figure, drawn: "" }));

  function draw(plot, scheme) {
    const narrow = plot.div.clientWidth < NARROW;
    const state = `${scheme} ${narrow}`;
    if (state === plot.drawn) return;
    plot.drawn = state;
    const { data, layout } = read(plot.text);
    Object.assign(layout, narrow ? layout.meta.narrow : {}, { template: templates[scheme], autosize: true });
    // On a touch screen a drag must scroll the page, not zoom the figure.
    if (narrow) layout.dragmode = false;
    Plotly.react(plot.div, data, layout, settings);
  }
  const scheme = () => (dark.matches ? "dark" : "light");
  const drawAll = () => plots.forEach((plot) => draw(plot, scheme()));

  drawAll();
  dark.addEventListener("change", drawAll);
  new ResizeObserver(drawAll).observe(document.body);
  addEventListener("beforeprint", () => {
    document.querySelectorAll("details").forEach((details) => { details.open = true; });
    plots.forEach((plot) => draw(plot, "light"));
  });
  addEventListener("afterprint", drawAll);
  addEventListener("figure-changed", (event) => plots.filter((plot) => plot.text === event.detail).forEach((plot) => { plot.drawn = ""; draw(plot, scheme()); }));
})();
