"""Steps of the conversation in which our services are told to reload, and are killed while people are talking.

Promise 1 is what they hold: what was accepted is delivered, or its sender gets an error. Never both, never neither.
"""

import asyncio
import random
import signal
from collections import Counter
from dataclasses import dataclass, field

import observe
import parties
from cast import ALICE, BOB
from steps import require, step, until

#: Messages in each direction, the pace, after how many the blow falls, and how long the service stays away.
_COUNT = 20
_PACE = 0.1
_BLOW_AFTER = 7
_AWAY = 1.0
#: What was under way at the moment of the blow may come again: one SIP transaction, or one stanza, per direction.
_MAY_COME_TWICE = 1
_RESEND_AFTER = 0.5


@step("operator", "reloads edge and gateway (SIGHUP)", within=15)
async def reload_keeps_streams(cast):
    streams = observe.count("edge-proxy", "causeway_edge_streams_authenticated")
    require(streams > 0, "there are no streams to keep")
    pids = parties.running()
    for name in ["edge-proxy", "gateway"]:
        parties.service(name).signal(signal.SIGHUP)
    await observe.message_to_sip(cast, cast.bob, "noch da?")
    await observe.message_to_xmpp(cast, BOB, cast.bob, "ja, noch da")
    await observe.message_to_sip(cast, cast.eve, "ich auch")
    require(parties.running() == pids, "a service ended")
    now = observe.count("edge-proxy", "causeway_edge_streams_authenticated")
    require(now == streams, f"{now - streams:.0f} streams were made anew")
    return "messages pass in both directions, on the streams of before"


@step("bob@fabrikam ↔ alice@contoso", "the gateway is killed while they talk", within=90)
async def gateway_killed(cast):
    return await _talk_through_a_blow(cast, "gateway")


@step("bob@fabrikam ↔ alice@contoso", "see each other as before the gateway died", within=40)
async def presence_after_gateway(cast):
    return await _presence_goes_on(cast, "nach dem Neustart des Gateways")


@step("bob@fabrikam ↔ alice@contoso", "the edge is killed while they talk", within=90)
async def edge_killed(cast):
    return await _talk_through_a_blow(cast, "edge-proxy")


@step("bob@fabrikam ↔ alice@contoso", "see each other as before the edge died", within=40)
async def presence_after_edge(cast):
    return await _presence_goes_on(cast, "nach dem Neustart des Edge")


@step("eve@wingtip ↔ alice@contoso", "write to each other after both deaths", within=30)
async def eve_after_all(cast):
    await observe.message_to_sip(cast, cast.eve, "alles gut?")
    await observe.message_to_xmpp(cast, cast.eve.address, cast.eve, "alles gut!")
    return "both messages read, on streams proven by dialback again"


@dataclass
class _Talk:
    """What became of the messages of one direction, by their text."""

    accepted: set = field(default_factory=set)
    refusals: Counter = field(default_factory=Counter)
    last_answer: str = ""

    def account(self, arrived, bounced):
        """Checks the promise."""
        arrivals = Counter(text for text in arrived if text in self.accepted)
        lost = sorted(text for text in self.accepted if not arrivals[text] and text not in bounced)
        both = sorted(text for text in self.accepted if arrivals[text] and text in bounced)
        again = sorted(text for text, times in arrivals.items() if times > 1)
        order = list(dict.fromkeys(text for text in arrived if text in self.accepted))
        require(not lost, f"lost: {', '.join(lost)}")
        require(not both, f"delivered and bounced: {', '.join(both)}")
        require(len(again) <= _MAY_COME_TWICE + len(self.refusals), f"arrived more than once: {', '.join(again)}")
        require(
            order == sorted(order, key=_number), f"they arrived in the order {', '.join(map(str, map(_number, order)))}"
        )
        parts = [f"{len(arrivals)} of {len(self.accepted)} arrived in order"]
        parts += [f"{len(bounced)} bounced"] if bounced else []
        parts += [f"{sum(self.refusals.values())} refused and sent again"] if self.refusals else []
        parts += [f"{len(again)} twice"] if again else []
        return ", ".join(parts)


