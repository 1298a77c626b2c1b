// What the reader chooses in the page of a search: the axes of the front, and a brush over parallel coordinates.
(() => {
  const $ = (id) => document.getElementById(id);
  const read = (id) => ($(id) ? JSON.parse($(id).textContent) : null);
  const choices = read("front-choices");
  const lines = read("lines");

  // A page that loads itself again while the search runs must not forget what was chosen.
  const memory = (id) => `${location.pathname} ${id}`;
  const remember = (id, value) => { try { sessionStorage.setItem(memory(id), value); } catch { /* not allowed here */ } };
  const recall = (id) => { try { return sessionStorage.getItem(memory(id)); } catch { return null; } };
  const controlled = (id, act) => {
    const control = $(id);
    const key = control.type === "checkbox" ? "checked" : "value";
    const old = recall(id);
    if (old !== null && key === "checked") control.checked = old === "true";
    if (old !== null && key === "value" && [...control.options].some((option) => option.value === old)) control.value = old;
    control.addEventListener("change", () => { remember(id, control[key]); act(); });
    return control;
  };

  function front() {
    const script = $("front");
    const [x, y, colour] = ["x", "y", "colour"].map((letter) => controlled(`front-${letter}`, compose));
    const initial = [choices.x, choices.y, choices.colour].join();

    function compose() {
      const figure = read("front");
      const at = { x: choices.axes[x.value], y: choices.axes[y.value] };
      const shade = choices.axes[colour.value];
      const edge = choices.edges[`${x.value}|${y.value}`] || [[], []];
      [figure.data[0].x, figure.data[0].y] = edge;
      at.x.values.forEach((_, group) => {
        const trace = figure.data[group + 1];
        for (const letter of ["x", "y"]) {
          const bars = at[letter].errors[group];
          trace[letter] = at[letter].values[group];
          Object.assign(trace[`error_${letter}`], { array: bars || [], visible: bars !== null });
        }
        delete trace.marker.coloraxis;
        trace.marker.color = shade ? shade.values[group].map((value) => value ?? "#94a3b8") : trace.meta;
        if (shade) trace.marker.coloraxis = "coloraxis";
      });
      figure.layout.xaxis = { anchor: "y", ...at.x.layout };
      figure.layout.yaxis = { anchor: "x", domain: figure.layout.yaxis.domain, ...at.y.layout };
      Object.assign(figure.layout.coloraxis, shade ? shade.coloraxis : { showscale: false });
      for (const kind of ["shapes", "annotations"]) {
        figure.layout[kind] = [...at.x.x[kind], ...at.y.y[kind], ...choices.strip[kind]];
      }
      script.textContent = JSON.stringify(figure);
      dispatchEvent(new CustomEvent("figure-changed", { detail: "front" }));
    }
    if ([x.value, y.value, colour.value].join() !== initial) compose();
  }

  const SVG = "http://www.w3.org/2000/svg";
  const element = (name, attributes, parent, text) => {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    parent.append(made);
    return made;
  };
  const TOP = 66, HEIGHT = 290, BOTTOM = 16, SIDE = 46, GAP = 92;
  const down = (at) => TOP + HEIGHT * (1 - at / 1000);

  function parallel() {
    const box = document.querySelector(".coordinates");
    const brushes = new Map();
    const paths = [];
    let svg = null;
    let waiting = 0;
    const colour = controlled("lines-colour", paint);
    const only = controlled("lines-front", choose);

    function draw() {
      const width = Math.max(box.parentElement.clientWidth, 2 * SIDE + GAP * (lines.axes.length - 1));
      if (svg && Number(svg.getAttribute("width")) === width) return;
      const across = (index) => SIDE + (index * (width - 2 * SIDE)) / (lines.axes.length - 1);
      box.replaceChildren();
      svg = element("svg", { width, height: TOP + HEIGHT + BOTTOM }, box);
      paths.length = 0;
      const sorted = [...lines.trials].sort((one, other) => one.front - other.front);
      for (const trial of sorted) {
        const points = trial.at.map((at, index) => (at === null ? null : `${across(index).toFixed(1)} ${down(at).toFixed(1)}`));
        // A value without a place, not even a lane, is passed by.
        const path = element("path", { d: `M${points.filter(Boolean).join("L")}` }, svg);
        if (trial.front) path.classList.add("front");
        element("title", {}, path, trial.title);
        path.addEventListener("pointerenter", () => { path.classList.add("over"); say(trial.title); });
        path.addEventListener("pointerleave", () => { path.classList.remove("over"); choose(); });
        paths.push({ trial, path });
      }
      lines.axes.forEach((axis, index) => drawAxis(axis, index, across(index)));
      // Many lines are drawn thinner, or they are one surface.
      svg.style.setProperty("--opacity", Math.max(0.3, Math.min(0.75, 60 / paths.length)));
      paint();
      choose();
    }

    function drawAxis(axis, index, x) {
      const group = element("g", {}, svg);
      const low = axis.lane ? 60 : 0;
      element("line", { class: "axis", x1: x, x2: x, y1: down(1000), y2: down(low) }, group);
      if (axis.threshold !== null) {
        element("line", { class: "threshold", x1: x - 9, x2: x + 9, y1: down(axis.threshold), y2: down(axis.threshold) }, group);
      }
      axis.ticks.forEach(([at, text]) => {
        element("line", { class: "axis", x1: x - 3, x2: x + 3, y1: down(at), y2: down(at) }, group);
        element("text", { x: x + 6, y: down(at) + 4 }, group, text);
      });
      axis.label.forEach((text, line) => {
        const y = TOP - 14 - 14 * (axis.label.length - 1 - line);
        element("text", { class: `label ${axis.metric ? "metric" : ""}`, x, y, "text-anchor": "middle" }, group, text);
      });
      const shown = element("rect", { class: "brush", x: x - 8, width: 16, y: 0, height: 0 }, group);
      const hit = element("rect", { class: "hit", x: x - 14, width: 28, y: TOP - 8, height: HEIGHT + 16 }, group);
      brush(index, shown, hit);
    }

    function brush(index, shown, hit) {
      const place = (event) => 1000 * (1 - (event.clientY - svg.getBoundingClientRect().top - TOP) / HEIGHT);
      const show = () => {
        const range = brushes.get(index);
        shown.setAttribute("y", range ? down(range[1]) : 0);
        shown.setAttribute("height", range ? down(range[0]) - down(range[1]) : 0);
      };
      hit.addEventListener("pointerdown", (event) => {
        const start = place(event);
        hit.setPointerCapture(event.pointerId);
        brushes.delete(index);
        const move = (later) => {
          const end = place(later);
          // A few pixels are a click, and a click lets go.
          if (Math.abs(end - start) * HEIGHT > 4000) brushes.set(index, [Math.min(start, end), Math.max(start, end)]);
          show();
          choose();
        };
        hit.addEventListener("pointermove", move);
        const done = () => hit.removeEventListener("pointermove", move);
        hit.addEventListener("pointerup", done, { once: true });
        hit.addEventListener("pointercancel", done, { once: true });
        show();
        choose();
      });
      show();
    }

    function choose() {
      const within = ({ trial }) => (!only.checked || trial.front)
        && [...brushes].every(([index, [low, high]]) => trial.at[index] !== null && trial.at[index] >= low && trial.at[index] <= high);
      const kept = paths.filter(within);
      const chosen = new Set(kept);
      paths.forEach((line) => line.path.classList.toggle("out", !chosen.has(line)));
      const free = kept.length === paths.length;
      const named = kept.map(({ trial }) => trial.number).sort((one, other) => one - other);
      const listed = named.slice(0, 30).map((number) => `#${number}`).join(", ") + (named.length > 30 ? ", …" : "");
      say(free ? `${paths.length} trials` : `${kept.length} of ${paths.length} trials: ${listed}`);
      // The front follows when the hand rests: drawing it again takes longer than a move.
      clearTimeout(waiting);
      waiting = setTimeout(() => mark(free ? null : new Set(named)), 120);
    }

    function mark(numbers) {
      const plot = document.querySelector('[data-figure="front"]');
      if (!plot || !plot.data || String([...(numbers || [])]) === plot.dataset.marked) return;
      plot.dataset.marked = String([...(numbers || [])]);
      const chosen = plot.data.map((trace) => numbers && trace.customdata
        ? trace.customdata.flatMap((number, index) => (numbers.has(number) ? [index] : [])) : null);
      Plotly.restyle(plot, { selectedpoints: chosen });
    }

    function paint() {
      const index = colour.value === "" ? -1 : Number(colour.value);
      for (const { trial, path } of paths) path.style.stroke = index < 0 ? member(trial) : graded(trial.at[index], lines.axes[index]);
    }
    const member = (trial) => (trial.kind === "baseline" ? "#c2569b" : trial.front ? "#2f7de1" : "#94a3b8");
    // Weak to strong: towards the paper's opposite, so that the good ones stand out on both.
    const dark = matchMedia("(prefers-color-scheme: dark)");
    const LIGHT = [[186, 194, 204], [79, 163, 165], [9, 100, 96]], DARK = [[74, 84, 97], [60, 140, 142], [120, 236, 222]];
    dark.addEventListener("change", paint);
    function graded(at, axis) {
      if (at === null) return "#94a3b8";
      const share = Math.min(Math.max(axis.reverse ? 1 - at / 1000 : at / 1000, 0), 1) * 2;
      const STOPS = dark.matches ? DARK : LIGHT;
      const [one, other] = share < 1 ? [STOPS[0], STOPS[1]] : [STOPS[1], STOPS[2]];
      const part = share < 1 ? share : share - 1;
      return `rgb(${one.map((value, channel) => Math.round(value + part * (other[channel] - value))).join()})`;
    }
    function say(text) { $("lines-chosen").textContent = text; }

    draw();
    new ResizeObserver(draw).observe(box.parentElement);
  }

  if (choices) front();
  if (lines) parallel();
})();
