"""SIP messages: reading and writing (RFC 3261, section 7). Only what a small user agent needs."""

import re
import secrets
from dataclasses import dataclass, field

_COMPACT = {
    "v": "via", "f": "from", "t": "to", "i": "call-id", "m": "contact", "l": "content-length", "c": "content-type",
    "s": "subject", "k": "supported", "o": "event", "u": "allow-events", "e": "content-encoding",
}  # fmt: skip
#: Header fields whose values may share one line, separated by commas.
_LISTS = {"via", "route", "record-route", "contact"}


@dataclass
class Message:
    """A request, when `method` is set, or a response. Header names are lower case, in the order of the wire."""

    method: str = ""
    uri: str = ""
    status: int = 0
    reason: str = ""
    headers: list = field(default_factory=list)
    body: bytes = b""

    def all(self, name):
        """The values of a header field, top first."""
        return [value for key, value in self.headers if key == name]

    def first(self, name, default=""):
        """The first value of a header field."""
        return next((value for key, value in self.headers if key == name), default)

    def add(self, name, value):
        """Adds a header field at the end."""
        self.headers.append((name.lower(), str(value)))

    @property
    def cseq(self):
        """Number and method of the CSeq."""
        number, _, method = self.first("cseq").partition(" ")
        return int(number), method.strip()

    @property
    def branch(self):
        """The branch of the top Via, which names the transaction."""
        return parameters(self.first("via")).get("branch", "")

    @property
    def text(self):
        """The body as text."""
        return self.body.decode("utf-8", "replace")

    def encode(self):
        """The bytes on the wire."""
        start = f"{self.method} {self.uri} SIP/2.0" if self.method else f"SIP/2.0 {self.status} {self.reason}"
        lines = [
            start,
            *(f"{name.title()}: {value}" for name, value in self.headers),
            f"Content-Length: {len(self.body)}",
        ]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + self.body


def parse(data):
    """Reads one message; ValueError when it is none."""
    head, _, body = data.partition(b"\r\n\r\n")
    start, *lines = re.sub(r"\r\n[ \t]+", " ", head.decode("utf-8")).split("\r\n")
    message = Message(body=body)
    if start.startswith("SIP/2.0 "):
        _, status, message.reason = (start + " ").split(" ", 2)
        message.status, message.reason = int(status), message.reason.strip()
    else:
        message.method, message.uri, version = start.split(" ")
        if version != "SIP/2.0":
            raise ValueError(f"not SIP: {start!r}")
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            raise ValueError(f"not a header field: {line!r}")
        name = name.strip().lower()
        name = _COMPACT.get(name, name)
        values = _split(value) if name in _LISTS else [value]
        message.headers += [(name, one.strip()) for one in values if name != "content-length"]
    return message


def cut(buffer):
    """Cuts the first message off a stream: (message or None, rest). Empty lines between messages are keep-alives."""
    buffer = buffer.lstrip(b"\r\n")
    head, end, rest = buffer.partition(b"\r\n\r\n")
    if not end:
        return None, buffer
    length = re.search(rb"^(?:content-length|l)[ \t]*:[ \t]*(\d+)", head, re.I | re.M)
    if not length:
        raise ValueError("a message on a stream without Content-Length")
    size = int(length[1])
    if len(rest) < size:
        return None, buffer
    return head + end + rest[:size], rest[size:]


def uri_of(value):
    """The URI inside a From, To, Contact or Route value."""
    bracketed = re.search(r"<([^>]*)>", value)
    return bracketed[1] if bracketed else value.partition(";")[0].strip()


def parameters(value):
    """The parameters of a header value, behind the URI."""
    tail = value.rpartition(">")[2] if ">" in value else value
    pairs = (part.strip().partition("=") for part in tail.split(";")[1:])
    return {name.lower(): text.strip('"') for name, _, text in pairs}


def address_of(uri):
    """user@host of a SIP URI."""
    return re.sub(r"^sips?:", "", uri).partition(";")[0].partition("?")[0]


def place_of(uri):
    """Host, port and transport that a SIP URI names."""
    rest, *pairs = re.sub(r"^sips?:", "", uri).split(";")
    host, _, port = rest.rpartition("@")[2].partition(":")
    named = dict(pair.partition("=")[::2] for pair in pairs)
    return host, int(port or 5060), named.get("transport", "udp").lower()


def token():
    """A fresh identifier for tags, branches and Call-IDs."""
    return secrets.token_hex(8)


def _split(value):
    """Splits at commas outside quotes and angle brackets."""
    return [part for part in re.findall(r'(?:"(?:\\.|[^"\\])*"|<[^>]*>|[^,"<])+', value) if part.strip()]
