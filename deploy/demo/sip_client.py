"""A SIP phone: registers, publishes presence, watches others, sends and receives messages.

RFC 3261 (transactions without INVITE, dialogs, registration), RFC 3428 (MESSAGE), RFC 3903 (PUBLISH), RFC 6665 and
RFC 3856 (SUBSCRIBE and NOTIFY for presence). It speaks for one address of record over UDP or TCP, and everything it
sends outside a dialog goes to its proxy.
"""

import asyncio
import time
from dataclasses import dataclass

import pidf
from sip_message import Message, address_of, parameters, place_of, token, uri_of
from sip_transport import Transport

_T1, _T2 = 0.5, 4.0
#: Timer F, and with some air for a proxy whose own Timer F began later.
_TRANSACTION_PATIENCE = 64 * _T1 + 2
_ALLOW = "MESSAGE, NOTIFY, OPTIONS"
_EXPIRES = 3600
#: Answers kept for requests that are sent again.
_ANSWERS_KEPT = 512


@dataclass
class Received:
    """A message that arrived."""

    sender: str
    text: str
    content_type: str
    call_id: str
    at: float


class Phone:
    """One user agent."""

    def __init__(self, address, host, transport="tcp", port=5060, proxy=("127.0.10.10", 5060)):
        self.address, self.transport = address, transport
        self.messages, self.subscriptions = [], {}
        self.contact = f"sip:{address.partition('@')[0]}@{host}:{port}" + (
            ";transport=tcp" if transport == "tcp" else ""
        )
        self._wire = Transport(host, port, self._arrived)
        self._proxy = (*proxy, transport)
        self._waiting, self._answers = {}, {}
        self._registration, self._cseq = token(), 0
        self._etag = None
        self._keepers = set()

    async def start(self):
        """Binds and registers."""
        await self._wire.open()
        return await self.register()

    async def stop(self):
        """Leaves: ends what it watches, its publication and its registration."""
        for keeper in list(self._keepers):
            keeper.cancel()
        for subscription in list(self.subscriptions.values()):
            if subscription.state != "terminated":
                await subscription.end()
        await self.unpublish()
        await self.register(expires=0)
        self._wire.close()

    async def register(self, expires=_EXPIRES):
        """REGISTER."""
        domain = self.address.partition("@")[2]
        request = self._request("REGISTER", f"sip:{domain}", self.address, self._registration)
        request.add("Contact", f"<{self.contact}>")
        request.add("Expires", expires)
        return await self.transact(request)

    async def publish(self, is_open=True, activity=None, note=None):
        """PUBLISH: the state that watchers see. A tag that the server forgot makes it begin anew."""
        body = pidf.write(self.address, self.contact, is_open, activity, note)
        response = await self._publish(_EXPIRES, body)
        if response.status == 412:
            self._etag = None
            response = await self._publish(_EXPIRES, body)
        return response

    async def unpublish(self):
        """Takes the publication back."""
        if self._etag:
            response = await self._publish(0, b"")
            self._etag = None
            return response
        return None

    async def send(self, to, text, subject=None):
        """MESSAGE; returns the final response."""
        request = self._request("MESSAGE", f"sip:{to}", to)
        if subject:
            request.add("Subject", subject)
        request.add("Content-Type", "text/plain;charset=UTF-8")
        request.body = text.encode()
        return await self.transact(request)

    async def watch(self, to):
        """SUBSCRIBE to somebody's presence; returns the subscription and the final response."""
        subscription = Subscription(self, to)
        self.subscriptions[subscription.call_id] = subscription
        response = await subscription.refresh()
        if response.status >= 300:
            self.subscriptions.pop(subscription.call_id)
        else:
            self._keep(subscription)
        return subscription, response

    async def transact(self, request, place=None):
        """Sends a request and waits for its final response; 408 and 503 as RFC 3261, section 8.1.3.1 says."""
        host, port, kind = place or self._proxy
        branch = f"z9hG4bK{token()}"
        via = f"SIP/2.0/{kind.upper()} {self._wire.address}:{self._wire.port};branch={branch};rport"
        request.headers.insert(0, ("via", via))
        final = self._waiting[branch] = asyncio.get_running_loop().create_future()
        try:
            return await asyncio.wait_for(
                self._send_until(request.encode(), host, port, kind, final), _TRANSACTION_PATIENCE
            )
        except TimeoutError:
            return Message(status=408, reason="nobody answered")
        except OSError as error:
            return Message(status=503, reason=f"not sent: {error}")
        finally:
            del self._waiting[branch]

    async def _send_until(self, data, host, port, kind, final):
        """Sends, and over UDP sends again (timer E) until the final response is there."""
        interval = _T1
        while True:
            await self._wire.send(data, host, port, kind)
            if kind != "udp":
                return await final
            done, _ = await asyncio.wait([final], timeout=interval)
            if done:
                return final.result()
            interval = min(2 * interval, _T2)

    async def _publish(self, expires, body):
        request = self._request("PUBLISH", f"sip:{self.address}", self.address)
        request.add("Event", "presence")
        request.add("Expires", expires)
        if self._etag:
            request.add("SIP-If-Match", self._etag)
        if body:
            request.add("Content-Type", pidf.CONTENT_TYPE)
            request.body = body
        response = await self.transact(request)
        if response.status < 300:
            self._etag = response.first("sip-etag") or None
        return response

    def _request(self, method, uri, to, call_id=None):
        self._cseq += 1
        request = Message(method=method, uri=uri)
        request.add("Max-Forwards", 70)
        request.add("From", f"<sip:{self.address}>;tag={token()}")
        request.add("To", f"<sip:{to}>")
        request.add("Call-ID", call_id or token())
        request.add("CSeq", f"{self._cseq} {method}")
        request.add("User-Agent", "causeway-demo-phone")
        return request

    def _keep(self, subscription):
        task = asyncio.ensure_future(subscription.keep())
        self._keepers.add(task)
        task.add_done_callback(self._keepers.discard)

    def _arrived(self, message, reply):
        if message.status:
            final = self._waiting.get(message.branch)
            if final and not final.done() and message.status >= 200:
                final.set_result(message)
            return
        if message.method == "ACK":
            return
        key = (message.branch, message.method)
        if key not in self._answers:
            self._answers[key] = self._answer(message).encode()
            if len(self._answers) > _ANSWERS_KEPT:
                del self._answers[next(iter(self._answers))]
        reply(self._answers[key])

    def _answer(self, request):
        """What a request means, and the response to it."""
        if request.method == "OPTIONS":
            return self._response(request, 200, "OK", [("Allow", _ALLOW)])
        if request.method == "MESSAGE":
            sender = address_of(uri_of(request.first("from")))
            content_type = request.first("content-type")
            received = Received(sender, request.text, content_type, request.first("call-id"), time.monotonic())
            self.messages.append(received)
            return self._response(request, 200, "OK")
        if request.method == "NOTIFY":
            subscription = self.subscriptions.get(request.first("call-id"))
            if subscription is None or not subscription.accepts(request):
                return self._response(request, 481, "Subscription Does Not Exist")
            return self._response(request, *subscription.notified(request))
        return self._response(request, 405, "Method Not Allowed", [("Allow", _ALLOW)])

    def _response(self, request, status, reason, more=()):
        response = Message(status=status, reason=reason)
        response.headers = [pair for pair in request.headers if pair[0] in ("via", "record-route")]
        response.add("From", request.first("from"))
        to = request.first("to")
        response.add("To", to if "tag" in parameters(to) else f"{to};tag={token()}")
        response.add("Call-ID", request.first("call-id"))
        response.add("CSeq", request.first("cseq"))
        for name, value in more:
            response.add(name, value)
        return response


