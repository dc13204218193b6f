"""Chat sessions: INVITE with a message stream and MESSAGE in the dialog, in either direction, as Lync speaks it."""

import asyncio

from agent import require, until
from sipp_script import DIALOG, OTHER_TAG, TAG
from sipp_stage import sipp

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


def _texts(stage):
    return [message.text.strip() for message in stage.xmpp.messages if message.sender.startswith(stage.user)]


@sipp("session by SIP: INVITE, MESSAGE both ways, typing by INFO, BYE")
async def by_sip(stage):
    script = _established(stage.script())
    script.request("MESSAGE", 2, "[$target]", body="erste ✉").recv(200)
    script.recv("MESSAGE", check=[(None, "zweite ✉")]).answer(200, tag="")
    script.request("INFO", 3, "[$target]", body=_TYPING, kind="application/xml").recv(200)
    running = stage.call(_bye(script, 4))
    await until("the XMPP user reads it", lambda: "erste ✉" in _texts(stage))
    stage.xmpp.send(stage.user, "zweite ✉")
    await running.done()
    await until("typing is seen", lambda: _has_state(stage, "composing"))


def _has_state(stage, state):
    return any(message.state == state for message in stage.xmpp.messages if message.sender.startswith(stage.user))


@sipp("INVITE for audio alone: 488")
async def audio(stage):
    script = _invite(stage.script(), _sdp("audio 50000 RTP/AVP 0")).recv(100, optional=True).recv(488)
    await stage.call(script.request("ACK", 1, branch=_BRANCH)).done()


@sipp("CANCEL that crosses the 200 to INVITE")
async def cancel(stage):
    script = _invite(stage.script()).recv(100, optional=True).recv(200, keep=_KEPT)
    script.request("CANCEL", 1, branch=_BRANCH, to_tag="").recv(200)
    script.request("ACK", 1, "[$target]")
    await stage.call(_bye(script, 2)).done()


@sipp("no ACK: the 200 comes again")
async def no_ack(stage):
    script = _invite(stage.script()).recv(100, optional=True).recv(200, keep=_KEPT).recv(200).recv(200)
    script.request("ACK", 1, "[$target]").pause(200)
    await stage.call(_bye(script, 2), "-nr").done()


@sipp("INVITE sent again though answered: the same 200", transports=("udp",))
async def invite_again(stage):
    script = _invite(stage.script()).recv(100, optional=True).recv(200, keep=_KEPT)
    _invite(script).recv(200, check=[("Contact", "sip:")])
    script.request("ACK", 1, "[$target]")
    await stage.call(_bye(script, 2), "-nr").done()


@sipp("re-INVITE in a session, with an offer and without")
async def reinvite(stage):
    script = _established(stage.script())
    script.request("INVITE", 2, "[$target]", body=_sdp(version=2), kind="application/sdp").recv(100, optional=True)
    script.recv(200, check=[(None, "m=message 5060 sip")]).request("ACK", 2, "[$target]")
    script.request("INVITE", 3, "[$target]").recv(100, optional=True)
    script.recv(200, check=[(None, "m=message 5060 sip")])
    script.request("ACK", 3, "[$target]", body=_sdp(version=2), kind="application/sdp")
    await stage.call(_bye(script, 4)).done()


@sipp("session timer: taken, refreshed by UPDATE")
async def session_timer(stage):
    timer = ["Supported: timer", "Session-Expires: 90;refresher=uac"]
    script = _established(stage.script(), [("Session-Expires", "90;refresher=uac")], timer)
    script.request("UPDATE", 2, "[$target]", timer).recv(200, check=[("Session-Expires", "90;refresher=uac")])
    await stage.call(_bye(script, 3)).done()


@sipp("session timer shorter than the least: 422")
async def session_timer_too_small(stage):
    script = _invite(stage.script(), headers=["Supported: timer", "Session-Expires: 30"]).recv(100, optional=True)
    script.recv(422, check=[("Min-SE", "90")]).request("ACK", 1, branch=_BRANCH)
    await stage.call(script).done()


@sipp("request in a session that is over: 481")
async def over(stage):
    script = _bye(_established(stage.script()), 2).request("MESSAGE", 3, "[$target]", body="zu spät").recv(481)
    await stage.call(script).done()


@sipp("session by XMPP: INVITE, MESSAGE both ways, BYE", sessions="in-dialog")
async def by_xmpp(stage):
    script = stage.script().recv("INVITE", keep=_INVITED, check=[(None, "m=message 5060 sip")]).answer(180, "Ringing")
    _answered(script).recv("ACK").recv("MESSAGE", check=[(None, "erste ✉")]).answer(200, tag="")
    script.within("MESSAGE", 1, body="zweite ✉").recv(200).within("BYE", 2).recv(200)
    running = await stage.serve(script).ready()
    stage.xmpp.send(stage.user, "erste ✉")
    await running.done()
    await until("the XMPP user reads it", lambda: "zweite ✉" in _texts(stage))


@sipp("INVITE forked, two 200: the second dialog is ended", sessions="in-dialog", transports=("udp",))
async def forked(stage):
    script = _answered(_answered(stage.script().recv("INVITE", keep=_INVITED)), OTHER_TAG)
    script.recv("ACK", check=[("To", "sipp")]).recv("MESSAGE").answer(200, tag="")
    script.recv("ACK", check=[("To", "fork")]).recv("BYE", check=[("To", "fork")]).answer(200, tag="")
    running = await stage.serve(script).ready()
    sent = stage.xmpp.send(stage.user, "wer von euch?")
    await running.done()
    require(not stage.xmpp.error_for(sent), "an error came back")


@sipp("488 to INVITE: the text goes as a MESSAGE of its own", sessions="in-dialog", transports=("udp",))
async def refused(stage):
    running = await stage.serve(stage.script("-1").recv("INVITE").answer(488).recv("ACK")).ready()
    sent = stage.xmpp.send(stage.user, "dann eben so")
    await running.done()
    running = await stage.serve(stage.script("-2").recv("MESSAGE", check=[(None, "dann eben so")]).answer(200)).ready()
    await running.done()
    await asyncio.sleep(0.3)
    require(not stage.xmpp.error_for(sent), "an error came back")


@sipp("180 and nothing more, then a 200 that crosses CANCEL", sessions="in-dialog", transports=("udp",), slow=True)
async def late_answer(stage):
    script = stage.script().recv("INVITE", keep=_INVITED).answer(180, "Ringing").recv("CANCEL", within=60_000).answer(200)
    body = _sdp()
    script.raw(["SIP/2.0 200 OK", "Via:[$via]", "From: [$remote]", f"To: [$local];tag={TAG}", "Call-ID: [call_id]", "CSeq:[$cseq]",
                "Contact: <sip:sipp@[local_ip]:[local_port]>"], body, "application/sdp")  # fmt: skip
    script.recv("ACK").recv("BYE").answer(200, tag="")
    running = await stage.serve(script).ready()
    stage.xmpp.send(stage.user, "hebst du ab?")
    await running.done(60)
