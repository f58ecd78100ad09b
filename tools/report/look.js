// Functions that look at a report, for tools/report/checks.py.
window.look = (() => {
  const plots = () => [...document.querySelectorAll(".plot")];
  const zoomOf = (place) => {
    const { start, end } = place.drawn.getOption().dataZoom[0];
    return end - start;
  };
  // Number of strong colours in each chart. A chart without a curve has none.
  const colours = () => plots().map((place) => {
    const canvas = place.querySelector("canvas"), found = new Set();
    if (canvas) {
      const copy = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
      Object.assign(copy.canvas, { width: canvas.width, height: canvas.height });
      copy.drawImage(canvas, 0, 0);
      const pixels = copy.getImageData(0, 0, canvas.width, canvas.height).data;
      for (let i = 0; i < pixels.length; i += 4) {
        const [r, g, b, a] = pixels.slice(i, i + 4);
        if (a > 200 && Math.max(r, g, b) - Math.min(r, g, b) > 60) found.add(`${r >> 5},${g >> 5},${b >> 5}`);
      }
    }
    return [place.getAttribute("aria-label"), found.size];
  });
  // Place of a point of a chart, relative to its middle.
  const point = (place) => {
    const all = place.drawn.getOption().series, series = all.findIndex((one) => one.data.length);
    const points = all[series].data, chosen = points[Math.floor(points.length / 2)].slice(0, 2);
    const [x, y] = place.drawn.convertToPixel({ seriesIndex: series }, chosen);
    return [x - place.clientWidth / 2, y - place.clientHeight / 2];
  };
  const tip = (place) => [...place.querySelectorAll("div")].map((box) => box.textContent).join("");
  const tipHasPicture = (place) => {
    const tile = place.querySelector(".tip .tile");
    return Boolean(tile) && getComputedStyle(tile).backgroundImage.startsWith('url("data:image')
      && tile.clientWidth > 50 && tile.clientHeight > 20;
  };
  // Texts and curves whose contrast with their background is below `least`.
  const contrast = (least) => {
    const { rgba, ratio } = window.page, found = window.page.contrast(least);
    const style = getComputedStyle(document.documentElement), variable = (name) => rgba(style.getPropertyValue(name));
    for (const text of ["--text", "--soft"]) for (const back of ["--card", "--page"])
      if (ratio(variable(text), variable(back)) < least) found.set(text + back, "texts of the charts");
    for (let i = 0; i < 8; i++) if (ratio(variable(`--c${i}`), variable("--card")) < 3) found.set(`--c${i}`, "a curve, below 3");
    return [...found].map((one) => one.join(" "));
  };
  const nameless = () => [...document.querySelectorAll("button, a, [tabindex], img, [role=img]")].filter((one) =>
    !(one.getAttribute("aria-label") || one.getAttribute("alt") || one.textContent.trim())).length;
  const emptyTables = () => [...document.querySelectorAll("details .scroll")].filter((box) => !box.querySelector("td, th")).length;
  const openTables = (open) => document.querySelectorAll("details").forEach((one) => { one.open = open; });
  const colourOfPage = () => [getComputedStyle(document.body).backgroundColor,
    document.querySelector(".plot").drawn.getOption().xAxis[0].axisLabel.color];
  const press = (place, label) => place.parentElement.querySelector(`[aria-label='${label}']`).click();
  return { zoomOf, colours, point, tip, tipHasPicture, contrast, nameless, emptyTables, openTables, colourOfPage, press };
})();
