"""MSRP user agent (RFC 4975): INVITE with a message stream over TCP, SEND in chunks, answers and reports.

It is written from the RFC and shares nothing with the gateway. SIP goes by the transport of the demo's phone.
"""

import asyncio
import re

from agent import until
from sip_message import Message, parameters, token, uri_of
from sip_transport import Transport
from sipp_script import pidf

_PORT = 2855
_SIP_PORT = 5060
_END = re.compile(rb"-------([A-Za-z0-9.+%=-]+)([$+#])\r\n")


class Frame:
    """One request or response of a stream; the flag ends it: `$` complete, `+` goes on, `#` aborted."""

    def __init__(self, start, headers, body, flag):
        self.start, self.headers, self.body, self.flag = start, headers, body, flag

    @property
    def transaction(self):
        """What joins a response to its request."""
        return self.start.split(" ")[1]

    @property
    def what(self):
        """The method, or the status code."""
        return self.start.split(" ")[2]


def encode(transaction, what, headers, body=None, flag="$"):
    """The bytes on the wire. The paths have to come first (RFC 4975, section 9)."""
    head = "\r\n".join([f"MSRP {transaction} {what}", *(f"{name}: {value}" for name, value in headers)]).encode()
    content = b"\r\n\r\n" + body if body is not None else b""
    return head + content + f"\r\n-------{transaction}{flag}\r\n".encode()


def cut(buffer):
    """Cuts the first frame off a stream: (frame or None, rest)."""
    start, end, _ = buffer.partition(b"\r\n")
    if not end:
        return None, buffer
    wanted = start.split(b" ")[1]
    close = next((found for found in _END.finditer(buffer) if found[1] == wanted), None)
    if close is None:
        return None, buffer
    head, blank, body = buffer[: close.start()].partition(b"\r\n\r\n")
    lines = head.decode().strip().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines[1:])
    frame = Frame(lines[0], headers, body.removesuffix(b"\r\n") if blank else None, close[2].decode())
    return frame, buffer[close.end() :]


