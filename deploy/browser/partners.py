"""Partners on the page: made, refused, edited on live streams, by two at once, with the keyboard alone."""

import observe
from cast import BOB, DAVE
from signing_in import ADMINISTRATOR
from steps import require, step
from texts import piece, text

FABRIKAM = "fabrikam.example"
_COMMIT = "main button[name=do][value=commit]:not([aria-hidden])"
#: TLS, SASL, dialback of the rows of the published table that are refused: SASL needs TLS.
_REFUSED = {5: ("Required", True), 6: ("Required", False), 11: ("Optional", True), 12: ("Optional", False)}


async def _open(panel, domain=None):
    """The form of a partner, or of a new one, with everything on it unfolded."""
    await panel.go(f"/partners/{domain}" if domain else "/partners/new")
    await panel.page.locator("main details").evaluate_all("all => all.forEach(details => { details.open = true; })")


async def _fill(panel, **keys):
    """Writes into the form: texts, choices and flags by their keys."""
    for key, value in keys.items():
        field = panel.page.locator(f"main [name={key}]")
        kind = await field.first.evaluate("field => field.type")
        if kind == "radio":
            await panel.page.locator(f"main [name={key}][value={value}]").check()
        elif kind == "checkbox":
            await field.set_checked(value)
        elif kind.startswith("select"):
            await field.select_option(value)
        else:
            await field.fill(value)


async def commit(panel):
    await panel.page.locator(_COMMIT).click()
    await panel.page.wait_for_load_state("networkidle")


async def _is_listed(panel, domain):
    await panel.go("/partners")
    return await panel.page.locator("main table th[scope=row]", has_text=domain).count() > 0


async def _committed(panel, name, domain):
    """The receipt: all edges work by it."""
    await panel.says(text(name, domain=domain))
    require(text("edge-in-force") in await panel.content(), "no edge works by it already")


@step("olivia", "is refused what cannot be a partner, at the field where it was typed", within=60)
async def bad_domains(stage):
    panel = stage.operator
    for typed, expected in [
        ("", "fault-missing"),
        ("not a domain", "fault-unparsable"),
        ("bob@fabrikam.example", "fault-unparsable"),
        ("*.fabrikam.example", "fault-unparsable"),
        ("contoso.example", "fault-own-domain"),
        ("wingtip.example", "refusal-declared"),
        ("f\u0430brikam.example", "fault-mixed-scripts"),
    ]:
        await _open(panel)
        await _fill(panel, domain=typed)
        await commit(panel)
        said = await panel.content()
        require(piece(expected) in said, f"“{typed}”: not {expected}, but {said[:400]!r}")
        require(await panel.page.locator("#domain[aria-invalid=true]").count() == 1, f"“{typed}”: the field is not marked")
    await panel.picture("partner-look-alike")
    require(not (found := await panel.barriers()), found)
    return "seven kinds of wrong domain"


@step("olivia", "allows fabrikam.example on the page", within=30)
async def create_partner(stage):
    panel = stage.operator
    await _open(panel)
    await panel.picture("partner-new")
    await _fill(panel, domain=FABRIKAM, description="Prosody", partner_type="Federated", allow_private_addresses=True)
    await commit(panel)
    # A warning is asked about once.
    if await panel.page.locator("#confirm").count():
        await panel.press("confirm-commit")
    await _committed(panel, "partner-created", FABRIKAM)
    await panel.picture("partner-receipt")
    return "the receipt says that the edge works by it"


@step("alice, bob", "write to each other at once", within=30)
async def it_federates(stage):
    await observe.message_to_xmpp(stage, BOB, stage.bob, "Are you there?")
    await observe.message_to_sip(stage, stage.bob, "As of now.")
    return "one message each way, without a restart"


@step("olivia", "is refused the rows of the matrix in which SASL lacks TLS", within=60)
async def refused_rows(stage):
    panel = stage.operator
    for row, (sasl, dialback) in _REFUSED.items():
        await _open(panel)
        await _fill(panel, domain="adatum.example", tls_negotiation="NotSupported", sasl_negotiation=sasl)
        await _fill(panel, support_dialback_negotiation=dialback)
        await panel.says(text("methods-row", row=row))
        shown = await panel.page.locator("#methods").inner_text()
        require(text("methods-none") in shown and "SASL" in shown, f"row {row}: {shown}")
        await commit(panel)
        require(await panel.page.locator("#faults").count() == 1, f"row {row} is not refused")
        await panel.picture(f"matrix-row-{row}")
        await panel.page.locator("#methods button[value^=remedy-]").first.click()
        await panel.page.wait_for_load_state("networkidle")
        require(await panel.page.locator("#methods li").count() > 0, f"row {row}: the remedy leaves no method")
    require(not await _is_listed(panel, "adatum.example"), "a refused partner was saved")
    return "rows 5, 6, 11, 12; nothing is saved, and the remedy beside it permits a method"


@step("olivia", "is asked twice about what is weak", within=30)
async def warnings(stage):
    panel = stage.operator
    await _open(panel)
    await _fill(panel, domain="adatum.example", tls_negotiation="Optional", sasl_negotiation="Required")
    await commit(panel)
    await panel.page.locator("#confirm").wait_for()
    said = await panel.page.locator("#confirm").inner_text()
    await panel.picture("partner-confirm")
    require(text("warning-plaintext-permitted") in said, f"it says {said}")
    require(not (found := await panel.barriers()), found)
    await panel.press("confirm-commit")
    await _committed(panel, "partner-created", "adatum.example")
    return "plaintext is permitted only after a second look"


