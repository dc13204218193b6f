"""Scenarios in which the gateway sends the requests and sipp answers."""

import asyncio
import time

import environment
from agent import require, until
from sipp_script import DIALOG, OTHER_TAG, pidf
from sipp_stage import FIRST, SECOND, given, scenario

_BOTH = [f"{environment.SIP}:{place}:5060" for place in (FIRST, SECOND)]
_TEXT = "Grüße an sipp ✉"


async def _write(stage):
    return stage.xmpp.send(stage.user, _TEXT)


async def _refused(stage, condition, within=10.0):
    sent = await _write(stage)
    error = await until("an error comes back", lambda: stage.xmpp.error_for(sent), within)
    require(error.condition == condition, f"the error is {error.condition}")


async def _accepted(stage, sent):
    await asyncio.sleep(0.3)
    require(not stage.xmpp.error_for(sent), f"an error came back: {stage.xmpp.error_for(sent)}")


@scenario("MESSAGE answered", "serves", "message.no-contact")
async def message(stage):
    running = await stage.serve(stage.script().recv("MESSAGE", check=[(None, _TEXT)]).answer(200)).ready()
    sent = await _write(stage)
    await running.done()
    await _accepted(stage, sent)


@scenario("first three answers lost: sent again by timer E", "serves", "sip.timer.client")
@given("udp", slow=True)
async def answers_lost(stage):
    script = stage.script().recv("MESSAGE", keep={"first": ("CSeq", "[0-9]+")}).recv("MESSAGE").recv("MESSAGE").recv("MESSAGE").answer(200)
    running = await stage.serve(script, "-nr").ready()
    began = time.monotonic()
    sent = await _write(stage)
    await running.done()
    require(3.0 < time.monotonic() - began < 5.0, f"the fourth came after {time.monotonic() - began:.1f} s, not 3.5 s")
    await _accepted(stage, sent)


@scenario("100 and nothing more: timer F", "serves", "sip.timer.client", "error.to-xmpp.timeout")
@given("udp", slow=True)
async def trying_only(stage):
    await stage.serve(stage.script().recv("MESSAGE").answer(100, "Trying").pause(36_000)).ready()
    await _refused(stage, "remote-server-timeout", 40.0)


@scenario("202, as a store and forward server says", "serves")
async def accepted(stage):
    running = await stage.serve(stage.script().recv("MESSAGE").answer(202, "Accepted")).ready()
    sent = await _write(stage)
    await running.done()
    await _accepted(stage, sent)


@scenario("302 is not followed", "serves", "error.to-xmpp.redirect")
async def redirected(stage):
    script = stage.script().recv("MESSAGE").answer(302, "Moved", headers=[f"Contact: <sip:sipp@{SECOND}:5060>"])
    await stage.serve(script).ready()
    await _refused(stage, "recipient-unavailable")


@scenario("404, 486 and 603", "serves", "error.to-xmpp", "message.answer.refused")
async def refused(stage):
    for number, (status, condition) in enumerate([(404, "item-not-found"), (486, "recipient-unavailable"), (603, "recipient-unavailable")]):
        running = await stage.serve(stage.script(f"-{number}").recv("MESSAGE").answer(status)).ready()
        sent = await _write(stage)
        error = await until(f"the error of {status} comes back", lambda: stage.xmpp.error_for(sent))
        await running.done()
        require(error.condition == condition, f"{status} became {error.condition}")


@scenario("503 with Retry-After: the second target, and later it at once", "serves", "sip.failover", "sip.retry-after")
@given(hops=_BOTH)
async def failover(stage):
    first = await stage.serve(stage.script("-1").recv("MESSAGE").answer(503, headers=["Retry-After: 60"]).pause(1000)).ready()
    second = stage.script("-2").recv("MESSAGE").answer(200)
    for _ in range(2):
        running = await stage.serve(second, place=SECOND).ready()
        sent = await _write(stage)
        await running.done()
        await _accepted(stage, sent)
    await first.done()


@scenario("nobody answers at the first target: the second, and later it at once", "serves", "sip.dead-targets", "sip.failover")
@given(hops=_BOTH, slow=True)
async def first_is_dead(stage):
    """Over UDP only timer F tells; over TCP nobody takes the connection."""
    for within in (45.0, 5.0):
        running = await stage.serve(stage.script().recv("MESSAGE", within=60_000).answer(200), place=SECOND).ready()
        sent = await _write(stage)
        await running.done(within)
        await _accepted(stage, sent)


async def _subscribes(stage, script, *options):
    running = await stage.serve(script, *options).ready()
    stage.xmpp.subscription(stage.user, "subscribe")
    return running


