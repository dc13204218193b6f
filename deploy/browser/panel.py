"""A browser on the panel: one operator with one window."""

import asyncio

import world
from axe_playwright_python.async_playwright import Axe
from steps import require
from texts import text

CHROMIUM = "/usr/bin/chromium"
_PATIENCE_MS = 10_000
#: Rules of WCAG 2.2 up to level AA, and what axe-core calls good practice.
_RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}


async def open_browser(playwright):
    """Debian's Chromium. It runs as root in a namespace, where its own sandbox cannot."""
    return await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])


class Panel:
    """A window of its own, with its own cookies."""

    def __init__(self, page, pictures):
        self.page, self._pictures, self._complaints = page, pictures, []
        page.set_default_timeout(_PATIENCE_MS)
        page.on("console", self._said)
        page.on("pageerror", lambda error: self._complaints.append(f"script: {error}"))
        page.on("requestfailed", self._failed)

    @classmethod
    async def open(cls, browser, pictures, **context):
        """A new window; `context` is size, colours, language."""
        context = await browser.new_context(**{"locale": "en-GB", **context})
        return cls(await context.new_page(), pictures)

    async def close(self):
        """Closes the window, and with it the session's cookie is gone."""
        await self.page.context.close()

    async def go(self, path):
        """Opens a page of the panel, which must be there."""
        response = await self.page.goto(path if path.startswith("http") else world.PANEL + path)
        require(response is None or response.status < 400, f"{path} answers {response and response.status}")
        return response

    async def sign_in(self, name, password):
        """Signs in, whether or not that succeeds."""
        await self.go("/sign-in")
        await self.page.locator("#main [name=name]").fill(name)
        await self.page.locator("#main [name=password]").fill(password)
        await self.submit()

    async def is_signed_in(self):
        """Whether the page says who is signed in."""
        return await self.page.locator("header form[action='/sign-out']").count() == 1

    async def write(self, **fields):
        """Writes into fields by their names."""
        for name, value in fields.items():
            await self.page.locator(f"main [name={name}]").first.fill(value)

    async def submit(self):
        """Presses the page's button, and waits for what comes of it."""
        await self.page.locator("main form button").first.click()
        await self.page.wait_for_load_state("networkidle")

    async def press(self, name, **values):
        """Presses the button with this text, and waits for what comes of it."""
        await self.page.locator("main").get_by_role("button", name=text(name, **values), exact=True).first.click()
        await self.page.wait_for_load_state("networkidle")

    async def says(self, words):
        """Waits until the page shows some words."""
        await self.page.get_by_text(words).first.wait_for()

    async def content(self):
        """All text of the page."""
        return await self.page.locator("body").inner_text()

    async def picture(self, name):
        """A picture of the whole page."""
        if self._pictures:
            self._pictures.mkdir(parents=True, exist_ok=True)
            await self.page.screenshot(path=self._pictures / f"{name}.png", full_page=True)

    async def barriers(self):
        """What axe-core finds on the page, one line each."""
        found = await Axe().run(self.page, options=_RULES)
        return [
            f"{violation['id']} ({violation['impact']}): {violation['nodes'][0]['html'][:160]}"
            for violation in found.response["violations"]
        ]

    async def is_wider_than_its_window(self):
        """Whether the page has to be scrolled sideways."""
        return await self.page.evaluate("document.documentElement.scrollWidth > window.innerWidth + 1")

    def complaints(self):
        """What the browser has complained about: scripts, styles and resources that were refused."""
        return list(self._complaints)

    def _said(self, message):
        if message.type == "error" and "status of 4" not in message.text:
            self._complaints.append(f"console: {message.text}")

    def _failed(self, request):
        # A page that is left cancels what it was loading.
        if "ERR_ABORTED" not in (request.failure or ""):
            self._complaints.append(f"{request.url}: {request.failure}")


async def soon(look, expected, patience=10.0):
    """Waits until an asynchronous look finds something."""
    loop = asyncio.get_running_loop()
    give_up_at = loop.time() + patience
    while not (found := await look()):
        require(loop.time() < give_up_at, f"waited {patience:.0f} s until {expected}")
        await asyncio.sleep(0.1)
    return found
