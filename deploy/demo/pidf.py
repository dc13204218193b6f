"""Presence documents (PIDF, RFC 3863; person and activities, RFC 4479 and RFC 4480): what a phone writes and reads."""

from xml.etree import ElementTree
from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

_PIDF = "{urn:ietf:params:xml:ns:pidf}"
_PERSON = "{urn:ietf:params:xml:ns:pidf:data-model}person"
_ACTIVITIES = "{urn:ietf:params:xml:ns:pidf:rpid}activities"

CONTENT_TYPE = "application/pidf+xml"


@dataclass
class Tuple:
    """One device."""

    name: str
    open: bool
    show: str
    note: str


@dataclass
class Document:
    """What is known about somebody."""

    tuples: list
    activities: list
    notes: list

    @property
    def open(self):
        """Whether any device is there."""
        return any(device.open for device in self.tuples)

    @property
    def shows(self):
        """The XMPP availability of the devices that are there."""
        return [device.show for device in self.tuples if device.open]

    def says(self, note):
        """Whether a note stands anywhere in the document."""
        return note in self.notes or any(device.note == note for device in self.tuples)

    def __str__(self):
        state = "open" if self.open else "closed"
        notes = [device.note for device in self.tuples if device.note] + self.notes
        details = [*filter(None, self.shows), *self.activities, *(f"“{note}”" for note in dict.fromkeys(notes))]
        return f"{state} ({', '.join(details)})" if details else state


def write(address, contact, is_open=True, activity=None, note=None):
    """A document of a phone."""
    basic = "open" if is_open else "closed"
    noted = f"<note>{escape(note)}</note>" if note else ""
    person = f'<dm:person id="p1"><rpid:activities><rpid:{activity}/></rpid:activities></dm:person>' if activity else ""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<presence xmlns="urn:ietf:params:xml:ns:pidf" xmlns:dm="urn:ietf:params:xml:ns:pidf:data-model"'
        f' xmlns:rpid="urn:ietf:params:xml:ns:pidf:rpid" entity={quoteattr("pres:" + address)}>'
        f'<tuple id="phone"><status><basic>{basic}</basic></status>'
        f"<contact>{escape(contact)}</contact>{noted}</tuple>{person}</presence>"
    ).encode()


def read(body):
    """Reads a document; None for an empty body."""
    if not body.strip():
        return None
    root = ElementTree.fromstring(body)
    if root.tag != f"{_PIDF}presence":
        raise ValueError(f"not a presence document: {root.tag}")
    activities = root.findall(f"{_PERSON}/{_ACTIVITIES}/*") + root.findall(f"{_PIDF}tuple//{_ACTIVITIES}/*")
    return Document(
        tuples=[_tuple(element) for element in root.findall(f"{_PIDF}tuple")],
        activities=[element.tag.rpartition("}")[2] for element in activities],
        notes=[note.text or "" for note in root.findall(f"{_PIDF}note")],
    )


def _tuple(element):
    return Tuple(
        name=element.get("id", ""),
        open=element.findtext(f"{_PIDF}status/{_PIDF}basic", "").strip() == "open",
        show=element.findtext(f"{_PIDF}status/{{jabber:client}}show", "").strip(),
        note=(element.findtext(f"{_PIDF}note") or "").strip(),
    )
