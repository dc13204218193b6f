#!/usr/bin/python3
"""conversation.py: real clients talk across the whole road, and every step says what was seen.

usage: conversation.py [--list] [--until-failure] [STEP...]

Without names all steps are played, in order; most build on those before them. It starts from the empty memory of a
fresh `up`, and starts one itself when there is none. The last line counts; the exit code is 0 when nothing failed.
"""

import asyncio
import sys

import environment
import observe
import parties
import steps
from cast import ALICE, BOB, CAROL, DAVE, EVE, MALLORY, Cast
from steps import require, step, until

NOTE = "Im Gespräch, zurück um ½4 ☕"
STATUS = "Quartalsabschluss – später 🙂"

# The SIP side alone, so that a fault of the pool is not taken for one of ours.


@step("alice@contoso, dave@contoso", "talk inside the pool")
async def pool_works(cast):
    await observe.message_in_pool(cast.dave, cast.alice, DAVE, "Mittag?")
    await observe.message_in_pool(cast.alice, cast.dave, ALICE, "Ja, 12 Uhr ✔")
    return "both messages answered 200 and read"


# Presence, both ways.


@step("bob@fabrikam → alice@contoso", "asks to see her")
async def bob_subscribes(cast):
    observe.ok(await cast.alice.publish(activity="on-the-phone", note=NOTE))
    cast.bob.subscription(ALICE, "subscribe")
    await until("bob is subscribed", lambda: cast.bob.last_presence(ALICE, "subscribed"))
    seen = await observe.bob_sees(
        cast, "her note and that she is on the phone", lambda p: p.show == "dnd" and p.status == NOTE
    )
    return f"subscribed; bob sees {seen}"


@step("alice@contoso → bob@fabrikam", "asks to see him")
async def alice_subscribes(cast):
    cast.bob.publish("away", STATUS)
    cast.alice_watches_bob, response = await cast.alice.watch(BOB)
    observe.ok(response)
    await until("the subscription is pending", lambda: cast.alice_watches_bob.state == "pending")
    await until("bob is asked", lambda: cast.bob.last_presence(ALICE, "subscribe"))
    cast.bob.subscription(ALICE, "subscribed")
    await until("the subscription is active", lambda: cast.alice_watches_bob.state == "active")
    seen = await observe.alice_sees_bob(
        cast, "bob away, with his status", lambda d: "away" in d.shows and d.says(STATUS)
    )
    return f"pending, active after bob agreed; alice sees {seen}"


@step("alice@contoso → bob@fabrikam", "changes what she shows")
async def alice_changes(cast):
    observe.ok(await cast.alice.publish(activity="away", note="kurz draußen"))
    seen = await observe.bob_sees(cast, "her away", lambda p: p.show == "away" and p.status == "kurz draußen")
    observe.ok(await cast.alice.publish())
    return f"{seen}, then {await observe.bob_sees(cast, 'her free', lambda p: (p.show, p.status) == ('', ''))}"


@step("bob@fabrikam → alice@contoso", "changes what he shows", within=20)
async def bob_changes(cast):
    cast.bob.publish("dnd", "bitte nicht stören")
    seen = await observe.alice_sees_bob(cast, "bob busy", lambda d: "dnd" in d.shows and d.says("bitte nicht stören"))
    cast.bob.publish("chat")
    free = await observe.alice_sees_bob(
        cast, "bob ready to chat", lambda d: d.shows == ["chat"] and not d.says("bitte nicht stören")
    )
    return f"{seen}, then {free}"


@step("alice@contoso → bob@fabrikam", "renews her subscription")
async def alice_refreshes(cast):
    notifies = cast.alice_watches_bob.notifies
    observe.ok(await cast.alice_watches_bob.refresh())
    await until("a NOTIFY with the whole state", lambda: cast.alice_watches_bob.notifies > notifies)
    require(cast.alice_watches_bob.document.open, "the state that came back says bob is not there")
    return f"200, and at once {cast.alice_watches_bob.document}"


@step("bob@fabrikam → alice@contoso", "logs out and in again", within=25)
async def bob_leaves_and_returns(cast):
    await cast.bob.stop()
    await observe.alice_sees_bob(cast, "bob gone", lambda d: not d.open)
    require(cast.alice_watches_bob.state == "active", f"the subscription is {cast.alice_watches_bob.state}")
    await cast.bob.start()
    await observe.alice_sees_bob(cast, "bob back", lambda d: d.open)
    seen = await observe.bob_sees(cast, "alice, after his login", lambda p: p.kind == "available")
    return f"closed, then open; the subscription stayed active, and bob sees alice {seen} without asking"


