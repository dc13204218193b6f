"""An XMPP client on slixmpp that decides nothing by itself and remembers everything that reaches it."""

import asyncio
import logging
import time
from dataclasses import dataclass
from xml.etree import ElementTree

with open("/dev/null", "w", encoding="utf-8") as _quiet:  # slixmpp announces its choice of stringprep when imported
    logging.basicConfig(level=logging.CRITICAL, stream=_quiet)
import slixmpp
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import MatchXPath

_LOGIN_PATIENCE = 15.0
_CHAT_STATES = "http://jabber.org/protocol/chatstates"
_RECEIPTS = "urn:xmpp:receipts"


@dataclass
class Presence:
    """A presence stanza that arrived."""

    sender: str
    kind: str
    show: str
    status: str
    condition: str
    at: float

    def __str__(self):
        if self.kind != "available":
            return f"{self.kind} {self.condition}".strip()
        return f"{self.show or 'available'}" + (f" “{self.status}”" if self.status else "")


@dataclass
class Received:
    """A message stanza that arrived; `condition` names what went wrong when it is an error."""

    sender: str
    kind: str
    text: str
    id: str
    condition: str
    at: float
    #: The chat state that it carries (XEP-0085), and the id that it confirms (XEP-0184).
    state: str = ""
    receipt_for: str = ""


class Client:
    """One user with one device. Subscriptions are answered only by whoever holds the client."""

    def __init__(self, address, server, resource="desk", port=5222):
        self.address, self.server, self.port = address, server, port
        self.presences, self.messages, self.errors = [], [], []
        self._resource, self._stream = resource, None

    async def start(self, show="", status=""):
        """Logs in and becomes available."""
        name = self.address.partition("@")[0]
        stream = self._stream = slixmpp.ClientXMPP(
            f"{self.address}/{self._resource}",
            f"{name}pw",
            plugin_config={"feature_mechanisms": {"unencrypted_plain": True, "unencrypted_scram": True}},
        )
        stream.roster.auto_authorize, stream.roster.auto_subscribe = None, False
        stream.auto_reconnect = False
        started = asyncio.get_running_loop().create_future()
        stream.add_event_handler("session_start", lambda _: started.done() or started.set_result(None))
        stream.add_event_handler(
            "failed_auth", lambda _: started.done() or started.set_exception(OSError("login refused"))
        )
        stream.register_handler(Callback("every presence", MatchXPath("{jabber:client}presence"), self._presence))
        stream.register_handler(Callback("every message", MatchXPath("{jabber:client}message"), self._message))
        stream.connect((self.server, self.port), force_starttls=False, disable_starttls=True)
        try:
            await asyncio.wait_for(started, _LOGIN_PATIENCE)
        except TimeoutError:
            raise OSError(f"{self.address} could not log in at {self.server} in {_LOGIN_PATIENCE:.0f} s") from None
        await stream.get_roster()
        self.publish(show, status)

    async def stop(self):
        """Becomes unavailable and logs out."""
        if self._stream:
            self._stream.send_presence(ptype="unavailable")
            await self._stream.disconnect(wait=2.0)
            self._stream = None

    def publish(self, show="", status=""):
        """Says how it is: show is empty, away, xa, dnd or chat."""
        self._stream.send_presence(pshow=show or None, pstatus=status or None)

    def publish_unavailable(self, status=""):
        """Says that it is not there, without logging out."""
        self._stream.send_presence(ptype="unavailable", pstatus=status or None)

    def subscription(self, to, kind):
        """subscribe, subscribed, unsubscribe or unsubscribed."""
        self._stream.send_presence(pto=to, ptype=kind)

    def forget(self, address):
        """Takes somebody off the roster, and with that ends what was agreed, both ways (RFC 6121, section 2.5)."""
        self._stream.del_roster_item(address)

    def send(self, to, text, kind="chat", state=None, wants_receipt=False):
        """Sends a message; returns its id."""
        message = self._stream.make_message(mto=to, mbody=text, mtype=kind)
        message["id"] = self._stream.new_id()
        if state:
            ElementTree.SubElement(message.xml, f"{{{_CHAT_STATES}}}{state}")
        if wants_receipt:
            ElementTree.SubElement(message.xml, f"{{{_RECEIPTS}}}request")
        message.send()
        return message["id"]

    def send_state(self, to, state):
        """Sends a chat state alone."""
        return self.send(to, None, state=state)

    def last_presence(self, sender, *kinds):
        """The newest presence of somebody, of these kinds if any are given."""
        fitting = (p for p in reversed(self.presences) if p.sender.partition("/")[0] == sender)
        return next((p for p in fitting if not kinds or p.kind in kinds), None)

    def error_for(self, message_id):
        """The error that came back for a message."""
        return next((error for error in self.errors if error.id == message_id), None)

    def _presence(self, stanza):
        kind = stanza.xml.get("type") or "available"
        condition = stanza["error"]["condition"] if kind == "error" else ""
        self.presences.append(
            Presence(
                str(stanza["from"]), kind, _text(stanza, "show"), _text(stanza, "status"), condition, time.monotonic()
            )
        )

    def _message(self, stanza):
        kind = stanza.xml.get("type") or "normal"
        condition = stanza["error"]["condition"] if kind == "error" else ""
        states = [child.tag.rpartition("}")[2] for child in stanza.xml if child.tag.startswith(f"{{{_CHAT_STATES}}}")]
        receipt = stanza.xml.find(f"{{{_RECEIPTS}}}received")
        received = Received(
            str(stanza["from"]), kind, _text(stanza, "body"), stanza["id"], condition, time.monotonic(),
            next(iter(states), ""), receipt.get("id", "") if receipt is not None else "",
        )  # fmt: skip
        (self.errors if kind == "error" else self.messages).append(received)


def _text(stanza, name):
    return stanza.xml.findtext(f"{{jabber:client}}{name}") or ""