@step("olivia", "edits fabrikam.example while its stream lives", within=60)
async def edit_live(stage):
    panel = stage.operator
    before = observe.count("edge-proxy", "causeway_edge_streams_authenticated_total")
    await _open(panel, FABRIKAM)
    await _fill(panel, partner_type="PublicUnverified")
    await commit(panel)
    if await panel.page.locator("#confirm").count():
        await panel.press("confirm-commit")
    await _committed(panel, "partner-changed", FABRIKAM)
    await panel.picture("partner-edited")
    refused = stage.bob.send(DAVE, "Do I know you?")
    await observe.until("bob's message to a stranger is refused", lambda: stage.bob.error_for(refused))
    await _open(panel, FABRIKAM)
    await _fill(panel, partner_type="Federated")
    await commit(panel)
    if await panel.page.locator("#confirm").count():
        await panel.press("confirm-commit")
    await _committed(panel, "partner-changed", FABRIKAM)
    stage.bob.send(DAVE, "Now I do.")
    await observe.until("dave reads it", lambda: observe.read_by_phone(stage.dave, "Now I do."))
    after = observe.count("edge-proxy", "causeway_edge_streams_authenticated_total")
    return f"a stranger is refused, then let in again; {after - before:.0f} new streams"


@step("olivia, in two windows", "changes one partner twice", within=60)
async def two_editors(stage):
    first = stage.operator
    second = await stage.window()
    await second.sign_in(*ADMINISTRATOR)
    await _open(first, FABRIKAM)
    await _open(second, FABRIKAM)
    await _fill(first, description="Prosody, first window")
    await commit(first)
    await _fill(second, connection_limit="7")
    await commit(second)
    await second.page.locator("#conflict").wait_for()
    await second.picture("partner-conflict")
    require(not (found := await second.barriers()), found)
    require("Prosody, first window" in await second.content(), "the second window does not show the first one's change")
    await commit(second)
    await _committed(second, "partner-changed", FABRIKAM)
    await _open(first, FABRIKAM)
    kept = await first.page.locator("#description").input_value(), await first.page.locator("#connection_limit").input_value()
    require(kept == ("Prosody, first window", "7"), f"in the end it is {kept}")
    await second.close()
    return "the second is told, and both changes are kept"


@step("olivia", "looks at a partner of gateway.toml")
async def of_the_file(stage):
    panel = stage.operator
    await panel.go("/partners/wingtip.example")
    await panel.picture("partner-of-the-file")
    require(text("partner-read-only") in await panel.content(), "it does not say where it comes from")
    require(await panel.page.locator("main form").count() == 0, "it can be changed")
    return "it is shown, with where to change it"


async def _tab_to(panel, selector, most=120):
    for _ in range(most):
        await panel.page.keyboard.press("Tab")
        if await panel.page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
    require(False, f"{selector} is not reached in {most} steps")


@step("olivia", "makes a partner with the keyboard alone", within=60)
async def keyboard_only(stage):
    panel, keyboard = stage.operator, stage.operator.page.keyboard
    await panel.go("/partners")
    await _tab_to(panel, "a[href='/partners/new']")
    await keyboard.press("Enter")
    await panel.page.locator("#domain").wait_for()
    await _tab_to(panel, "a.skip")
    await keyboard.press("Enter")
    await _tab_to(panel, "#domain")
    await keyboard.type("litware.example")
    await _tab_to(panel, "[name=partner_type]")
    seen = await panel.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    require(seen != "none", "where the focus is cannot be seen")
    await keyboard.press("ArrowUp")
    await _tab_to(panel, "#sasl_negotiation")
    await keyboard.press("ArrowDown")
    await _tab_to(panel, _COMMIT)
    await keyboard.press("Enter")
    await panel.page.wait_for_load_state("networkidle")
    if await panel.page.locator("#confirm").count():
        await _tab_to(panel, "button[value=confirm]")
        await keyboard.press("Enter")
    await _committed(panel, "partner-created", "litware.example")
    await _open(panel, "litware.example")
    made = await panel.page.locator("[name=partner_type]:checked").get_attribute("value")
    sasl = await panel.page.locator("#sasl_negotiation").input_value()
    return f"litware.example: {made}, SASL {sasl}"


@step("olivia", "removes a partner, after a question", within=30)
async def remove_partner(stage):
    panel = stage.operator
    await panel.go("/partners/litware.example/delete")
    await panel.picture("partner-delete")
    require(not (found := await panel.barriers()), found)
    await panel.press("partner-delete")
    await panel.says(text("partner-removed", domain="litware.example"))
    require(not await _is_listed(panel, "litware.example"), "it is still there")
    return "it is gone"


@step("victor", "sees the partners and has no form", within=20)
async def viewer_reads(stage):
    panel = stage.viewer
    await panel.go("/partners")
    require(FABRIKAM in await panel.content(), "he does not see them")
    require(await panel.page.locator("main a[href='/partners/new']").count() == 0, "he is offered to make one")
    answer = await panel.page.goto(panel.page.url.replace("/partners", "/partners/new"))
    require(answer.status == 403, f"the form is answered with {answer.status}")
    return "reading yes, changing no"