@step("alice@contoso → bob@fabrikam", "goes offline and comes back")
async def alice_leaves_and_returns(cast):
    observe.ok(await cast.alice.publish(is_open=False))
    await observe.bob_sees(cast, "her gone", lambda p: p.kind == "unavailable")
    observe.ok(await cast.alice.publish(note="wieder da"))
    seen = await observe.bob_sees(cast, "her back", lambda p: p.kind == "available" and p.status == "wieder da")
    return f"unavailable, then {seen}"


# Messages, both ways, and what comes back when there is nobody.


@step("bob@fabrikam → alice@contoso", "writes")
async def bob_writes(cast):
    text = "Grüß dich, Алиса! 你好 👋🏽 <&> “so”"
    cast.bob.send(ALICE, text)
    received = await until("alice reads it", lambda: observe.read_by_phone(cast.alice, text))
    require(received.sender == BOB, f"it says it is from {received.sender}")
    require(received.content_type.lower().startswith("text/plain"), f"it came as {received.content_type}")
    return f"alice reads “{received.text}”"


@step("alice@contoso → bob@fabrikam", "answers")
async def alice_writes(cast):
    text = "¡Hola Bob! Žluťoučký kůň 🐎 & ‚Zitat‘"
    received = await observe.message_to_xmpp(cast, BOB, cast.bob, text)
    require(received.kind == "chat", f"the answer to a chat message came as {received.kind}")
    return f"2xx, and bob reads “{received.text}” as chat"


@step("bob@fabrikam → zoe@contoso", "writes to nobody")
async def bob_writes_to_nobody(cast):
    sent = cast.bob.send("zoe@contoso.example", "Bist du da?")
    error = await until("an error comes back", lambda: cast.bob.error_for(sent))
    require(error.condition == "item-not-found", f"the error is {error.condition}")
    return "item-not-found came back"


@step("bob@fabrikam → carol@contoso", "writes to somebody without a phone")
async def bob_writes_to_the_absent(cast):
    sent = cast.bob.send(CAROL, "Bist du da?")
    error = await until("an error comes back", lambda: cast.bob.error_for(sent))
    require(error.condition == "recipient-unavailable", f"the error is {error.condition}")
    return "recipient-unavailable came back"


@step("alice@contoso → nobody@fabrikam", "writes to nobody")
async def alice_writes_to_nobody(cast):
    before = observe.count("gateway", "causeway_late_errors")
    observe.ok(await cast.alice.send("nobody@fabrikam.example", "Bist du da?"))
    await until("the late error is counted", lambda: observe.count("gateway", "causeway_late_errors") > before)
    return "2xx, for fabrikam took it; its error, which SIP cannot be told any more, is counted"


@step("alice@contoso → x@northwind", "writes to a partner that DNS does not know", within=30)
async def alice_writes_to_no_domain(cast):
    return await observe.refused(cast, "someone@northwind.example", 404)


@step("alice@contoso → x@lamna", "writes to a partner whose server is down", within=40)
async def alice_writes_to_a_dead_server(cast):
    return await observe.refused(cast, "someone@lamna.example", 504)


# A partner that does not vouch for its users: alice decides.


@step("eve@wingtip → alice@contoso", "asks and writes, a stranger")
async def eve_is_held(cast):
    cast.eve.subscription(ALICE, "subscribe")
    sent = cast.eve.send(ALICE, "Kennen wir uns?")
    error = await until("the message comes back", lambda: cast.eve.error_for(sent))
    require(error.condition == "service-unavailable", f"the error is {error.condition}")
    require(not observe.read_by_phone(cast.alice, "Kennen wir uns?"), "alice read it all the same")
    answer = cast.eve.last_presence(ALICE)
    require(answer is None, f"the request was answered: {answer}")
    return "the request is held without an answer, the message comes back: service-unavailable"


@step("alice@contoso → eve@wingtip", "adds her", within=20)
async def alice_adds_eve(cast):
    answer = cast.eve.last_presence(ALICE)
    require(answer is None, f"the request was answered before alice did anything: {answer}")
    observe.ok(await cast.alice.publish(activity="busy", note="nur für Freunde"))
    await observe.bob_sees(cast, "the note", lambda p: p.status == "nur für Freunde")
    cast.alice_watches_eve, response = await cast.alice.watch(EVE)
    observe.ok(response)
    await until("eve is asked", lambda: cast.eve.last_presence(ALICE, "subscribe"))
    cast.eve.subscription(ALICE, "subscribed")
    await until("eve is let in", lambda: cast.eve.last_presence(ALICE, "subscribed"))
    seen = await until("eve sees alice", lambda: observe.newest(cast.eve, ALICE, lambda p: p.show == "dnd"))
    await until(
        "alice sees eve", lambda: cast.alice_watches_eve.document is not None and cast.alice_watches_eve.document.open
    )
    return f"the held request is let in; eve sees {seen}, alice sees {cast.alice_watches_eve.document}"


