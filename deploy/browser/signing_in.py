"""The first start, accounts, signing in and out."""

import world
from steps import require, step
from texts import text

ADMINISTRATOR = ("olivia", "four plain words suffice")
VIEWER = ("victor", "may look and not touch")
CARELESS = ("carla", "forgets what she has typed")
#: Wrong passwords after which an account waits; more of them, and everybody who comes from there waits, too.
_WRONG = 6


@step("a browser", "the set-up link of the first start makes the administrator", within=30)
async def set_up(stage):
    panel = stage.operator = await stage.window()
    link = world.set_up_link()
    await panel.go(link)
    await panel.picture("set-up")
    await panel.write(name=ADMINISTRATOR[0], password="short", again="short")
    await panel.submit()
    await panel.says(text("fault-password-short", least=12))
    await panel.write(name=ADMINISTRATOR[0], password=ADMINISTRATOR[1], again=ADMINISTRATOR[1])
    await panel.submit()
    await panel.says(text("set-up-done"))
    stage.memory["set-up link"] = link
    return "a password that is too short is refused, then the account is there"


@step("a browser", "opens the set-up link again")
async def set_up_once(stage):
    panel = await stage.window()
    await panel.page.goto(stage.memory["set-up link"])
    require(text("set-up-expired")[:30] in await panel.content(), "the link opens a second time")
    await panel.close()
    return "refused: it is used up"


@step("olivia", "signs in", within=20)
async def sign_in(stage):
    panel = stage.operator
    await panel.sign_in("olivia", "a wrong password")
    await panel.says(text("sign-in-failed")[:20])
    await panel.picture("sign-in-refused")
    await panel.sign_in(*ADMINISTRATOR)
    require(await panel.is_signed_in(), "the right password does not sign in")
    return "after a wrong password, with the right one"


@step("olivia", "makes accounts for a viewer and for a careless colleague", within=30)
async def accounts(stage):
    panel = stage.operator
    for name, password in (VIEWER, CARELESS):
        await panel.go("/accounts")
        form = panel.page.locator("form[action='/accounts']")
        await form.locator("[name=name]").fill(name)
        await form.locator("[name=role][value=ViewOnlyAdministrator]").check()
        await form.locator("[name=password]").fill(password)
        await form.locator("[name=again]").fill(password)
        await form.locator("button").click()
        await panel.says(text("account-created", name=name))
    await panel.picture("accounts")
    return "both are there"


@step("olivia", "makes a token for a script", within=20)
async def token(stage):
    panel = stage.operator
    await panel.go("/accounts")
    form = panel.page.locator("form[action='/tokens']")
    await form.locator("[name=label]").fill("browser tests")
    await form.locator("[name=account]").select_option(ADMINISTRATOR[0])
    for scope in await form.locator("[name=scope]").all():
        if await scope.get_attribute("value") != "archive":
            await scope.check()
    await form.locator("button").click()
    stage.memory["token"] = await panel.page.locator("#secret").inner_text()
    await panel.go("/accounts")
    require(stage.memory["token"] not in await panel.page.content(), "the token is shown a second time")
    return "it is shown once"


@step("carla", "types wrong passwords until the right one is not taken either", within=60)
async def lock_out(stage):
    panel = await stage.window()
    for _ in range(_WRONG):
        await panel.sign_in(CARELESS[0], "it was something with a cat")
    await panel.sign_in(*CARELESS)
    require(not await panel.is_signed_in(), f"after {_WRONG} wrong passwords the right one is taken at once")
    await panel.close()
    return f"refused after {_WRONG} wrong ones"


@step("victor", "signs in, signs out, and goes back", within=30)
async def sign_out(stage):
    panel = stage.viewer = await stage.window()
    await panel.sign_in(*VIEWER)
    require(await panel.is_signed_in(), "the right password does not sign in")
    await panel.page.locator("header form[action='/sign-out'] button").click()
    await panel.page.wait_for_load_state("networkidle")
    answer = await panel.page.goto(f"{world.PANEL}/accounts")
    require(not await panel.is_signed_in() and answer.status in (200, 401, 403), f"signed out, and answered {answer.status}")
    await panel.sign_in(*VIEWER)
    require(await panel.is_signed_in(), "he cannot sign in again")
    return "without a session the page asks to sign in"
