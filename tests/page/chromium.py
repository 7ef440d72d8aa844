"""The system's Chromium, driven by Playwright, and the complaints that no page may cause."""

import importlib.resources
import shutil
from contextlib import asynccontextmanager

from playwright.async_api import async_playwright

from tests.kafka.jars import Unavailable

NAMES = ("chromium", "chromium-browser", "google-chrome")
AXE = importlib.resources.files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")


def find_chromium():
    """Return the path of the system's Chromium. Raises `Unavailable`."""
    for name in NAMES:
        if path := shutil.which(name):
            return path
    raise Unavailable(f"none of {', '.join(NAMES)} is on the PATH; `make page-test` installs Debian's")


@asynccontextmanager
async def browsing(executable):
    """Give a browser until the block ends."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=executable)
        try:
            yield browser
        finally:
            await browser.close()


class Complaints(list):
    """Complaints of the browser's console and the page's scripts."""

    def __init__(self, page):
        super().__init__()
        page.on("console", self._note)
        page.on("pageerror", lambda error: self.append(str(error)))

    def _note(self, message):
        if message.type in ("error", "warning"):
            self.append(message.text)

    def expect_silence(self):
        """Forget the requests that nobody answered."""
        self[:] = [text for text in self if "net::ERR_CONNECTION_REFUSED" not in text]


async def violations(page):
    """Return axe-core's findings as rule and offending elements."""
    await page.evaluate(AXE)  # through the debugger, because the page's policy loads no foreign script
    found = await page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return {violation["id"]: [node["html"] for node in violation["nodes"]] for violation in found["violations"]}
