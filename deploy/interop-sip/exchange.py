"""What is said in every conversation between a SIP user and an XMPP user, and what each of them must have seen of it.

A scenario is a coroutine that takes the pair, in the order in which they stand here; each says which rules it shows.
"""

import asyncio
from dataclasses import dataclass

from agent import require, until

TEXT_TO_SIP = "Grüß dich, Алиса! 你好 👋🏽 <&> “so”"
TEXT_TO_XMPP = "¡Hola! Žluťoučký kůň 🐎 & ‚Zitat‘ 日本語"
NOTE = "Im Gespräch, zurück um ½4 ☕"


@dataclass
class Pair:
    """A SIP user and an XMPP user with two devices, the second of which is away at first."""

    sip: object
    xmpp: object
    couch: object

    def seen(self, fits):
        """The newest presence of the SIP user, if it fits."""
        presence = self.xmpp.last_presence(self.sip.address, "available", "unavailable")
        return presence if presence and fits(presence) else None

    def heard(self, before, *kinds):
        """Whether presence of these kinds came from the SIP user behind the first so many stanzas."""
        return any(p.kind in kinds and p.sender.startswith(self.sip.address) for p in self.xmpp.presences[before:])


@dataclass
class Scenario:
    """One line of the table for each peer, transport and server."""

    name: str
    needs: str
    rules: tuple
    play: callable


SCENARIOS = []


def scenario(name, needs, *rules):
    """Adds a scenario behind those before it; `needs` is what the peer's software must be able to do."""

    def add(play):
        SCENARIOS.append(Scenario(name, needs, rules, play))
        return play

    return add


@scenario("registration", "messages")
async def registration(pair):
    status = await pair.sip.start()
    require(status == 200, f"answered {status}")


@scenario("message to XMPP", "messages", "message.body", "message.answer.202", "message.language")
async def message_to_xmpp(pair):
    status = await pair.sip.send(pair.xmpp.address, TEXT_TO_XMPP)
    require(status in (200, 202), f"answered {status}")
    received = await until("it is read", lambda: _text(pair.xmpp, TEXT_TO_XMPP))
    require(received.sender.partition("/")[0] == pair.sip.address, f"it says it is from {received.sender}")


@scenario("message to SIP", "messages", "message.body", "message.content")
async def message_to_sip(pair):
    sent = pair.xmpp.send(pair.sip.address, TEXT_TO_SIP)
    received = await until(
        lambda: f"it is read (its error: {pair.xmpp.error_for(sent)})", lambda: pair.sip.read(TEXT_TO_SIP)
    )
    require(received.sender == pair.xmpp.address, f"it says it is from {received.sender}")
    require(received.content_type.startswith("text/plain"), f"it came as {received.content_type}")


@scenario("message to an unknown SIP user", "messages", "error.to-xmpp", "delivery.unknown")
async def message_to_unknown(pair):
    sent = pair.xmpp.send("zoe@contoso.example", "Bist du da?")
    error = await until("an error comes back", lambda: pair.xmpp.error_for(sent))
    require(error.condition == "item-not-found", f"the error is {error.condition}")


@scenario("message to an unknown domain", "messages", "type.s7", "message.answer.unreachable")
async def message_to_unknown_domain(pair):
    status = await pair.sip.send("zoe@nowhere.example", "Bist du da?")
    require(status == 404, f"answered {status}")


@scenario("typing to XMPP", "typing", "state.map", "state.no-repeat")
async def typing_to_xmpp(pair):
    """A state goes only to who has shown that he knows them."""
    pair.xmpp.send(pair.sip.address, "tippst du?", state="active")
    await until("the question is read", lambda: pair.sip.read("tippst du?"))
    await pair.sip.type(pair.xmpp.address, True)
    await until("it is seen", lambda: _states(pair, "composing"))
    await pair.sip.type(pair.xmpp.address, False)
    await until("the end of it is seen", lambda: _states(pair, "active", "paused"))


