// Draws the charts of a report from the data in the page. It makes no request.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const live = document.getElementById("live");
  const DASHES = ["solid", [7, 4], [2, 3], [9, 3, 2, 3]];
  const SYMBOLS = ["circle", "rect", "triangle", "diamond", "pin", "arrow"];
  const charts = [];  // what is drawn again when the theme changes: functions
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const colour = (number) => css(`--c${number % 8}`);
  const dash = (number) => DASHES[Math.floor(number / 8 + number) % DASHES.length];
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;

  const element = (tag, content, attributes = {}) => {
    const made = document.createElement(tag);
    if (content !== undefined) made.textContent = content;
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    return made;
  };

  const shownNumber = (value, percent) => {
    if (value === null || value === undefined) return "not finite";
    const scaled = percent ? 100 * value : value;
    const size = Math.abs(scaled);
    const text = size !== 0 && (size < 0.001 || size >= 1e6) ? scaled.toExponential(3).replace(/\.?0*e/, "e")
      : scaled.toLocaleString("en", { maximumSignificantDigits: size >= 1000 ? 6 : 4 });
    return percent ? `${text} %` : text;
  };

  const sample = (number) => {
    const ns = "http://www.w3.org/2000/svg";
    const svg = document.createElementNS(ns, "svg");
    svg.setAttribute("width", "26"); svg.setAttribute("height", "10"); svg.setAttribute("aria-hidden", "true");
    const line = document.createElementNS(ns, "line");
    const pattern = dash(number);
    for (const [name, value] of Object.entries({ x1: 1, x2: 25, y1: 5, y2: 5, stroke: colour(number),
      "stroke-width": 2.5, "stroke-dasharray": pattern === "solid" ? "none" : pattern.join(" ") })) line.setAttribute(name, value);
    svg.append(line);
    return svg;
  };

  const tooltip = () => ({
    backgroundColor: css("--card"), borderColor: css("--line"), textStyle: { color: css("--text"), fontSize: 13 },
    confine: true, transitionDuration: 0, extraCssText: "max-width: 320px; white-space: normal; overflow-wrap: anywhere",
  });

  const axis = (name, format) => ({
    type: "value", scale: true, name, nameLocation: "middle", nameGap: 24,
    nameTextStyle: { color: css("--soft"), fontSize: 12 },
    axisLabel: { color: css("--soft"), fontSize: 12, hideOverlap: true, formatter: format },
    axisLine: { show: false }, axisTick: { show: false }, splitLine: { lineStyle: { color: css("--grid") } },
  });

  // Zoom by dragging with a mouse, by pinching, and by buttons and keys.
  const zoomOptions = (both) => ({
    dataZoom: [{ type: "inside", xAxisIndex: 0, filterMode: "none", zoomOnMouseWheel: "ctrl", moveOnMouseMove: false, moveOnMouseWheel: false, preventDefaultMouseMove: false },
      ...(both ? [{ type: "inside", yAxisIndex: 0, filterMode: "none", zoomOnMouseWheel: "ctrl", moveOnMouseMove: false, moveOnMouseWheel: false, preventDefaultMouseMove: false }] : [])],
    toolbox: { show: true, top: -99, feature: { dataZoom: { yAxisIndex: both ? undefined : "none", filterMode: "none" } } },
  });
  const dragToZoom = (drawn) => {
    if (matchMedia("(pointer: fine)").matches)
      drawn.dispatchAction({ type: "takeGlobalCursor", key: "dataZoomSelect", dataZoomSelectActive: true });
  };
  const zoomBy = (drawn, factor) => {
    drawn.getOption().dataZoom.forEach((zoom, index) => {
      const middle = (zoom.start + zoom.end) / 2, half = (zoom.end - zoom.start) / 2 * factor;
      const range = factor ? [Math.max(0, middle - half), Math.min(100, middle + half)] : [0, 100];
      drawn.dispatchAction({ type: "dataZoom", dataZoomIndex: index, start: range[0], end: range[1] });
    });
  };

  const zoomButtons = (drawn, title) => {
    const box = element("div", undefined, { class: "zoom", role: "group", "aria-label": `Zoom of ${title}` });
    for (const [text, label, factor] of [["+", "Zoom in", 0.5], ["−", "Zoom out", 2], ["⤢", "Show all", 0]]) {
      const button = element("button", text, { type: "button", "aria-label": label, title: label });
      button.addEventListener("click", () => zoomBy(drawn(), factor));
      box.append(button);
    }
    return box;
  };

  // A chart that can be focused, zoomed and read point by point with the keyboard.
  const chartIn = (place, { label, option, read, both }) => {
    let drawn = null, at = null;
    const draw = () => {
      const zoom = drawn ? drawn.getOption().dataZoom.map(({ start, end }) => ({ start, end })) : [];
      if (drawn) drawn.dispose();
      drawn = echarts.init(place, null, { renderer: "canvas" });
      const built = { animation: !calm, animationDuration: 300, ...zoomOptions(both), ...option() };
      built.dataZoom = built.dataZoom.map((one, index) => ({ ...one, ...zoom[index] }));
      drawn.setOption(built);
      drawn.getZr().on("dblclick", () => zoomBy(drawn, 0));
      dragToZoom(drawn);
      place.drawn = drawn;
      if (place.onDrawn) place.onDrawn(drawn);
    };
    place.setAttribute("tabindex", "0");
    place.setAttribute("role", "application");
    place.setAttribute("aria-roledescription", "chart");
    place.setAttribute("aria-label", label);
    place.addEventListener("keydown", (event) => {
      const zoom = { "+": 0.5, "=": 0.5, "-": 2, "0": 0 }[event.key];
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (zoom !== undefined) zoomBy(drawn, zoom);
      else if (event.key === "Escape") drawn.dispatchAction({ type: "hideTip" });
      else {
        const found = read(event.key, at);
        if (!found) return;
        at = found.at;
        drawn.dispatchAction({ type: "showTip", seriesIndex: at[0], dataIndex: at[1] });
        live.textContent = found.text;
      }
      event.preventDefault();
    });
    place.addEventListener("blur", () => drawn.dispatchAction({ type: "hideTip" }));
    new ResizeObserver(() => drawn && drawn.resize()).observe(place);
    charts.push(draw);
    place.redraw = draw;
    draw();
    return () => drawn;
  };

  const moved = (key, at, lengths) => {
    const series = at ? at[0] : 0, point = at ? at[1] : -1;
    const clamp = (value, length) => Math.max(0, Math.min(length - 1, value));
    const step = { ArrowRight: 1, ArrowLeft: -1, PageDown: 10, PageUp: -10 }[key];
    if (step) return [series, clamp(point + step, lengths[series])];
    if (key === "Home") return [series, 0];
    if (key === "End") return [series, lengths[series] - 1];
    const turn = { ArrowDown: 1, ArrowUp: -1 }[key];
    if (!turn) return null;
    const other = (series + turn + lengths.length) % lengths.length;
    return [other, clamp(Math.max(point, 0), lengths[other])];
  };

  // ------------------------------------------------------------------ curves

  const several = data.runs.length > 1;
  const nameOf = (curve) => several ? data.runs[curve.run] : curve.name;
  const numberOf = (curve, index) => several ? curve.run : index;

  const lineChart = (place, chart) => {
    const value = (number) => shownNumber(number, chart.percent);
    const option = () => ({
      grid: { left: 8, right: 14, top: 14, bottom: 34, containLabel: true },
      xAxis: axis("step"), yAxis: { ...axis("", (number) => shownNumber(number, chart.percent)), ...(chart.percent && { max: ({ max }) => max > 0.9 ? 1 : null }) },
      tooltip: { ...tooltip(), trigger: "axis", axisPointer: { lineStyle: { color: css("--soft") } }, formatter: (items) => {
        const box = element("div");
        box.append(element("strong", `Step ${items[0].axisValue.toLocaleString("en")}`));
        for (const item of items) box.append(element("div", `${item.seriesName}: ${value(item.value[1])}`));
        return box;
      } },
      series: chart.curves.map((curve, index) => ({
        type: "line", name: nameOf(curve), data: curve.points, connectNulls: false,
        color: colour(numberOf(curve, index)), symbol: SYMBOLS[numberOf(curve, index) % 4], symbolSize: curve.points.length > 60 ? 5 : 7,
        showSymbol: curve.points.length <= 60, lineStyle: { width: 2, type: dash(numberOf(curve, index)) }, emphasis: { disabled: true },
      })),
    });
    const ends = chart.curves.map((curve) => {
      const known = curve.points.filter(([, number]) => number !== null), last = known[known.length - 1];
      return `${nameOf(curve)} from ${value(known[0][1])} at step ${known[0][0]} to ${value(last[1])} at step ${last[0]}`;
    });
    const label = `${chart.title}: ${ends.join("; ")}`;
    const read = (key, at) => {
      const to = moved(key, at, chart.curves.map((curve) => curve.points.length));
      if (!to) return null;
      const curve = chart.curves[to[0]], [step, number] = curve.points[to[1]];
      return { at: to, text: `${nameOf(curve)}, step ${step}: ${value(number)}` };
    };
    return chartIn(place, { label, option, read, both: false });
  };

  const lineTable = (chart) => {
    const steps = [...new Set(chart.curves.flatMap((curve) => curve.points.map(([step]) => step)))].sort((a, b) => a - b);
    const columns = chart.curves.map((curve) => new Map(curve.points));
    const rows = steps.map((step) => [step, ...columns.map((column) => column.has(step) ? shownNumber(column.get(step), chart.percent) : "")]);
    return table(["step", ...chart.curves.map(nameOf)], rows);
  };

  const table = (header, rows) => {
    const made = element("table"), head = made.createTHead().insertRow();
    for (const text of header) head.append(element("th", text, { scope: "col" }));
    const body = made.createTBody();
    for (const row of rows) {
      const line = body.insertRow();
      row.forEach((text, index) => line.append(element(index ? "td" : "th", text, index ? {} : { scope: "row" })));
    }
    return made;
  };

  document.querySelectorAll("[data-chart]").forEach((place) => {
    const chart = data.charts[place.dataset.chart];
    const drawn = lineChart(place, chart);
    const details = place.parentElement.querySelector("details");
    const foot = element("div", undefined, { class: "card-foot" });
    place.after(foot);
    foot.append(details, zoomButtons(drawn, chart.title));
    details.addEventListener("toggle", () => {
      const box = details.querySelector(".scroll");
      if (details.open && !box.firstChild) box.append(lineTable(chart));
    });
  });
  // ------------------------------------------------------------------ maps

  const MARKS = ["circle", "rect", "triangle", "diamond", "emptyCircle", "emptyRect", "emptyTriangle", "emptyDiamond"];
  // With eight colours and eight marks, each of 64 groups gets a pair of its own.
  const markOf = (group) => MARKS[(group + Math.floor(group / 8)) % MARKS.length];
  const isEmpty = (group) => markOf(group).startsWith("empty");
  const plain = (group) => markOf(group).replace("empty", "").toLowerCase();
  const markColour = (map, group) => map.groups.length === 1 ? css("--c0")
    : /^other images$/.test(map.groups[group]) && group === map.groups.length - 1 ? css("--soft") : colour(group);
  const mapPlaces = [...document.querySelectorAll("[data-map]")];
  let layout = "PCA";
  const focus = data.maps.map(() => null);  // the class that is picked out in each map

  const card = (map, index) => {
    const box = element("div", undefined, { class: "tip" });
    if (map.styles[index]) box.append(element("span", undefined, { class: "tile", style: map.styles[index] }));
    if (map.classes[index]) box.append(element("strong", map.classes[index]));
    box.append(element("div", map.names[index]));
    return box;
  };

  const scatterChart = (place) => {
    const number = Number(place.dataset.map), map = data.maps[number], state = place.dataset.state;
    const members = () => map.groups.map((_, group) => map.labels.map((label, index) => [label, index])
      .filter(([label, index]) => label === group && points()[index]).map(([, index]) => index));
    const points = () => (map.layouts[layout] || map.layouts.PCA)[state].points;
    const option = () => {
      const groups = members(), bare = { ...axis("", () => ""), axisLabel: { show: false } };
      return {
        grid: { left: 8, right: 8, top: 8, bottom: 8 }, xAxis: bare, yAxis: bare,
        tooltip: { ...tooltip(), trigger: "item", formatter: (item) => card(map, item.value[2]) },
        series: groups.map((own, group) => ({
          type: "scatter", name: map.groups[group], symbol: plain(group), symbolSize: 9,
          color: markColour(map, group), data: own.map((index) => [...points()[index], index]),
          itemStyle: { opacity: focus[number] === null ? 0.85 : focus[number] === group ? 1 : 0.1,
            ...(isEmpty(group) && { color: "transparent", borderColor: markColour(map, group), borderWidth: 2 }) },
          emphasis: { scale: 2, itemStyle: { opacity: 1, borderColor: css("--text"), borderWidth: 2 } },
        })),
      };
    };
    const read = (key, at) => {
      const groups = members();
      const to = moved(key, at && groups[at[0]].length ? at : [groups.findIndex((own) => own.length), -1], groups.map((own) => own.length));
      if (!to || !groups[to[0]].length) return null;
      const index = groups[to[0]][to[1]];
      return { at: to, text: `${map.names[index]}, ${map.classes[index] || "no class"}` };
    };
    const label = `Map of the images ${state} training, ${data.runs[map.run]}: ${map.groups.map((name, group) => `${members()[group].length} of ${name}`).join(", ")}`;
    const drawn = chartIn(place, { label, option, read, both: true });
    place.parentElement.append(zoomButtons(drawn, `the map ${state} training`));
    // The same image in the other map of the run.
    const others = () => mapPlaces.filter((other) => other !== place && other.dataset.map === place.dataset.map && other.drawn);
    const pass = (type) => (item) => others().forEach((other) => other.drawn.dispatchAction({ type, seriesIndex: item.seriesIndex, dataIndex: item.dataIndex }));
    place.onDrawn = (chart) => { chart.on("mouseover", pass("highlight")); chart.on("mouseout", pass("downplay")); };
    place.onDrawn(drawn());
  };
  mapPlaces.forEach(scatterChart);

  const mark = (map, group) => {
    const ns = "http://www.w3.org/2000/svg", svg = document.createElementNS(ns, "svg"), name = markOf(group);
    svg.setAttribute("width", "12"); svg.setAttribute("height", "12"); svg.setAttribute("aria-hidden", "true");
    const path = document.createElementNS(ns, "path");
    const forms = { circle: "M6 1a5 5 0 1 0 .01 0Z", rect: "M1.5 1.5h9v9h-9Z", triangle: "M6 1l5.2 9.5h-10.4Z", diamond: "M6 .5l5 5.5-5 5.5-5-5.5Z" };
    path.setAttribute("d", forms[name.replace("empty", "").toLowerCase()]);
    const empty = name.startsWith("empty");
    path.setAttribute("fill", empty ? "none" : markColour(map, group));
    path.setAttribute("stroke", markColour(map, group)); path.setAttribute("stroke-width", empty ? "2" : "0");
    svg.append(path);
    return svg;
  };
  const redrawMaps = () => mapPlaces.forEach((place) => place.redraw());
  const classButtons = () => document.querySelectorAll("[data-classes]").forEach((place) => {
    const number = Number(place.dataset.classes), map = data.maps[number];
    if (map.groups.length < 2) return;
    const had = place.contains(document.activeElement) ? [...place.children].indexOf(document.activeElement) : -1;
    place.replaceChildren(...map.groups.map((name, group) => {
      const button = element("button", undefined, { type: "button", "aria-pressed": String(focus[number] === group), title: "Pick out this class" });
      button.append(mark(map, group), name);
      button.addEventListener("click", () => { focus[number] = focus[number] === group ? null : group; classButtons(); redrawMaps(); });
      return button;
    }));
    if (had >= 0) place.children[had].focus();
  });
  charts.push(classButtons);
  classButtons();
  document.querySelectorAll("[data-layout]").forEach((button) => button.addEventListener("click", () => {
    layout = button.dataset.layout;
    document.querySelectorAll("[data-layout]").forEach((one) => one.setAttribute("aria-pressed", String(one === button)));
    redrawMaps();
  }));
  document.querySelectorAll("[data-points]").forEach((details) => details.addEventListener("toggle", () => {
    const box = details.querySelector(".scroll"), map = data.maps[details.dataset.points];
    if (!details.open || box.firstChild) return;
    const states = Object.keys(map.layouts.PCA), place = (point) => point ? point.map((value) => value.toFixed(3)).join(", ") : "";
    box.append(table(["image", "class", ...states.map((state) => `PCA ${state}`)],
      map.names.map((name, index) => [name, map.classes[index], ...states.map((state) => place(map.layouts.PCA[state].points[index]))])));
  }));

  const legends = () => {
    document.querySelectorAll("[data-legend]").forEach((place) => {
      const curves = data.charts[place.dataset.legend].curves;
      place.replaceChildren(...(several || curves.length > 1 ? curves : []).map((curve, index) => {
        const item = element("span");
        item.append(sample(numberOf(curve, index)), nameOf(curve));
        return item;
      }));
    });
    document.querySelectorAll("[data-run]").forEach((place) => place.replaceChildren(sample(Number(place.dataset.run))));
  };
  charts.push(legends);
  legends();

  // ------------------------------------------------------------------ the page

  const remembered = (value) => {  // a frame without an origin has no storage
    try {
      if (value) localStorage.setItem("lightly-report-theme", value);
      return localStorage.getItem("lightly-report-theme");
    } catch { return null; }
  };
  const redraw = () => charts.forEach((draw) => draw());
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const theme = () => document.documentElement.dataset.theme || (dark.matches ? "dark" : "light");
  const earlier = remembered();
  if (earlier) { document.documentElement.dataset.theme = earlier; redraw(); }
  document.getElementById("theme").addEventListener("click", () => {
    document.documentElement.dataset.theme = theme() === "dark" ? "light" : "dark";
    remembered(theme());
    redraw();
  });
  dark.addEventListener("change", redraw);

  const copyText = async (text) => {
    try { await navigator.clipboard.writeText(text); return true; } catch { /* not allowed in a frame */ }
    const area = element("textarea", text, { class: "unseen" });
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  };
  document.querySelectorAll("[data-copy]").forEach((button) => button.addEventListener("click", async () => {
    const done = await copyText(document.getElementById(button.dataset.copy).textContent);
    button.textContent = done ? "Copied" : "Select the text and copy it";
    live.textContent = button.textContent;
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  }));

  const origins = [...document.querySelectorAll("[data-origin]")];
  const showOrigin = (chosen) => {
    origins.forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.origin === chosen)));
    document.querySelectorAll("[data-from]").forEach((row) => { row.hidden = chosen !== "all" && !chosen.split(" ").includes(row.dataset.from); });
  };
  origins.forEach((button) => button.addEventListener("click", () => showOrigin(button.dataset.origin)));
  if (origins.length) showOrigin(origins[0].dataset.origin);
})();
