"""The dashboard on a loopback port, and a headless Chromium that is signed in."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import uvicorn
from playwright.async_api import Browser, ConsoleMessage, Error, Page, async_playwright
from tests.unit.web_stage import PASSWORD, Dashboard, dashboard

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


# Whenever a container's network comes or goes on this machine, Chromium ends every connection.
_MOVED = "ERR_NETWORK_CHANGED"


async def go(page: Page, url: str) -> None:
    """Open an address, again when the machine's networks changed meanwhile."""
    for _ in range(5):
        try:
            await page.goto(url)
            return
        except Error as error:
            if _MOVED not in error.message:
                raise
    await page.goto(url)


@dataclass
class Site:
    url: str
    dashboard: Dashboard
    browser: Browser
    wrong: list[str] = field(default_factory=list)
    """What the browser's console complained of."""

    async def page(
        self, scheme: str = "light", width: int = 1280, height: int = 900, *, signed_in: bool = True
    ) -> Page:
        """A new window, with cookies of its own."""
        context = await self.browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if scheme == "dark" else "light",
            reduced_motion="reduce",
            permissions=["clipboard-read", "clipboard-write"],
        )
        page = await context.new_page()
        page.set_default_timeout(10_000)
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.wrong.append(str(error)))
        if signed_in:
            await go(page, f"{self.url}/login")
            await page.get_by_label("Name").fill("admin")
            await page.get_by_label("Password").fill(PASSWORD)
            await page.get_by_role("button", name="Sign in").click()
            await page.get_by_role("heading", name="Apps", exact=True).wait_for()
        return page

    def _said(self, message: ConsoleMessage) -> None:
        # The second is how a live part says that it connects again.
        if message.type == "error" and _MOVED not in message.text and message.text != "[object Event]":
            self.wrong.append(message.text)


@asynccontextmanager
async def browsing(home: Path, *, seeded: bool = True) -> AsyncIterator[Site]:
    """Everything up, and down again."""
    async with dashboard(home, seeded=seeded, samples=True) as made:
        with socket.socket() as listening:
            listening.bind(("127.0.0.1", 0))
            config = uvicorn.Config(made.app, log_level="error", access_log=False, timeout_graceful_shutdown=1)
            server = uvicorn.Server(config)
            serving = asyncio.create_task(server.serve([listening]))
            async with async_playwright() as playwright:
                browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS])
                try:
                    yield Site(f"http://localhost:{listening.getsockname()[1]}", made, browser)
                finally:
                    await browser.close()
            server.should_exit = True
            await serving