@scenario("typing to SIP", "typing", "state.map", "state.format")
async def typing_to_sip(pair):
    pair.xmpp.send_state(pair.sip.address, "composing")
    await until("it is seen", lambda: pair.sip.typing.get(pair.xmpp.address) is True)
    pair.xmpp.send_state(pair.sip.address, "paused")
    await until("the end of it is seen", lambda: pair.sip.typing.get(pair.xmpp.address) is False)


@scenario("subscription to XMPP", "watch", "out.subscribe", "out.subscribed", "out.presence")
async def subscription_to_xmpp(pair):
    pair.xmpp.publish("away", NOTE)
    await pair.sip.watch(pair.xmpp.address)
    await until("the XMPP user is asked", lambda: pair.xmpp.last_presence(pair.sip.address, "subscribe"))
    await until("it is pending", lambda: _view(pair).state == "pending")
    pair.xmpp.subscription(pair.sip.address, "subscribed")
    await until(lambda: f"it is active ({_view(pair).state})", lambda: _view(pair).state == "active")
    await _sip_sees(pair, "away, and the note", lambda view: view.open and "away" in view.activity and NOTE in view.notes)


@scenario("presence to SIP", "watch", "pidf.write.show", "pidf.write.note", "out.pace")
async def presence_to_sip(pair):
    pair.xmpp.publish("dnd", "bitte nicht stören")
    await _sip_sees(pair, "busy", lambda view: view.open and "busy" in view.activity and "bitte nicht stören" in view.notes)
    pair.xmpp.publish("")
    await _sip_sees(pair, "free, and no note", lambda view: view.open and not view.activity and not view.notes)


@scenario("second resource to SIP", "watch", "out.resources", "pidf.write.person")
async def second_resource_to_sip(pair):
    pair.xmpp.publish("xa", "weit weg")
    await _sip_sees(pair, "away", lambda view: view.open and "away" in view.activity)
    await pair.couch.start(status="auf dem Sofa")
    await _sip_sees(pair, "the other one free", lambda view: view.open and "auf dem Sofa" in view.notes)
    await pair.couch.stop()
    await _sip_sees(pair, "away again", lambda view: view.open and "away" in view.activity and "weit weg" in view.notes)


@scenario("offline to SIP", "watch", "pidf.write.basic", "out.presence")
async def offline_to_sip(pair):
    pair.xmpp.publish_unavailable()
    await _sip_sees(pair, "closed", lambda view: view.state == "active" and not view.open)
    pair.xmpp.publish("")
    await _sip_sees(pair, "open again", lambda view: view.open)


@scenario("subscription to SIP", "publish", "in.subscribe", "in.approve", "in.notify.active")
async def subscription_to_sip(pair):
    await pair.sip.publish(activity="busy", note=NOTE)
    pair.xmpp.subscription(pair.sip.address, "subscribe")
    await until("subscribed", lambda: pair.xmpp.last_presence(pair.sip.address, "subscribed"))
    await _xmpp_sees(pair, "busy, and the note", lambda p: p.show == "dnd" and p.status == NOTE)


@scenario("presence to XMPP", "publish", "pidf.read.rpid", "pidf.read.note")
async def presence_to_xmpp(pair):
    await pair.sip.publish(activity="away", note="kurz draußen 🌳")
    await _xmpp_sees(pair, "away", lambda p: p.show == "away" and p.status == "kurz draußen 🌳")
    await pair.sip.publish()
    await _xmpp_sees(pair, "free, and no note", lambda p: (p.kind, p.show, p.status) == ("available", "", ""))


@scenario("offline to XMPP", "publish", "pidf.read.basic")
async def offline_to_xmpp(pair):
    await pair.sip.publish(is_open=False)
    await _xmpp_sees(pair, "unavailable", lambda p: p.kind == "unavailable")
    await pair.sip.publish(note="wieder da")
    await _xmpp_sees(pair, "available again", lambda p: p.kind == "available")


