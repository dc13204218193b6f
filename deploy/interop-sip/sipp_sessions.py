"""Chat sessions: INVITE with a message stream and MESSAGE in the dialog, in either direction, as Lync speaks it."""

import asyncio

from agent import require, until
from sipp_script import DIALOG, OTHER_TAG, TAG
from sipp_stage import given, scenario

_BRANCH = "z9hG4bK-[pid]-[call_number]-invite"
_TYPING = '<?xml version="1.0"?>\n<KeyboardActivity><status status="type"/></KeyboardActivity>'
_KEPT = {"target": ("Contact", "sip:[^>]*")}
_INVITED = {**DIALOG, "via": ("Via", ".*"), "cseq": ("CSeq", ".*")}


def _sdp(media="message 5060 sip null", version=1):
    lines = ["v=0", f"o=- 1 {version} IN IP4 [local_ip]", "s=session", "c=IN IP4 [local_ip]", "t=0 0", f"m={media}",
             *(["a=accept-types:text/plain text/html"] if "message" in media else ["a=rtpmap:0 PCMU/8000"])]  # fmt: skip
    return "\r\n".join(lines) + "\r\n"


def _invite(script, body=None, headers=(), **more):
    return script.request("INVITE", 1, headers=headers, body=body or _sdp(), kind="application/sdp", branch=_BRANCH, **more)


def _established(script, status_checks=(), headers=()):
    """An INVITE of ours that is answered and acknowledged."""
    _invite(script, headers=headers).recv(100, optional=True).recv(180, optional=True)
    script.recv(200, keep=_KEPT, check=[(None, "m=message 5060 sip"), *status_checks])
    return script.request("ACK", 1, "[$target]")


def _bye(script, cseq):
    return script.request("BYE", cseq, "[$target]").recv(200)


def _answered(script, tag=TAG, body=None):
    return script.answer(200, "OK", f";tag={tag}", body=body or _sdp(), kind="application/sdp")


def _late_ok(script, tag):
    """A 200 to the INVITE when something else was answered since."""
    lines = ["SIP/2.0 200 OK", "Via:[$via]", "From: [$remote]", f"To: [$local];tag={tag}", "Call-ID: [call_id]", "CSeq:[$cseq]",
             "Contact: <sip:sipp@[local_ip]:[local_port];transport=[transport]>"]  # fmt: skip
    return script.raw(lines, _sdp(), "application/sdp")


def _texts(stage):
    return [message.text.strip() for message in stage.xmpp.messages if message.sender.startswith(stage.user)]


@scenario("session by SIP: INVITE, MESSAGE both ways, typing by INFO, BYE", "serves", "session.lync.incoming", "session.typing")
async def by_sip(stage):
    script = _established(stage.script())
    script.request("MESSAGE", 2, "[$target]", body="erste ✉").recv(200)
    script.recv("MESSAGE", check=[(None, "zweite ✉")]).answer(200, tag="")
    script.request("INFO", 3, "[$target]", body=_TYPING, kind="application/xml").recv(200)
    running = stage.call(_bye(script, 4))
    await until("the XMPP user reads it", lambda: "erste ✉" in _texts(stage))
    await asyncio.sleep(0.3)  # the answer to it is on its way
    stage.xmpp.send(stage.user, "zweite ✉", state="active")
    await running.done()
    await until("typing is seen", lambda: _has_state(stage, "composing"))


def _has_state(stage, state):
    return any(message.state == state for message in stage.xmpp.messages if message.sender.startswith(stage.user))


@scenario("INVITE for audio alone: 488", "serves", "session.sdp.no-messages")
async def audio(stage):
    script = _invite(stage.script(), _sdp("audio 50000 RTP/AVP 0")).recv(100, optional=True).recv(488)
    await stage.call(script.request("ACK", 1, branch=_BRANCH)).done()


@scenario("CANCEL that crosses the 200 to INVITE", "serves", "session.cancel")
async def cancel(stage):
    script = _invite(stage.script()).recv(100, optional=True).recv(200, keep=_KEPT)
    script.request("CANCEL", 1, branch=_BRANCH, to_tag="").recv(200)
    script.request("ACK", 1, "[$target]")
    await stage.call(_bye(script, 2)).done()


@scenario("no ACK: the 200 comes again", "serves", "sip.timer.invite-server")
async def no_ack(stage):
    script = _invite(stage.script()).recv(100, optional=True).recv(200, keep=_KEPT).recv(200).recv(200)
    script.request("ACK", 1, "[$target]").pause(200)
    await stage.call(_bye(script, 2), "-nr").done()


