// Functions that look at a page of the site, for tools/site/looks.py.
window.look = (() => {
  // Elements that are wider than the window and not in a box that scrolls.
  const tooWide = () => {
    const wide = [...document.body.querySelectorAll("*")].filter((one) => {
      const box = one.getBoundingClientRect();
      if (!box.width || box.right <= innerWidth + 1) return false;
      for (let parent = one.parentElement; parent; parent = parent.parentElement) {
        if (getComputedStyle(parent).overflowX !== "visible" && parent.clientWidth <= innerWidth
          && parent !== document.body && parent !== document.documentElement) return false;
      }
      return getComputedStyle(one).position !== "fixed" && !one.closest(".toc-drawer, .sidebar-drawer");
    });
    return wide.slice(0, 3).map((one) => `${one.tagName}.${one.className} '${one.textContent.trim().slice(0, 40)}'`);
  };
  const widths = () => [document.documentElement.scrollWidth, innerWidth];
  const results = () => [...document.querySelectorAll("#search-results ul.search li")].map((one) => one.textContent.trim());
  return { tooWide, widths, results };
})();