async def _talk_through_a_blow(cast, victim):
    """Both write at a steady pace; in the middle a service is killed, and started again a second later."""
    label = f"{victim} {random.randrange(10**6)}"
    from_bob, from_alice, sent = _Talk(), _Talk(), {}
    bob = asyncio.ensure_future(_bob_talks(cast, from_bob, sent, label))
    alice = asyncio.ensure_future(_alice_talks(cast, from_alice, label))
    try:
        await until(
            f"{_BLOW_AFTER} messages are on their way in each direction",
            lambda: min(len(from_bob.accepted), len(from_alice.accepted)) >= _BLOW_AFTER,
        )
        await asyncio.sleep(random.uniform(0, _PACE))  # so that the blow falls anywhere between two messages
        process = parties.service(victim)
        process.kill()
        await asyncio.sleep(_AWAY)
        process.start()
        await until("bob has spoken", bob.done)
        await until(lambda: f"alice has spoken (she was refused last with: {from_alice.last_answer})", alice.done)
        await asyncio.gather(bob, alice)
    finally:
        bob.cancel()
        alice.cancel()

    def bounced():
        return {text for text, sent_id in sent.items() if cast.bob.error_for(sent_id)}

    def arrived():
        return [message.text for message in cast.alice.messages]

    def read():
        return [message.text for message in cast.bob.messages]

    await until("each of bob's messages is read or comes back", lambda: from_bob.accepted <= {*arrived(), *bounced()})
    await until("each message accepted from alice is read", lambda: from_alice.accepted <= set(read()))
    await until("the service is ready again", lambda: _ready(process))
    return f"bob → alice {from_bob.account(arrived(), bounced())}; alice → bob {from_alice.account(read(), set())}"


async def _bob_talks(cast, talk, sent, label):
    """His server takes every message, so each must be read or come back."""
    for number in range(1, _COUNT + 1):
        text = f"{label} Bob {number}"
        sent[text] = cast.bob.send(ALICE, text)
        talk.accepted.add(text)
        await asyncio.sleep(_PACE)


async def _alice_talks(cast, talk, label):
    """Her phone sends a message again until it is accepted, one at a time (RFC 3428, section 8)."""
    for number in range(1, _COUNT + 1):
        text = f"{label} Alice {number}"
        while (response := await cast.alice.send(BOB, text)).status not in (200, 202):
            talk.refusals[text] += 1
            talk.last_answer = f"{response.status} {response.reason}"
            await asyncio.sleep(_RESEND_AFTER)
        talk.accepted.add(text)
        await asyncio.sleep(_PACE)


async def _presence_goes_on(cast, note):
    """Nobody subscribes again, and still everybody sees what changes."""
    asked = sum(presence.kind == "subscribe" for presence in cast.bob.presences)
    answered = sum(presence.kind == "subscribed" for presence in cast.bob.presences)
    observe.ok(await cast.alice.publish(activity="busy", note=note))
    seen = await observe.bob_sees(cast, "her new note", lambda p: p.kind == "available" and p.status == note)
    cast.bob.publish("xa", note)
    saw = await observe.alice_sees_bob(cast, "his new status", lambda d: "xa" in d.shows and d.says(note))
    response = await cast.alice_watches_bob.refresh()
    require(response.status == 200, f"alice's subscription is gone: its refresh was answered {response.status}")
    require(sum(p.kind == "subscribe" for p in cast.bob.presences) == asked, "bob was asked again")
    require(sum(p.kind == "subscribed" for p in cast.bob.presences) == answered, "bob was let in again")
    return f"bob sees {seen}; alice sees {saw}; nobody subscribed again, and alice's dialog can be refreshed"


def _number(text):
    return int(text.rpartition(" ")[2])


def _ready(process):
    return process.pid() is not None and parties.is_ready(process.name)
