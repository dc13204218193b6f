"""Scenarios of message streams: an MSRP peer where the pool stands, an XMPP user at the other end."""

import asyncio
from xml.etree import ElementTree

import environment
from agent import require, until
from exchange import TEXT_TO_SIP, TEXT_TO_XMPP
from msrp import MsrpPeer
from sipp_stage import FIRST, given, scenario
from xmpp_client import Client

_RECEIPTS = "urn:xmpp:receipts"

_LONG = "".join(f"{number:04d} äöü 你好 🐎\n" for number in range(200)).strip()


class Confirming(Client):
    """An XMPP user who can say that a message arrived (XEP-0184)."""

    def confirm(self, to, message_id):
        """Sends the receipt of a message."""
        message = self._stream.make_message(mto=to, mtype="chat")
        ElementTree.SubElement(message.xml, f"{{{_RECEIPTS}}}received", id=message_id)
        message.send()


class _Call:
    """An MSRP peer for as long as one scenario takes."""

    def __init__(self, stage):
        self.peer, self.stage = MsrpPeer(stage.user, FIRST, (environment.GATEWAY, 5060)), stage

    async def __aenter__(self):
        await self.peer.open()
        return self.peer

    async def __aexit__(self, *_):
        await self.peer.close()


def _message(stage, text):
    return next((each for each in stage.xmpp.messages if each.text == text and each.sender.startswith(stage.user)), None)


def _has(stage, **wanted):
    fits = lambda each: all(getattr(each, name) == value for name, value in wanted.items())  # noqa: E731
    return any(fits(each) and each.sender.startswith(stage.user) for each in stage.xmpp.messages)


async def _called(stage, peer, status=200):
    answered = await peer.invite(stage.xmpp.address)
    require(answered == status, f"INVITE was answered {answered}")


@scenario("stream by SIP: INVITE, SEND both ways, BYE", "msrp", "msrp.session", "session.gone")
@given(sessions="msrp")
async def by_sip(stage):
    async with _Call(stage) as peer:
        await _called(stage, peer)
        statuses = await peer.send(TEXT_TO_XMPP, "hinein1")
        require(statuses == [200], f"SEND was answered {statuses}")
        await until("the XMPP user reads it", lambda: _message(stage, TEXT_TO_XMPP))
        stage.xmpp.send(stage.user, TEXT_TO_SIP, state="active")
        await until("the SIP user reads it", lambda: TEXT_TO_SIP in peer.texts)
        require(await peer.bye() == 200, "BYE was not answered with 200")
        await until("the stream is closed", lambda: peer.is_over)
        await until("the XMPP user sees the end", lambda: _has(stage, state="gone"))


@scenario("stream by XMPP: INVITE, SEND both ways, gone is BYE", "msrp", "msrp.session", "session.form", "session.gone")
@given(sessions="msrp")
async def by_xmpp(stage):
    async with _Call(stage) as peer:
        sent = stage.xmpp.send(stage.user, TEXT_TO_SIP, state="active")
        await until("the SIP user reads it", lambda: TEXT_TO_SIP in peer.texts)
        statuses = await peer.send(TEXT_TO_XMPP, "hinein1")
        require(statuses == [200], f"SEND was answered {statuses}")
        await until("the XMPP user reads it", lambda: _message(stage, TEXT_TO_XMPP))
        stage.xmpp.send_state(stage.user, "gone")
        await until("BYE comes", lambda: "BYE" in peer.requests)
        await until("the stream is closed", lambda: peer.is_over)
        require(not stage.xmpp.error_for(sent), "an error came back")


@scenario("chunks to XMPP, in order and out of it", "msrp", "msrp.chunks")
@given(sessions="msrp")
async def chunks_to_xmpp(stage):
    async with _Call(stage) as peer:
        await _called(stage, peer)
        # The sizes cut characters in the middle.
        statuses = await peer.send(_LONG, "lang1", (1001, 1, 1501))
        require(statuses == [200] * 4, f"the chunks were answered {statuses}")
        await until("the XMPP user reads it", lambda: _message(stage, _LONG))
        text = f"anders herum\n{_LONG}"
        await peer.send(text, "lang2", (1001, 1003), order=(1, 0, 2))
        await until("the XMPP user reads the other", lambda: _message(stage, text))
        await peer.bye()


@scenario("chunks to SIP", "msrp", "msrp.chunks")
@given(sessions="msrp")
async def chunks_to_sip(stage):
    async with _Call(stage) as peer:
        stage.xmpp.send(stage.user, _LONG)
        chunks = await until("the SIP user reads it", lambda: peer.texts.get(_LONG))
        require(chunks > 1, "it came in one chunk")
        await peer.bye()


@scenario("success report to XMPP is a receipt", "msrp", "msrp.reports", "receipt.id")
@given(sessions="msrp")
async def report_to_xmpp(stage):
    """Where a user is hears who may see his presence, and nobody else (XEP-0184, section 8)."""
    async with _Call(stage) as peer:
        unseen = stage.xmpp.send(stage.user, "im Dunkeln", wants_receipt=True)
        await until("the SIP user reads it", lambda: "im Dunkeln" in peer.texts)
        stage.xmpp.subscription(stage.user, "subscribe")
        await until("the XMPP user sees presence", lambda: stage.xmpp.last_presence(stage.user, "available"))
        peer.reports_success = False
        silent = stage.xmpp.send(stage.user, "ohne", wants_receipt=True)
        await until("the SIP user reads it", lambda: "ohne" in peer.texts)
        peer.reports_success = True
        sent = stage.xmpp.send(stage.user, "mit", wants_receipt=True)
        await until("the receipt comes", lambda: _has(stage, receipt_for=sent))
        require(not _has(stage, receipt_for=silent), "a receipt came for what was not reported")
        require(not _has(stage, receipt_for=unseen), "a receipt came to somebody who may not see presence")
        await peer.bye()


@scenario("receipt to SIP is a success report", "msrp", "msrp.reports", "receipt.asked")
@given(sessions="msrp")
async def report_to_sip(stage):
    async with _Call(stage) as peer:
        await _called(stage, peer)
        await peer.send("angekommen?", "frage1", success=True)
        asked = await until("the XMPP user reads it", lambda: _message(stage, "angekommen?"))
        await asyncio.sleep(0.5)
        require(not peer.reports, "it was reported before the XMPP user's client confirmed it")
        stage.xmpp.confirm(asked.sender, asked.id)
        await until("the report comes", lambda: peer.reports.get("frage1", "").startswith("000 200"))
        await peer.bye()


@scenario("SEND to a session that nobody knows: 481", "msrp", "msrp.bind")
@given(sessions="msrp")
async def unknown(stage):
    async with _Call(stage) as peer:
        await _called(stage, peer)
        known, peer.peer_path = peer.peer_path, peer.peer_path.replace(";tcp", "x;tcp")
        statuses = await peer.send("wohin?", "falsch1")
        require(statuses == [481], f"SEND was answered {statuses}")
        peer.peer_path = known
        await peer.bye()
