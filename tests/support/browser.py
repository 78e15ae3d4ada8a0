# SPDX-License-Identifier: Apache-2.0
"""A real Chromium without a screen, and pages of a server in it."""

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.async_api import Browser, ConsoleMessage, Page, async_playwright

from tests.support.world import LIMIT_S

CHROMIUM = shutil.which("chromium")

WIDE, NARROW = {"width": 1200, "height": 760}, {"width": 390, "height": 780}

_OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
)


@contextmanager
def chromium(folder: Path) -> Iterator[str]:
    """Run Chromium with an empty profile; yield where it is told what to do."""
    assert CHROMIUM is not None
    program = [CHROMIUM, *_OPTIONS, f"--user-data-dir={folder}", "about:blank"]
    with subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        try:
            for line in process.stderr:
                if line.startswith(b"DevTools listening on "):
                    break
            else:
                raise AssertionError("Chromium has ended")
            port = urlsplit(line.decode().split()[-1]).port
            with subprocess.Popen(["cat"], stdin=process.stderr, stdout=subprocess.DEVNULL):
                yield f"http://127.0.0.1:{port}"
                process.terminate()
        finally:
            process.kill()


class Seen:
    """What a page says of itself that no person sees: errors, and what its policy kept from it."""

    def __init__(self, page: Page) -> None:
        self.wrong: list[str] = []
        self.asked: set[str] = set()
        self.requests: list[str] = []
        page.on("pageerror", lambda error: self.wrong.append(str(error)))
        page.on("console", self._said)
        page.on("request", lambda request: self._asked(request.url))

    def _asked(self, url: str) -> None:
        self.asked.add(urlsplit(url).netloc)
        self.requests.append(url)

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"} and "Failed to load resource" not in message.text:
            self.wrong.append(message.text)


@asynccontextmanager
async def browsing(at: str) -> AsyncIterator[Browser]:
    """Talk to a Chromium that runs."""
    async with async_playwright() as playwright:
        yield await playwright.chromium.connect_over_cdp(at)


@asynccontextmanager
async def paging(browser: Browser, **options: Any) -> AsyncIterator[tuple[Page, Seen]]:
    """Open a tab of its own, with cookies of its own; it fails where the page has an error."""
    context = await browser.new_context(**{"viewport": WIDE} | options)
    context.set_default_timeout(LIMIT_S * 1000)
    page = await context.new_page()
    seen = Seen(page)
    try:
        yield page, seen
    finally:
        async with asyncio.timeout(LIMIT_S):
            await context.close()
    assert seen.wrong == []


CONTRAST = """() => {
  const parts = (text) => (text.match(/[\\d.]+/g) ?? []).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((each) => each / 255)
    .map((each) => (each <= 0.04045 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4))
    .reduce((sum, each, at) => sum + each * [0.2126, 0.7152, 0.0722][at], 0);
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = parts(getComputedStyle(at).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const found = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let text = walk.nextNode(); text; text = walk.nextNode()) {
    const element = text.parentElement;
    if (!text.data.trim() || !element.checkVisibility() || element.closest("option")) continue;
    const [one, other] = [light(parts(getComputedStyle(element).color)), light(ground(element))];
    const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    found.push([text.data.trim().slice(0, 40), Math.round(ratio * 100) / 100]);
  }
  return found;
}"""
"""Returns each text that can be seen, with the contrast that it has (WCAG 2.2, 1.4.3)."""
