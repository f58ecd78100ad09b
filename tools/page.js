// Functions that look at any page, for tools/browser.py.
window.page = (() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const luminance = (colour) => {
    const [r, g, b] = colour.slice(0, 3).map((value) => value / 255)
      .map((value) => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ratio = (one, other) => {
    const [high, low] = [luminance(one), luminance(other)].sort((a, b) => b - a);
    return (high + 0.05) / (low + 0.05);
  };
  const behind = (node) => {
    for (; node; node = node.parentElement) {
      const colour = rgba(getComputedStyle(node).backgroundColor);
      if (colour[3] === 255) return colour;
    }
    return [255, 255, 255, 255];
  };
  // Texts whose contrast with their background is below `least`, one for each kind of element.
  const contrast = (least) => {
    const found = new Map(), walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      const text = walker.currentNode.textContent.trim(), parent = walker.currentNode.parentElement;
      if (!text || parent.closest("script, style, .unseen, noscript, .plot") || !parent.getClientRects().length) continue;
      const value = ratio(rgba(getComputedStyle(parent).color), behind(parent));
      if (value < least) found.set(`${parent.tagName}.${parent.className}`, `${text.slice(0, 40)}: ${value.toFixed(2)}`);
    }
    return found;
  };
  const contrastOfTexts = (least) => [...contrast(least)].map((one) => one.join(" "));
  return { rgba, ratio, contrast, contrastOfTexts };
})();