@step("eve@wingtip, alice@contoso", "write to each other")
async def eve_is_let_in(cast):
    cast.eve.send(ALICE, "Danke! 🌻")
    await until("alice reads it", lambda: observe.read_by_phone(cast.alice, "Danke! 🌻"))
    await observe.message_to_xmpp(cast, EVE, cast.eve, "Gern geschehen")
    return "both messages read"


@step("alice@contoso → bob, eve", "changes her note")
async def notes_are_for_the_federated(cast):
    observe.ok(await cast.alice.publish(activity="away", note="Umsatz: streng vertraulich"))
    bob_saw = await observe.bob_sees(cast, "the note", lambda p: p.status == "Umsatz: streng vertraulich")
    eve_saw = await until("eve sees her away", lambda: observe.newest(cast.eve, ALICE, lambda p: p.show == "away"))
    leaked = [p.status for p in cast.eve.presences if p.sender.startswith(ALICE) and p.status]
    require(not leaked, f"eve was shown the note “{leaked and leaked[0]}”")
    return f"bob sees {bob_saw}; eve sees {eve_saw}, and never saw any note"


@step("operator", "looks how the partners proved themselves")
async def partners_are_authenticated(cast):
    counted = {
        (method, direction): observe.count(
            "edge-proxy", f'causeway_edge_streams_authenticated_total{{direction="{direction}",method="{method}"}}'
        )
        for method in ("sasl-external", "tls-dialback", "tcp-dialback")
        for direction in ("in", "out")
    }
    for method, partner in [("sasl-external", "fabrikam"), ("tls-dialback", "wingtip")]:
        for direction in ("in", "out"):
            require(counted[method, direction] > 0, f"no stream of {partner}, {direction}, by {method}: {counted}")
    require(not counted["tcp-dialback", "in"] + counted["tcp-dialback", "out"], f"a stream without TLS: {counted}")
    return "SASL EXTERNAL with fabrikam and dialback over TLS with wingtip, in both directions"


# Nobody's partner.


@step("mallory@tailspin → alice@contoso", "writes from a domain that is no partner")
async def stranger_domain_is_refused(cast):
    before = len(observe.verdicts_about("tailspin.example"))
    sent = cast.mallory.send(ALICE, "Hallo!")
    error = await until("the message comes back", lambda: cast.mallory.error_for(sent))
    verdict = (await until("the edge gives its verdict", lambda: observe.verdicts_about("tailspin.example")[before:]))[
        -1
    ]
    require(not observe.read_by_phone(cast.alice, "Hallo!"), "alice read it all the same")
    return f"{error.condition} came back; verdict: {verdict['rung']}, {verdict['side']}: {verdict['cause']}"


@step("alice@contoso → mallory@tailspin", "writes to a domain that is no partner")
async def stranger_domain_is_not_written_to(cast):
    return await observe.refused(cast, MALLORY, 404)


async def _converse(chosen, until_failure):
    cast = Cast()
    try:
        await cast.arrive()
        return await steps.run(chosen, cast, until_failure)
    finally:
        await cast.leave()


def command():
    names = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
    every = steps.all_steps()
    if "--list" in sys.argv:
        print("\n".join(f"{each.name:<36} {each.who}  {each.what}" for each in every))
        return 0
    unknown = set(names) - {each.name for each in every}
    if unknown:
        raise environment.DemoError(f"no such step: {', '.join(unknown)} (--list names them)")
    environment.enter()
    chosen = [each for each in every if not names or each.name in names]
    with environment.alone():
        if not parties.running():
            parties.up()
        if not names and parties.PLAYED.exists():
            raise environment.DemoError("everybody remembers the last conversation: make demo-down, then begin again")
        parties.PLAYED.touch()
        passed, failed = asyncio.run(_converse(chosen, "--until-failure" in sys.argv))
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


import operations  # noqa: E402, F401  an operator's work comes behind the steps above, and before services are killed
import faults  # noqa: E402, F401

if __name__ == "__main__":
    environment.main(command)
