"""Headless Chromium by Selenium, with the console and the requests of a page."""

from __future__ import annotations

import base64
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

_OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--hide-scrollbars",
)
_PATIENCE = 10.0
#: Functions for every page: ``page.contrast``.
_PAGE = Path(__file__).with_name("page.js")


class Page:
    """A page that is open in the browser.

    Args:
        driver: The browser.
        address: Address of the page.
        name: Name of the page in problems.
        width: Width of the window in pixels.
        dark: Whether the system prefers dark.
        script: JavaScript to run when the page is complete.
    """

    def __init__(
        self,
        driver: Any,  # noqa: ANN401
        address: str,
        name: str,
        width: int,
        dark: bool,
        script: str = "",
    ) -> None:
        self.driver = driver
        self.name = f"{name} at {width} px{', dark' if dark else ''}"
        self._width = width
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        self._resize(900)
        for kind in ("browser", "performance"):
            driver.get_log(kind)  # forget the page before
        driver.get(address)
        self.wait(lambda: self.run("return document.readyState") == "complete")
        self.run(_PAGE.read_text(encoding="utf-8") + script)

    def _resize(self, height: int) -> None:
        size = {"width": self._width, "height": height, "deviceScaleFactor": 1}
        self.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride", {**size, "mobile": self._width < 600}
        )

    def run(self, script: str, *arguments: object) -> Any:  # noqa: ANN401
        """Run JavaScript; return what it returns."""
        return self.driver.execute_script(script, *arguments)

    def look(self, name: str, *arguments: object) -> Any:  # noqa: ANN401
        """Call a function of `look`, an object of the script; return what it returns."""
        return self.run(f"return look.{name}(...arguments)", *arguments)

    def wait(self, condition: Callable[[], object]) -> bool:
        """Wait until a condition holds; return whether it did in time."""
        end = time.monotonic() + _PATIENCE
        while time.monotonic() < end:
            if condition():
                return True
            time.sleep(0.05)
        return False

    def console(self) -> list[str]:
        """Return the errors and warnings of the page so far."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requests(self) -> list[str]:
        """Return the addresses that the page has requested, without pictures in the page."""
        events = [json.loads(entry["message"]) for entry in self.driver.get_log("performance")]
        addresses = [
            event["message"]["params"]["request"]["url"]
            for event in events
            if event["message"]["method"] == "Network.requestWillBeSent"
            and not event["message"]["params"]["documentURL"].startswith("chrome:")
        ]
        return [address for address in addresses if not address.startswith("data:")]

    def screenshot(self, path: Path) -> None:
        """Save the whole page as a picture."""
        self.run("document.activeElement.blur(); window.scrollTo(0, 0)")
        self._resize(min(self.run("return document.documentElement.scrollHeight"), 8000))
        time.sleep(0.5)
        picture = self.driver.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})
        path.write_bytes(base64.b64decode(picture["data"]))
        self._resize(900)


@contextmanager
def chromium() -> Iterator[Any]:
    """Start the browser with an empty profile."""
    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    with tempfile.TemporaryDirectory() as profile:
        for option in (*_OPTIONS, f"--user-data-dir={profile}"):
            options.add_argument(option)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
        try:
            yield driver
        finally:
            driver.quit()