async def _sees(stage, note):
    def newest():
        presence = stage.xmpp.last_presence(stage.user, "available")
        return presence and presence.status == note

    await until(f"the XMPP user sees {note}", newest)


@scenario("SUBSCRIBE answered, NOTIFY behind it", "serves", "in.subscribe", "in.approve", "in.unsubscribe")
async def subscribe(stage):
    script = stage.script().recv("SUBSCRIBE", keep=DIALOG, check=[("Event", "presence"), ("Accept", "pidf")])
    script.answer(200, headers=["Expires: 600"]).notify(1, "active;expires=600", pidf(stage.user, "da")).recv(200)
    script.recv("SUBSCRIBE", check=[("Expires", "0")]).answer(200, tag="", headers=["Expires: 0"])
    script.notify(2, "terminated;reason=timeout").recv(200)
    running = await _subscribes(stage, script)
    await _sees(stage, "da")
    stage.xmpp.subscription(stage.user, "unsubscribe")
    await running.done()


@scenario("NOTIFY before the answer to SUBSCRIBE", "serves", "in.notify.early")
async def notify_first(stage):
    script = stage.script().recv("SUBSCRIBE", keep={**DIALOG, "via": ("Via", ".*"), "cseq": ("CSeq", ".*")})
    script.notify(1, "active;expires=600", pidf(stage.user, "zuerst")).recv(200)
    lines = ["SIP/2.0 200 OK", "Via:[$via]", "From: [$remote]", f"To: [$local];tag=[pid]sipp[call_number]", "Call-ID: [call_id]",
             "CSeq:[$cseq]", "Contact: <[$target]>", "Expires: 600"]
    script.raw(lines).pause(200)
    running = await _subscribes(stage, script)
    await _sees(stage, "zuerst")
    await running.done()


@scenario("NOTIFY of a second dialog of a forked SUBSCRIBE: 481", "serves", "in.notify.fork")
async def forked_subscribe(stage):
    script = stage.script().recv("SUBSCRIBE", keep=DIALOG).answer(200, headers=["Expires: 600"])
    script.notify(1, "active;expires=600", pidf(stage.user, "der erste")).recv(200)
    script.notify(1, "active;expires=600", pidf(stage.user, "der zweite"), OTHER_TAG).recv(481)
    running = await _subscribes(stage, script)
    await running.done()
    await _sees(stage, "der erste")


@scenario("NOTIFY with an older CSeq: 500", "serves", "in.notify.order")
async def older_notify(stage):
    script = stage.script().recv("SUBSCRIBE", keep=DIALOG).answer(200, headers=["Expires: 600"])
    script.notify(7, "active;expires=600", pidf(stage.user, "neu")).recv(200)
    script.notify(6, "active;expires=600", pidf(stage.user, "alt")).recv(500)
    running = await _subscribes(stage, script)
    await running.done()
    await _sees(stage, "neu")


@scenario("423 to SUBSCRIBE: again, for longer", "serves", "in.answer.423")
@given("udp")
async def interval_too_brief(stage):
    running = await _subscribes(stage, stage.script("-1").recv("SUBSCRIBE").answer(423, headers=["Min-Expires: 7200"]))
    await running.done()
    script = stage.script("-2").recv("SUBSCRIBE", keep=DIALOG, check=[("Expires", "7200")])
    script.answer(200, headers=["Expires: 7200"]).notify(1, "active;expires=7200", pidf(stage.user, "lange")).recv(200)
    await (await stage.serve(script).ready()).done()
    await _sees(stage, "lange")


@scenario("NOTIFY terminated, deactivated: a new SUBSCRIBE", "serves", "in.notify.deactivated")
@given("udp")
async def deactivated(stage):
    again = stage.script("-2").recv("SUBSCRIBE", keep=DIALOG).answer(200, headers=["Expires: 600"])
    again.notify(1, "active;expires=600", pidf(stage.user, "wieder da")).recv(200)
    script = stage.script().recv("SUBSCRIBE", keep=DIALOG).answer(200, headers=["Expires: 600"])
    script.notify(1, "active;expires=600", pidf(stage.user, "noch da")).recv(200)
    script.notify(2, "terminated;reason=deactivated").recv(200)
    running = await _subscribes(stage, script)
    await running.done()
    running = await stage.serve(again).ready()
    await running.done()
    await _sees(stage, "wieder da")


@scenario("SUBSCRIBE refused with 403: unsubscribed", "serves", "in.answer.refused")
async def subscribe_refused(stage):
    running = await _subscribes(stage, stage.script().recv("SUBSCRIBE").answer(403))
    await running.done()
    await until("unsubscribed", lambda: stage.xmpp.last_presence(stage.user, "unsubscribed"))
