"""What sets the negotiations off: a message in every pair of domains, from XMPP to SIP and from SIP to XMPP."""

import hashlib
import http.client
import json
import re
import socket
import threading

from environment import DemoError
from matrix import VALID
from servers import (
    COMPONENT_PORT,
    COMPONENT_SECRET,
    EJABBERD,
    EJABBERD_API,
    EJABBERDS,
    GATEWAY,
    LOCAL,
    POOL,
    PROSODIES,
)

PATIENCE = 10.0


def from_partners():
    """A user of every domain writes to Alice; each server then opens a stream to the edge."""
    for kind, place in PROSODIES.items():
        with _Component(place, f"driver.{kind.name}.invalid") as component:
            for row in VALID:
                component.send(_stanza(f"user@{kind.domain(row)}"))
    for kind in EJABBERDS:
        for row in VALID:
            sender = f"user@{kind.domain(row)}"
            body = {"from": sender, "to": f"alice@{LOCAL}", "stanza": _stanza(sender)}
            connection = http.client.HTTPConnection(EJABBERD, EJABBERD_API, timeout=PATIENCE)
            connection.request("POST", "/api/send_stanza", json.dumps(body), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            if answer.status != 200:
                raise DemoError(f"ejabberd does not send as {sender}: {answer.status} {answer.read()}")
            connection.close()


def _stanza(sender):
    return f"<message from='{sender}' to='alice@{LOCAL}' type='chat' id='in'><body>hello</body></message>"


class _Component:
    """An external component (XEP-0114), which may speak for any user of its server here."""

    def __init__(self, place, name):
        self._place, self._name = place, name

    def __enter__(self):
        self._socket = socket.create_connection((self._place, COMPONENT_PORT), timeout=PATIENCE)
        self.send(
            "<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' "
            f"to='{self._name}'>"
        )
        opened = self._read(r"<stream:stream[^>]*>")
        stream_id = re.search(r"id=['\"]([^'\"]+)", opened).group(1)
        digest = hashlib.sha1((stream_id + COMPONENT_SECRET).encode()).hexdigest()
        self.send(f"<handshake>{digest}</handshake>")
        self._read(r"<handshake/>")
        return self

    def __exit__(self, *_):
        self.send("</stream:stream>")
        self._read(r"</stream:stream>")
        self._socket.close()

    def send(self, text):
        """Sends anything."""
        self._socket.sendall(text.encode())

    def _read(self, pattern):
        text = ""
        while not re.search(pattern, text):
            data = self._socket.recv(65536)
            if not data:
                raise DemoError(f"{self._name} at {self._place} hung up after {text[-200:]!r}")
            text += data.decode()
        return text


class Pool:
    """The SIP side: takes every request with 200, and writes to users of partners."""

    def __enter__(self):
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self._socket.bind((POOL, 5060))
        #: Status of the final response, by Call-ID.
        self.answers = {}
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._socket.close()

    def write_to(self, domain):
        """Alice writes to somebody there; the edge then opens a stream to the partner's server."""
        text = (
            f"MESSAGE sip:user@{domain} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP {POOL}:5060;branch=z9hG4bK-{domain}\r\n"
            f"From: <sip:alice@{LOCAL}>;tag=a\r\nTo: <sip:user@{domain}>\r\nCall-ID: {domain}\r\n"
            "CSeq: 1 MESSAGE\r\nMax-Forwards: 70\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"
        )
        self._socket.sendto(text.encode(), (GATEWAY, 5060))

    def _serve(self):
        while True:
            try:
                data, peer = self._socket.recvfrom(65536)
            except OSError:
                return
            head = data.decode("utf-8", "replace").partition("\r\n\r\n")[0].split("\r\n")
            if head[0].startswith("SIP/2.0 "):
                status = int(head[0].split()[1])
                call_id = next(line.partition(":")[2].strip() for line in head if line.lower().startswith("call-id:"))
                if status >= 200:
                    self.answers[call_id] = status
                continue
            kept = [line for line in head[1:] if re.match(r"(?i)(via|from|to|call-id|cseq):", line)]
            answer = ["SIP/2.0 200 OK", *(line + ";tag=p" if line.lower().startswith("to:") else line for line in kept)]
            self._socket.sendto(("\r\n".join([*answer, "Content-Length: 0", "", ""])).encode(), peer)
