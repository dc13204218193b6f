"""The first start, and signing in and out."""

import world
from steps import require, step
from texts import text

ADMINISTRATOR = ("olivia", "four plain words suffice")
VIEWER = ("victor", "may look and not touch")


@step("a browser", "the set-up link of the first start makes the administrator", within=30)
async def set_up(stage):
    panel = stage.operator = await stage.window()
    link = world.set_up_link()
    await panel.go(link)
    await panel.picture("set-up")
    require(not (found := await panel.barriers()), found)
    await panel.fill("account-name", ADMINISTRATOR[0])
    await panel.fill("password-new", ADMINISTRATOR[1])
    await panel.fill("password-again", ADMINISTRATOR[1])
    await panel.page.locator("main button").click()
    await panel.page.wait_for_load_state("networkidle")
    stage.memory["set-up link"] = link
    return "the account is there"


@step("a browser", "the link is used up")
async def set_up_once(stage):
    panel = await stage.window()
    await panel.page.goto(stage.memory["set-up link"])
    words = text("set-up-expired")[:30]
    require(words in await panel.content(), "the link opens a second time")
    await panel.close()
    return "refused"


@step("olivia", "signs in", within=20)
async def sign_in(stage):
    panel = stage.operator
    await panel.sign_in("olivia", "a wrong password")
    await panel.says(text("sign-in-failed")[:20])
    await panel.picture("sign-in")
    await panel.sign_in(*ADMINISTRATOR)
    await panel.page.get_by_role("button", name=text("sign-out"), exact=True).wait_for()
    return "after a wrong password, with the right one"
