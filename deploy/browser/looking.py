"""What an operator looks at: streams, verdicts, ladders, and why somebody sees somebody like this."""

import pathlib

import observe
from cast import ALICE, BOB
from steps import require, step
from texts import text

FABRIKAM, NORTHWIND = "fabrikam.example", "northwind.example"
_SECRET = "Nobody but Bob shall read this: Öl und Käse."


@step("olivia", "sees fabrikam's live streams, with method, TLS and certificate", within=30)
async def streams(stage):
    panel = stage.operator
    await observe.message_to_xmpp(stage, BOB, stage.bob, "One for the stream.")
    await panel.go(f"/streams?partner={FABRIKAM}")
    await panel.page.locator("main details").evaluate_all("all => all.forEach(details => { details.open = true; })")
    await panel.picture("streams")
    said = await panel.page.locator("#live").inner_text()
    for wanted in (FABRIKAM, "edge-1", "sasl", "TLS", "127.0.10.1"):
        require(wanted.lower() in said.lower(), f"it does not say {wanted}: {said[:400]}")
    return "both servers, how they proved it, until when"


@step("olivia", "closes a stream, and messages go on", within=60)
async def close_stream(stage):
    panel = stage.operator
    await panel.go(f"/streams?partner={FABRIKAM}")
    await panel.page.locator("#live form[action='/streams/close'] button").first.click()
    await panel.page.wait_for_load_state("networkidle")
    require(await panel.page.locator("main .notice").count() > 0, "the page does not say what became of it")
    await panel.picture("stream-closed")
    await observe.message_to_xmpp(stage, BOB, stage.bob, "Over a new stream.")
    await observe.message_to_sip(stage, stage.bob, "And back.")
    return "the next message opens a new one"


@step("olivia", "reads why northwind.example cannot be reached, and probes it", within=90)
async def verdicts(stage):
    panel = stage.operator
    response = await stage.alice.send(f"nobody@{NORTHWIND}", "Is there anybody?")
    require(response.status >= 400, f"a message to nowhere is answered {response.status}")
    await panel.go(f"/verdicts?partner={NORTHWIND}")
    said = await panel.content()
    require("SRV" in said and text("remedy") in said, f"it says {said[:600]}")
    await panel.picture("verdicts")
    probe = panel.page.locator("form[action='/verdicts/probe'] button")
    await probe.click(timeout=5_000)
    await panel.page.wait_for_load_state("networkidle", timeout=70_000)
    require(text("probe-unreachable") in await panel.content(), "the probe does not say that it cannot be reached")
    await panel.picture("probe-failed")
    await panel.go(f"/verdicts?partner={FABRIKAM}")
    await panel.page.locator("form[action='/verdicts/probe'] button").click()
    await panel.page.wait_for_load_state("networkidle", timeout=70_000)
    require(text("probe-reachable") in await panel.content(), "fabrikam cannot be reached")
    await panel.picture("probe-well")
    return "the cause, the remedy, and the rungs of both probes"


@step("olivia", "draws alice's and bob's conversation as a ladder", within=60)
async def ladder(stage):
    panel = stage.operator
    await observe.message_to_xmpp(stage, BOB, stage.bob, _SECRET)
    await panel.go(f"/ladder?local={ALICE}&remote={BOB}")
    drawn = panel.page.locator("main svg").first
    await drawn.wait_for()
    await panel.picture("ladder")
    said = await drawn.evaluate("svg => svg.textContent")
    require("MESSAGE" in said and "message" in said, f"the ladder shows neither side: {said[:300]}")
    require(_SECRET not in await panel.page.content(), "the ladder shows what she wrote")
    require(not (found := await panel.barriers()), found)
    for kind, begins in (("download-svg", "<svg"), ("download-text", "")):
        async with panel.page.expect_download() as download:
            await panel.page.get_by_role("link", name=text(kind), exact=True).click()
        content = pathlib.Path(await (await download.value).path()).read_text(encoding="utf-8")
        require(content.lstrip().startswith(("<?xml", begins)) and "MESSAGE" in content, f"{kind}: {content[:200]}")
        require(_SECRET not in content, f"{kind} shows what she wrote")
    return "both protocols, as picture, SVG and text, without what was written"


@step("olivia", "asks why bob sees alice as he does", within=30)
async def explain(stage):
    panel = stage.operator
    await panel.go(f"/explain?local={ALICE}&remote={BOB}")
    await panel.picture("explain")
    said = await panel.content()
    require(ALICE in said and BOB in said, f"it says {said[:400]}")
    require(not (found := await panel.barriers()), found)
    return "the page answers for the pair"


@step("olivia", "turns message bodies on, sees the banner, and turns them off", within=60)
async def bodies(stage):
    panel = stage.operator
    for is_on in (True, False):
        await panel.go("/settings")
        await panel.page.locator("[name=enable_logging_all_message_bodies]").set_checked(is_on)
        await panel.page.locator("main button[name=do][value=commit]:not([aria-hidden])").click()
        await panel.page.wait_for_load_state("networkidle")
        if await panel.page.locator("#confirm").count():
            await panel.press("confirm-commit")
        await panel.says(text("settings-changed"))
        await panel.go("/partners")
        shown = await panel.page.locator(".banner").count() == 1
        require(shown == is_on, f"on is {is_on}, and the banner is {'there' if shown else 'not there'}")
        if is_on:
            await panel.picture("banner")
    return "the banner is there only as long"