@scenario("unsubscribe from SIP", "publish", "in.unsubscribe")
async def unsubscribe_from_sip(pair):
    """The XMPP user asks no more: what the SIP user shows from now on is not seen."""
    before = len(pair.xmpp.presences)
    pair.xmpp.subscription(pair.sip.address, "unsubscribe")
    await until("unavailable", lambda: pair.heard(before, "unsubscribed", "unavailable"))
    before = len(pair.xmpp.presences)
    await pair.sip.publish(activity="busy", note="geheim")
    await asyncio.sleep(0.5)
    require(not pair.heard(before, "available"), "presence after the end")


@scenario("end of watching", "watch", "out.logout", "out.subscribe.known")
async def end_of_watching(pair):
    """SUBSCRIBE with Expires 0 may be a logout, so the XMPP user's consent outlives it (RFC 8048, section 5.3.3)."""
    await pair.sip.unwatch(pair.xmpp.address)
    await until("it has ended", lambda: _view(pair).state == "terminated")
    before = len(pair.xmpp.presences)
    await pair.sip.watch(pair.xmpp.address)
    await _sip_sees(pair, "open at once", lambda view: view.state == "active" and view.open)
    require(not pair.heard(before, "subscribe"), "the XMPP user was asked a second time")


@scenario("consent withdrawn", "watch", "out.unsubscribed")
async def consent_withdrawn(pair):
    pair.xmpp.subscription(pair.sip.address, "unsubscribed")
    await until(lambda: f"it has ended ({_view(pair).state})", lambda: _view(pair).state == "terminated")


@scenario("registration, text both ways", "exchange", "message.body", "message.answer.202", "message.content")
async def exchange(pair):
    """What a client that shows little is able to show."""
    status = await pair.sip.start()
    require(status == 200, f"answered {status}")
    await message_to_xmpp(pair)
    await message_to_sip(pair)


@scenario("contact seen busy, offline and online", "contact", "out.subscribe", "out.subscribed", "pidf.write.basic")
async def contact(pair):
    """The client subscribes by itself, and says what it sees only when that changes."""
    await until("the XMPP user is asked", lambda: pair.xmpp.last_presence(pair.sip.address, "subscribe"))
    pair.xmpp.subscription(pair.sip.address, "subscribed")
    await asyncio.sleep(1.0)
    pair.xmpp.publish("dnd")
    await _sip_sees(pair, "busy", lambda view: view.open and view.activity == "busy", 15.0)
    pair.xmpp.publish_unavailable()
    await _sip_sees(pair, "offline", lambda view: view.state == "active" and not view.open, 15.0)
    pair.xmpp.publish("")
    await _sip_sees(pair, "online", lambda view: view.open and not view.activity, 15.0)


@scenario("offline and online published", "switch", "in.subscribe", "in.notify.active", "pidf.read.basic")
async def switch(pair):
    pair.xmpp.subscription(pair.sip.address, "subscribe")
    await until("subscribed", lambda: pair.xmpp.last_presence(pair.sip.address, "subscribed"))
    await _xmpp_sees(pair, "available", lambda p: p.kind == "available")
    for is_open, kind in [(False, "unavailable"), (True, "available")]:
        status = await pair.sip.show(is_open)
        require(status == 200, f"PUBLISH was answered {status}")
        await _xmpp_sees(pair, kind, lambda p, kind=kind: p.kind == kind)


def _view(pair):
    return pair.sip.view(pair.xmpp.address)


async def _sip_sees(pair, what, fits, within=10.0):
    await until(lambda: f"the SIP user sees {what}; it sees {_view(pair)}", lambda: fits(_view(pair)), within)


async def _xmpp_sees(pair, what, fits):
    newest = lambda: pair.xmpp.last_presence(pair.sip.address)  # noqa: E731
    await until(lambda: f"the XMPP user sees {what}; it sees {newest()}", lambda: pair.seen(fits))


def _states(pair, *states):
    heard = [message.state for message in pair.xmpp.messages if message.sender.startswith(pair.sip.address)]
    return heard and heard[-1] in states


def _text(client, text):
    return next((message for message in client.messages if message.text == text), None)
