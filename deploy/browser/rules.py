"""Settings for all partners, who may reach them, and the journal of all that."""

import observe
from cast import ALICE, BOB
from partners import commit
from signing_in import ADMINISTRATOR
from steps import require, step
from texts import piece, text


async def _confirmed(panel):
    """Says so again, where the page asks."""
    if await panel.page.locator("#confirm").count():
        await panel.press("confirm-commit")


@step("olivia", "changes the gateway settings, and is refused what is out of range", within=60)
async def settings(stage):
    panel = stage.operator
    await panel.go("/settings")
    await panel.picture("settings")
    await panel.write(keep_alive_interval_secs="900", stream_inactivity_timeout_secs="600", connection_limit="0")
    await commit(panel)
    said = await panel.page.locator("#faults").inner_text()
    require(piece("fault-number-range") in said and piece("fault-not-less-than") in said, f"it says {said}")
    await panel.picture("settings-refused")
    await panel.go("/settings")
    await panel.write(keep_alive_interval_secs="240")
    await commit(panel)
    await _confirmed(panel)
    await panel.says(text("settings-changed"))
    await panel.go("/settings")
    kept = await panel.page.locator("[name=keep_alive_interval_secs]").input_value()
    require(kept == "240", f"it is {kept}")
    return "both mistakes are told at once; the good change is kept"


@step("olivia", "takes XMPP from everybody but alice", within=60)
async def policies(stage):
    panel = stage.operator
    for identity, access in (("Global", False), ("Tag:Sales", True)):
        await panel.go("/policies/new")
        await panel.write(identity=identity)
        await panel.page.locator("[name=enable_xmpp_access]").set_checked(access)
        await panel.press("commit")
        await _confirmed(panel)
        await panel.says(text("policy-changed", identity=identity))
    await panel.go("/grants")
    await panel.page.locator("form [name=user]").first.fill(ALICE)
    await panel.page.locator("form [name=policy]").first.select_option(index=0)
    await panel.press("grant-commit")
    await panel.picture("grants")
    await panel.go("/policies?user=dave%40contoso.example")
    await panel.picture("policies")
    require(text("policies-user-may-not") in await panel.content(), "dave may still")
    await panel.go("/policies?user=alice%40contoso.example")
    require(text("policies-user-may") in await panel.content(), "alice may not")
    response = await stage.dave.send(BOB, "Am I allowed?")
    require(response.status >= 400, f"dave is answered {response.status}")
    await observe.message_to_xmpp(stage, BOB, stage.bob, "I am.")
    return f"dave is answered {response.status}, alice goes on"


@step("olivia", "gives XMPP back to everybody", within=60)
async def policies_removed(stage):
    panel = stage.operator
    await panel.go("/policies/Global")
    await panel.page.locator("[name=enable_xmpp_access]").set_checked(True)
    await panel.press("commit")
    await _confirmed(panel)
    await panel.says(text("policy-changed", identity="Global"))
    observe.ok(await stage.dave.send(BOB, "Now I am."))
    return "dave's message is taken"


@step("olivia", "reads in the journal what she has done, and has its chain verified", within=60)
async def journal(stage):
    panel = stage.operator
    await panel.go("/journal")
    await panel.picture("journal")
    said = await panel.content()
    for action in ("policy.grant", "settings.set", "partner.set"):
        require(action in said, f"{action} is not in it")
    require(ADMINISTRATOR[0] in said, "it does not say who")
    await panel.go("/journal/verify")
    await panel.page.wait_for_load_state("networkidle")
    await panel.picture("journal-verified")
    require(await panel.page.locator(".notice.good").count() == 1, await panel.content())
    return "everything is there, and the chain holds"