class Subscription:
    """The subscriber's half of one dialog for presence (RFC 6665, section 4.1)."""

    def __init__(self, phone, to):
        self.phone, self.to = phone, to
        self.call_id, self.state, self.reason = token(), "trying", ""
        self.document, self.notifies, self.expires = None, 0, 0
        self._local_tag, self._remote_tag, self._cseq = token(), None, 0
        self._target, self._routes, self._remote_cseq = f"sip:{to}", [], 0

    async def refresh(self, expires=_EXPIRES):
        """SUBSCRIBE: the first one creates the dialog, the next ones refresh it; 0 ends it."""
        self._cseq += 1
        request = Message(method="SUBSCRIBE", uri=self._target)
        request.headers += [("route", route) for route in self._routes]
        request.add("Max-Forwards", 70)
        request.add("From", f"<sip:{self.phone.address}>;tag={self._local_tag}")
        request.add("To", f"<sip:{self.to}>" + (f";tag={self._remote_tag}" if self._remote_tag else ""))
        request.add("Call-ID", self.call_id)
        request.add("CSeq", f"{self._cseq} SUBSCRIBE")
        request.add("Contact", f"<{self.phone.contact}>")
        request.add("Event", "presence")
        request.add("Accept", pidf.CONTENT_TYPE)
        request.add("Expires", expires)
        response = await self.phone.transact(request, self._next_hop())
        if response.status < 300:
            self.expires = int(response.first("expires", str(expires)))
            self._take_remote(response, "to", list(reversed(response.all("record-route"))))
        elif response.status in (404, 405, 410, 416, 480, 481, 482, 483, 484, 485, 489, 501, 604):
            self.state, self.reason = "terminated", f"refresh answered {response.status}"  # RFC 6665, section 4.1.2.2
        return response

    async def end(self):
        """Stops watching."""
        return await self.refresh(expires=0)

    async def keep(self):
        """Refreshes in time for as long as the subscription lives."""
        while self.state != "terminated":
            await asyncio.sleep(max(self.expires, 60) * 0.8)
            if self.state != "terminated":
                await self.refresh()

    def accepts(self, notify):
        """Whether a NOTIFY belongs to this dialog: our tag, its one notifier (RFC 3856, section 6.9), its package."""
        ours = parameters(notify.first("to")).get("tag") == self._local_tag
        theirs = parameters(notify.first("from")).get("tag")
        package = notify.first("event").partition(";")[0].strip() == "presence"
        return ours and package and self._remote_tag in (None, theirs) and self.state != "terminated"

    def notified(self, notify):
        """Takes the new state; returns the response."""
        number, _ = notify.cseq
        if number <= self._remote_cseq:
            return 500, "Older Than What Is Known"
        try:
            document = pidf.read(notify.body)
        except (ValueError, SyntaxError):
            return 400, "Not a Presence Document"
        self._remote_cseq = number
        self._take_remote(notify, "from", notify.all("record-route"))
        value = notify.first("subscription-state")
        named = parameters(value)
        self.state, self.reason = value.partition(";")[0].strip().lower(), named.get("reason", "")
        self.document = document or self.document
        self.notifies += 1
        return 200, "OK"

    def _take_remote(self, message, header, routes):
        """Remote tag, target and route set: from the NOTIFY that makes the dialog (RFC 6665, section 4.4.1)."""
        if self._remote_tag is None:
            self._remote_tag, self._routes = parameters(message.first(header)).get("tag"), routes
        if message.first("contact"):
            self._target = uri_of(message.first("contact"))

    def _next_hop(self):
        if self._remote_tag is None:
            return None
        place = place_of(uri_of(self._routes[0]) if self._routes else self._target)
        return place if place[2] in ("udp", "tcp") else None  # what a phone cannot reach itself, its proxy can