class MsrpPeer:
    """One user with one session at a time, calling or called."""

    def __init__(self, address, host, proxy):
        self.address, self.proxy, self.host = address, proxy, host
        self.path = f"msrp://{host}:{_PORT}/{token()};tcp"
        self.texts, self.frames, self.reports, self.requests = {}, [], {}, []
        self.reports_success = True
        self._sip, self._server, self._reader, self._writer = Transport(host, _SIP_PORT, self._arrived), None, None, None
        self._waiting, self._chunks, self._answered = {}, {}, {}
        self._call_id, self._tag, self._cseq = token(), token(), 0
        self._remote = self._target = self._local = None
        self.peer_path = None

    async def open(self):
        """Binds, for SIP and for streams."""
        await self._sip.open()
        self._server = await asyncio.start_server(self._serve, self.host, _PORT)

    async def close(self):
        """Lets go of everything."""
        for each in (self._reader, self._writer, self._server, self._sip):
            if each:
                each.cancel() if isinstance(each, asyncio.Task) else each.close()
        await asyncio.sleep(0)

    # SIP

    async def invite(self, to):
        """INVITE, ACK, and our connection: returns the status."""
        self._local, self._remote, self._target = f"<sip:{self.address}>;tag={self._tag}", f"<sip:{to}>", f"sip:{to}"
        response = await self._request("INVITE", self._sdp("active"))
        if response.status == 200:
            self._remote, self._target = response.first("to"), uri_of(response.first("contact"))
            await self._request("ACK")
            self.peer_path = _path(response.text)
            await self._connect()
        return response.status

    async def bye(self):
        """Ends the session; returns the status."""
        return (await self._request("BYE")).status

    async def _request(self, method, body=""):
        if method != "ACK":
            self._cseq += 1
        request = Message(method=method, uri=self._target, body=body.encode())
        branch = f"z9hG4bK{token()}"
        for name, value in [
            ("Via", f"SIP/2.0/TCP {self.host}:{_SIP_PORT};branch={branch}"), ("Max-Forwards", 70), ("From", self._local),
            ("To", self._remote), ("Call-ID", self._call_id), ("CSeq", f"{self._cseq} {method}"), ("Contact", self._contact()),
            *([("Content-Type", "application/sdp")] if body else []),
        ]:  # fmt: skip
            request.add(name, value)
        final = self._waiting[branch] = asyncio.get_running_loop().create_future()
        await self._sip.send(request.encode(), *self.proxy, "tcp")
        return None if method == "ACK" else await asyncio.wait_for(final, 10)

    def _arrived(self, message, reply):
        if message.status:
            final = self._waiting.get(message.branch)
            if message.status >= 200 and final and not final.done():
                final.set_result(message)
            return
        self.requests.append(message.method)
        if message.method == "ACK":
            return
        response = Message(status=200, reason="OK")
        response.headers = [pair for pair in message.headers if pair[0] in ("via", "record-route")]
        to = message.first("to")
        local = to if "tag" in parameters(to) else f"{to};tag={self._tag}"
        for name, value in [("From", message.first("from")), ("To", local), ("Call-ID", message.first("call-id")),
                            ("CSeq", message.first("cseq")), ("Contact", self._contact())]:  # fmt: skip
            response.add(name, value)
        if message.method == "INVITE":
            self._local, self._remote, self._call_id = local, message.first("from"), message.first("call-id")
            self._target, self.peer_path = uri_of(message.first("contact")), _path(message.text)
            response.add("Content-Type", "application/sdp")
            response.body = self._sdp("active").encode()
            asyncio.ensure_future(self._connect())
        if message.method == "SUBSCRIBE":
            response.add("Expires", message.first("expires"))
            asyncio.ensure_future(self._notify(message, local))
        reply(response.encode())

    async def _notify(self, subscribe, local):
        """Says that the user is there; with Expires 0, that this was all."""
        is_over = subscribe.first("expires") == "0"
        notify = Message(method="NOTIFY", uri=uri_of(subscribe.first("contact")), body=pidf(self.address, "da").encode())
        for name, value in [
            ("Via", f"SIP/2.0/TCP {self.host}:{_SIP_PORT};branch=z9hG4bK{token()}"), ("Max-Forwards", 70), ("From", local),
            ("To", subscribe.first("from")), ("Call-ID", subscribe.first("call-id")), ("CSeq", f"{2 if is_over else 1} NOTIFY"),
            ("Contact", self._contact()), ("Event", "presence"), ("Content-Type", "application/pidf+xml"),
            ("Subscription-State", "terminated;reason=timeout" if is_over else "active;expires=600"),
        ]:  # fmt: skip
            notify.add(name, value)
        await self._sip.send(notify.encode(), *self.proxy, "tcp")

    def _contact(self):
        return f"<sip:{self.host}:{_SIP_PORT};transport=tcp>"

    def _sdp(self, setup):
        lines = ["v=0", f"o=- 1 1 IN IP4 {self.host}", "s=-", f"c=IN IP4 {self.host}", "t=0 0", f"m=message {_PORT} TCP/MSRP *",
                 "a=accept-types:text/plain application/im-iscomposing+xml", f"a=path:{self.path}", f"a=setup:{setup}"]  # fmt: skip
        return "\r\n".join(lines) + "\r\n"

    # The stream

    async def _connect(self):
        host, port = re.match(r"msrps?://([^:/]+):(\d+)/", self.peer_path).groups()
        reader, self._writer = await asyncio.open_connection(host, int(port), local_addr=(self.host, 0))
        self._reader = asyncio.ensure_future(self._read(reader))
        # The first request binds the connection to the session; an empty one is enough (RFC 4975, section 5.4).
        await self.send("", token())

    async def _serve(self, reader, writer):
        self._writer, self._reader = writer, asyncio.ensure_future(self._read(reader))

    async def send(self, text, message_id, sizes=(), success=False, order=None):
        """SEND in chunks of these sizes (the rest is one more), in this order; returns the statuses."""
        data, chunks, start = text.encode(), [], 0
        for size in [*sizes, None]:
            end = len(data) if size is None else start + size
            chunks.append((start, end))
            start = end
        statuses = []
        for number in order or range(len(chunks)):
            begin, end = chunks[number]
            headers = [("To-Path", self.peer_path), ("From-Path", self.path), ("Message-ID", message_id),
                       ("Byte-Range", f"{begin + 1}-{end}/{len(data)}"), *([("Success-Report", "yes")] if success else [])]  # fmt: skip
            body = data[begin:end] if data else None
            if data:
                headers.append(("Content-Type", "text/plain"))
            transaction = token()
            self._writer.write(encode(transaction, "SEND", headers, body, "$" if end == len(data) else "+"))
            statuses.append(int(await until("SEND is answered", lambda t=transaction: self._answered.get(t))))
        return statuses

    async def _read(self, reader):
        buffer = b""
        while data := await reader.read(65536):
            buffer += data
            frame, buffer = cut(buffer)
            while frame:
                self._frame(frame)
                frame, buffer = cut(buffer)
        self.frames.append(None)

    def _frame(self, frame):
        self.frames.append(frame)
        if frame.what.isdigit():
            self._answered[frame.transaction] = frame.what
        elif frame.what == "REPORT":
            self.reports[frame.headers["Message-ID"]] = frame.headers["Status"]
        elif frame.what == "SEND":
            self._writer.write(encode(frame.transaction, "200 OK", self._back(frame)))
            self._take(frame)

    def _take(self, frame):
        """A chunk: where it belongs is what its Byte-Range says, whatever came before it."""
        message_id, kind = frame.headers["Message-ID"], frame.headers.get("Content-Type", "")
        begin = int(frame.headers.get("Byte-Range", "1-*/*").partition("-")[0])
        chunks = self._chunks.setdefault(message_id, {})
        chunks[begin] = frame.body or b""
        if frame.flag != "$":
            return
        body = b"".join(chunks[begin] for begin in sorted(chunks))
        total = frame.headers.get("Byte-Range", "1-*/*").rpartition("/")[2]
        assert total in ("*", str(len(body))), f"{len(body)} bytes of {total}"
        if kind.startswith("text/plain"):
            self.texts[body.decode()] = len(chunks)
        if frame.headers.get("Success-Report") == "yes" and self.reports_success:
            report = [*self._back(frame), ("Message-ID", message_id), ("Byte-Range", f"1-{len(body)}/{len(body)}"),
                      ("Status", "000 200 OK")]  # fmt: skip
            self._writer.write(encode(token(), "REPORT", report))

    def _back(self, frame):
        return [("To-Path", frame.headers["From-Path"]), ("From-Path", frame.headers["To-Path"])]

    @property
    def is_over(self):
        """Whether the gateway has closed the stream."""
        return None in self.frames


def _path(sdp):
    return re.search(r"^a=path:(\S+)", sdp, re.MULTILINE)[1]
