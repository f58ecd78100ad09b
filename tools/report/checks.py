"""What is checked of a report in the browser. Each check returns the problems that it finds."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from selenium.webdriver import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tools.browser import Page

#: Least contrast of text, of WCAG 2.2, criterion 1.4.3.
_LEAST_CONTRAST = 4.5
#: More than the elements of any of the pages that can be focused.
_MOST_TABS = 200


def check_all(page: Page) -> list[str]:
    """Return all problems of a page."""
    checks = (drawn, hover, zoom, keyboard, names, layout, contrast, theme, silent)
    return [f"{page.name}: {problem}" for check in checks for problem in check(page)]


def drawn(page: Page) -> Iterator[str]:
    """Every chart has a curve or points in a colour."""
    if not page.look("colours"):
        yield "there is no chart"
    page.wait(lambda: all(number for _, number in page.look("colours")))
    yield from (f"'{name}' is empty" for name, number in page.look("colours") if not number)


def hover(page: Page) -> Iterator[str]:
    """The value of a point appears beside the mouse, in maps with the image."""
    curves = page.driver.find_elements(By.CSS_SELECTOR, ".plot:not(.map)")[:2]
    maps = page.driver.find_elements(By.CSS_SELECTOR, ".plot.map")[:2]
    for place in (*curves, *maps):
        label = place.get_attribute("aria-label")[:50]
        if not page.wait(lambda place=place: _point_at(page, place) or page.look("tip", place)):
            yield f"nothing appears on '{label}'"
        elif place in curves and "Step" not in page.look("tip", place):
            yield f"no step appears on '{label}': {page.look('tip', place)}"
        elif place in maps and not page.look("tipHasPicture", place):
            yield f"no image appears on '{label}'"


def _point_at(page: Page, place: Any) -> None:  # noqa: ANN401
    page.run("arguments[0].scrollIntoView({ block: 'center' })", place)
    # A pixel nearer to the middle: outer points are on the edge of the chart.
    x, y = (int(value - math.copysign(1, value)) for value in page.look("point", place))
    mouse = ActionChains(page.driver)
    mouse.move_to_element_with_offset(place, x - 3, y).move_by_offset(3, 0).perform()


def zoom(page: Page) -> Iterator[str]:
    """Buttons, dragging and a double click change what is shown."""
    place = page.driver.find_element(By.CSS_SELECTOR, ".plot")
    page.run("arguments[0].scrollIntoView({ block: 'center' })", place)
    for label, wanted in (("Zoom in", 50), ("Zoom in", 25), ("Zoom out", 50), ("Show all", 100)):
        page.look("press", place, label)
        if abs(page.look("zoomOf", place) - wanted) > 1:
            yield f"'{label}' shows {page.look('zoomOf', place):.0f} %, expected {wanted} %"
    if page.run("return !matchMedia('(pointer: fine)').matches"):
        return  # a finger scrolls the page
    mouse = ActionChains(page.driver)
    mouse.move_to_element_with_offset(place, -60, 0).click_and_hold().move_by_offset(60, 0)
    mouse.move_by_offset(40, 0).release().perform()
    if not page.wait(lambda: page.look("zoomOf", place) < 60):
        yield "dragging does not zoom"
    ActionChains(page.driver).double_click(place).perform()
    if not page.wait(lambda: page.look("zoomOf", place) > 99):
        yield "a double click does not show all"


def keyboard(page: Page) -> Iterator[str]:
    """Charts are reached by Tab, read by arrows and zoomed by keys; everything has a name."""
    page.run("document.activeElement.blur(); window.scrollTo(0, 0)")
    wanted, seen = {"plot", "plot map"}, set[str]()
    for _ in range(_MOST_TABS):
        ActionChains(page.driver).send_keys(Keys.TAB).perform()
        kind = page.run("return document.activeElement.className")
        if "plot" in kind and kind not in seen:
            yield from _read_by_keys(page)
        seen.add(kind)
        if wanted <= seen:
            break
    yield from (f"Tab does not reach '{kind}'" for kind in sorted(wanted - seen))
    if nameless := page.look("nameless"):
        yield f"{nameless} controls or pictures have no name"


def _read_by_keys(page: Page) -> Iterator[str]:
    place = page.driver.switch_to.active_element
    label, kind = place.get_attribute("aria-label")[:50], place.get_attribute("class")
    ActionChains(page.driver).send_keys(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT).perform()
    spoken = page.run("return document.getElementById('live').textContent")
    if ("," if "map" in kind else "step") not in spoken:
        yield f"arrow keys read nothing of '{label}': '{spoken}'"
    if not page.look("tip", place):
        yield f"arrow keys show nothing on '{label}'"
    ActionChains(page.driver).send_keys("+").perform()
    if page.look("zoomOf", place) > 51:
        yield f"the key + does not zoom '{label}'"
    ActionChains(page.driver).send_keys("0").perform()
    if page.look("zoomOf", place) < 99:
        yield f"the key 0 does not show all of '{label}'"


def names(page: Page) -> Iterator[str]:
    """No text of a file or a name has become markup or code."""
    if page.run("return window.hacked !== undefined"):
        yield "code in a name was run"
    if number := page.run("return document.querySelectorAll('main script, [onload], b').length"):
        yield f"{number} elements came from a name"


def layout(page: Page) -> Iterator[str]:
    """Nothing is wider than the window, and the tables of the charts have values."""
    page.look("openTables", True)
    if not page.wait(lambda: page.look("emptyTables") == 0):
        yield f"{page.look('emptyTables')} tables are empty"
    wide, window = page.run("return [document.documentElement.scrollWidth, innerWidth]")
    if wide > window:
        yield f"the page is {wide} px wide in a window of {window} px"
    page.look("openTables", False)


def contrast(page: Page) -> Iterator[str]:
    """Texts can be read on their background."""
    yield from (f"contrast: {text}" for text in page.look("contrast", _LEAST_CONTRAST))


def theme(page: Page) -> Iterator[str]:
    """The button switches between light and dark, also the charts."""
    before = page.look("colourOfPage")
    page.run("document.getElementById('theme').click()")
    if any(old == new for old, new in zip(before, page.look("colourOfPage"), strict=True)):
        yield "the button for dark and light changes nothing"
    yield from (f"other theme, {text}" for text in contrast(page))
    page.run("document.getElementById('theme').click(); localStorage.clear()")


def silent(page: Page) -> Iterator[str]:
    """There is no message in the console, and no request but that of the file."""
    yield from (f"console: {message}" for message in page.console())
    requests = page.requests()
    if len(requests) != 1 or not requests[0].startswith("file://"):
        yield f"requests: {requests}"
