"""What has to hold on every page there is: found by following the links, so that a new page is looked at, too."""

import re
import urllib.parse

import world
from signing_in import ADMINISTRATOR
from steps import require, step
from texts import LANGUAGES, text

#: One page of each kind is enough, and so many kinds there are not.
_MOST = 80
_PHONE = {"viewport": {"width": 360, "height": 740}, "is_mobile": True, "has_touch": True}
#: What only a script may follow, or what is no page.
_NO_PAGE = re.compile(r"\.(svg|txt|json|pem|csv|ndjson)$|^/api/|/ladder/|/export|/download|/events")


def _kind(path):
    """The path without names and numbers."""
    return "/".join("*" if re.search(r"[.\d@:%]", part) else part for part in path.split("/"))


async def _every_page(panel):
    """Goes to one page of each kind, breadth first; yields its path."""
    waiting, seen = ["/"], set()
    while waiting and len(seen) < _MOST:
        path = waiting.pop(0)
        if _kind(path) in seen:
            continue
        seen.add(_kind(path))
        response = await panel.page.goto(world.PANEL + path)
        await panel.page.wait_for_load_state("domcontentloaded")
        require(response.status < 500, f"{path} answers {response.status}")
        yield path, response.status
        for href in await panel.page.locator("nav.side a, main a").evaluate_all("all => all.map(a => a.href)"):
            split = urllib.parse.urlsplit(href)
            if href.startswith(world.PANEL) and not _NO_PAGE.search(split.path):
                waiting.append(split.path + (f"?{split.query}" if split.query and _kind(split.path) == split.path else ""))


def _name(path):
    return re.sub(r"[^a-z0-9]+", "-", path.strip("/").lower()) or "overview"


@step("axe-core", "looks for barriers on every page, light and dark", within=600)
async def no_barriers(stage):
    found, pages = [], []
    for scheme in ("light", "dark"):
        panel = await stage.window(color_scheme=scheme)
        await panel.sign_in(*ADMINISTRATOR)
        async for path, _ in _every_page(panel):
            pages.append(path)
            await panel.picture(f"{scheme}-{_name(path)}")
            found += [f"{path} ({scheme}): {barrier}" for barrier in await panel.barriers()]
            if not await panel.page.locator("h1").count() == 1:
                found.append(f"{path}: not one heading of the first order")
        found += panel.complaints()
        await panel.close()
    require(not found, "\n    ".join(["", *sorted(set(found))]))
    return f"none on {len(pages)} pages"


@step("a phone", "shows every page without scrolling sideways", within=300)
async def narrow(stage):
    wide, pages = [], 0
    panel = await stage.window(**_PHONE)
    await panel.sign_in(*ADMINISTRATOR)
    async for path, _ in _every_page(panel):
        pages += 1
        await panel.picture(f"phone-{_name(path)}")
        if await panel.is_wider_than_its_window():
            wide.append(path)
    await panel.close()
    require(not wide, f"wider than a phone: {', '.join(wide)}")
    return f"{pages} pages, 360 pixels wide"


@step("olivia", "reads every page in four languages", within=300)
async def languages(stage):
    wrong, pages = [], 0
    for language in LANGUAGES:
        panel = await stage.window()
        await panel.sign_in(*ADMINISTRATOR)
        await panel.page.locator(f"footer button[name=language][value={language}]").click()
        await panel.page.wait_for_load_state("networkidle")
        async for path, _ in _every_page(panel):
            pages += 1
            shown = await panel.content()
            tag = await panel.page.locator("html").get_attribute("lang")
            if not tag.startswith(language):
                wrong.append(f"{path}: {tag} instead of {language}")
            if text("sign-out", language) not in shown:
                wrong.append(f"{path}: not in {language}")
            # A text that is missing shows its name, or what it should have been given.
            wrong += [f"{path} ({language}): {bare}" for bare in re.findall(r"\{ ?\$?[\w-]+ ?\}|\?\?[\w-]+", shown)]
        if language == "zh":
            await panel.go("/partners" if "partners-title" in _names() else "/accounts")
            await panel.picture("chinese")
        await panel.close()
    require(not wrong, "\n    ".join(["", *wrong[:30]]))
    return f"{pages} pages, each wholly in its language"


@step("victor", "sees every page, and can change nothing", within=120)
async def viewer_changes_nothing(stage):
    panel, could, pages = stage.viewer, [], 0
    async for path, status in _every_page(panel):
        if status >= 400:
            continue
        pages += 1
        harmless = {"/sign-out", "/sign-out-everywhere", "/password", "/preferences"}
        forms = await panel.page.locator("main form[method=post]").evaluate_all("all => all.map(form => form.getAttribute('action'))")
        could += [f"{path}: {action}" for action in forms if action not in harmless]
    token = await panel.page.locator("body").get_attribute("hx-headers")
    answers = await panel.page.evaluate(
        """async (headers) => Promise.all(["/accounts", "/tokens", "/partners/new", "/settings"].map(async (path) =>
             [path, (await fetch(path, {method: "POST", headers, body: new URLSearchParams({domain: "evil.example"})})).status]))""",
        {**__import__("json").loads(token), "Content-Type": "application/x-www-form-urlencoded"},
    )
    could += [f"POST {path} answered {status}" for path, status in answers if status < 400]
    require(not could, "\n    ".join(["", *could]))
    return f"{pages} pages without a form, and what is posted anyway is refused"


def _names():
    import texts

    return texts.names()