@scenario("INVITE sent again though answered: the same 200", "serves", "sip.timer.invite-server")
@given("udp")
async def invite_again(stage):
    script = _invite(stage.script()).recv(100, optional=True).recv(200, keep=_KEPT)
    _invite(script).recv(200, check=[("Contact", "sip:")])
    script.request("ACK", 1, "[$target]")
    await stage.call(_bye(script, 2), "-nr").done()


@scenario("re-INVITE in a session, with an offer and without", "serves", "session.reinvite")
async def reinvite(stage):
    script = _established(stage.script())
    script.request("INVITE", 2, "[$target]", body=_sdp(version=2), kind="application/sdp").recv(100, optional=True)
    script.recv(200, check=[(None, "m=message 5060 sip")]).request("ACK", 2, "[$target]")
    script.request("INVITE", 3, "[$target]").recv(100, optional=True)
    script.recv(200, check=[(None, "m=message 5060 sip")])
    script.request("ACK", 3, "[$target]", body=_sdp(version=2), kind="application/sdp")
    await stage.call(_bye(script, 4)).done()


@scenario("session timer: taken, refreshed by UPDATE", "serves", "session.timer")
async def session_timer(stage):
    timer = ["Supported: timer", "Session-Expires: 90;refresher=uac"]
    script = _established(stage.script(), [("Session-Expires", "90;refresher=uac")], timer)
    script.request("UPDATE", 2, "[$target]", timer).recv(200, check=[("Session-Expires", "90;refresher=uac")])
    await stage.call(_bye(script, 3)).done()


@scenario("session timer shorter than the least: 422", "serves", "session.timer")
async def session_timer_too_small(stage):
    script = _invite(stage.script(), headers=["Supported: timer", "Session-Expires: 30"]).recv(100, optional=True)
    script.recv(422, check=[("Min-SE", "90")]).request("ACK", 1, branch=_BRANCH)
    await stage.call(script).done()


@scenario("request in a session that is over: 481", "serves")
async def over(stage):
    script = _bye(_established(stage.script()), 2).request("MESSAGE", 3, "[$target]", body="zu spät").recv(481)
    await stage.call(script).done()


@scenario("session by XMPP: INVITE, MESSAGE both ways, BYE", "serves", "session.lync.outgoing", "session.form")
@given(sessions="in-dialog")
async def by_xmpp(stage):
    script = stage.script().recv("INVITE", keep=_INVITED, check=[(None, "m=message 5060 sip")]).answer(180, "Ringing")
    _answered(script).recv("ACK").recv("MESSAGE", check=[(None, "erste ✉")]).answer(200, tag="")
    script.within("MESSAGE", 1, body="zweite ✉").recv(200).within("BYE", 2).recv(200)
    running = await stage.serve(script).ready()
    stage.xmpp.send(stage.user, "erste ✉")
    await running.done()
    await until("the XMPP user reads it", lambda: "zweite ✉" in _texts(stage))


@scenario("INVITE forked, two 200: the second dialog is ended", "serves", "session.fork")
@given("udp", sessions="in-dialog")
async def forked(stage):
    script = _answered(stage.script().recv("INVITE", keep=_INVITED)).recv("ACK", check=[("To", "sipp")])
    _late_ok(script.recv("MESSAGE").answer(200, tag=""), OTHER_TAG)
    script.recv("ACK", check=[("To", "fork")]).recv("BYE", check=[("To", "fork")]).answer(200, tag="")
    running = await stage.serve(script).ready()
    sent = stage.xmpp.send(stage.user, "wer von euch?")
    await running.done()
    require(not stage.xmpp.error_for(sent), "an error came back")


@scenario("488 to INVITE: the text goes as a MESSAGE of its own", "serves", "session.fallback")
@given("udp", sessions="in-dialog")
async def refused(stage):
    running = await stage.serve(stage.script("-1").recv("INVITE").answer(488).recv("ACK")).ready()
    sent = stage.xmpp.send(stage.user, "dann eben so")
    await running.done()
    running = await stage.serve(stage.script("-2").recv("MESSAGE", check=[(None, "dann eben so")]).answer(200)).ready()
    await running.done()
    await asyncio.sleep(0.3)
    require(not stage.xmpp.error_for(sent), "an error came back")


@scenario("180 and nothing more, then a 200 that crosses CANCEL", "serves", "session.cancel")
@given("udp", slow=True, sessions="in-dialog")
async def late_answer(stage):
    script = stage.script().recv("INVITE", keep=_INVITED).answer(180, "Ringing").recv("CANCEL", within=60_000).answer(200)
    _late_ok(script, TAG)
    script.recv("ACK").recv("BYE").answer(200, tag="")
    running = await stage.serve(script).ready()
    stage.xmpp.send(stage.user, "hebst du ab?")
    await running.done(60)
