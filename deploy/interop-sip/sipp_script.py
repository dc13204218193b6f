"""Scenarios of sipp, put together from requests and responses, and written as the XML that it reads.

Everything in square brackets is sipp's to fill in.
"""

from xml.sax.saxutils import quoteattr

#: How long sipp waits for a message before it gives the call up, unless a step says otherwise.
_PATIENCE_MS = 10_000
_CONTACT = "Contact: <sip:sipp@[local_ip]:[local_port];transport=[transport]>"
_RESPONSE = ["[last_Via:]", "[last_Record-Route:]", "[last_From:]", "[last_To:]{tag}", "[last_Call-ID:]", "[last_CSeq:]"]
#: Our tag in every dialog, and that of a second branch.
TAG, OTHER_TAG = "[pid]sipp[call_number]", "[pid]fork[call_number]"


class Script:
    """One scenario. What was kept of a message is `[$name]` in those after it."""

    def __init__(self, name, user, xmpp):
        self.name, self.user, self.xmpp = name, user, xmpp
        self._steps, self._kept, self._checks = [], [], 0

    def recv(self, what, keep=None, check=None, optional=False, within=_PATIENCE_MS):
        """Waits for a request by its method or a response by its status.

        `keep` maps a name to (header, pattern); `check` lists (header or None for the body, pattern) that must be there.
        """
        kind = "response" if isinstance(what, int) else "request"
        options = f' {kind}="{what}"' + (' optional="true"' if optional else f' timeout="{within}"')
        actions = [self._keep(name, *where) for name, where in (keep or {}).items()]
        actions += [self._check(*each) for each in check or []]
        inner = f"<action>{''.join(actions)}</action>" if actions else ""
        self._steps.append(f"<recv{options}>{inner}</recv>")
        return self

    def answer(self, status, reason="", tag=f";tag={TAG}", headers=(), body=None, kind=None):
        """Answers the last request; `tag` is what To gets, nothing inside a dialog."""
        lines = [f"SIP/2.0 {status} {reason or 'As It Is'}", *_RESPONSE, *([] if status == 100 else [_CONTACT]), *headers]
        return self._send([line.format(tag="" if status == 100 else tag) for line in lines], body, kind)

    def request(self, method, cseq, uri=None, headers=(), body=None, kind=None, to_tag="[peer_tag_param]", **more):
        """Sends a request of our own user, of a dialog that we begin or outside of dialogs."""
        lines = [
            f"{method} {uri or 'sip:' + self.xmpp} SIP/2.0",
            f"Via: SIP/2.0/[transport] [local_ip]:[local_port];branch={more.pop('branch', '[branch]')}",
            f"From: <sip:{self.user}>;tag={TAG}",
            f"To: <sip:{self.xmpp}>{to_tag}",
            f"Call-ID: {more.pop('call_id', '[call_id]')}",
            f"CSeq: {cseq} {more.pop('cseq_method', method)}",
            f"Max-Forwards: {more.pop('max_forwards', 70)}",
            *([] if method in ("CANCEL", "ACK", "MESSAGE") else [_CONTACT]),
            *headers,
        ]
        return self._send(lines, body, kind, **more)

    def within(self, method, cseq, tag=TAG, headers=(), body=None, kind=None, **more):
        """Sends a request inside the dialog that the gateway began; what makes the dialog was kept by `dialog`."""
        lines = [
            f"{method} [$target] SIP/2.0",
            "Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]",
            f"From: [$local];tag={tag}",
            "To: [$remote]",
            "Call-ID: [call_id]",
            f"CSeq: {cseq} {method}",
            "Max-Forwards: 70",
            *([] if method in ("BYE", "ACK") else [_CONTACT]),
            *headers,
        ]
        return self._send(lines, body, kind, **more)

    def notify(self, cseq, state, body=None, tag=TAG, **more):
        """NOTIFY for presence."""
        headers = ["Event: presence", f"Subscription-State: {state}", *more.pop("headers", ())]
        return self.within("NOTIFY", cseq, tag, headers, body, "application/pidf+xml" if body else None, **more)

    def raw(self, lines, body=None, kind=None):
        """Sends something else."""
        return self._send(lines, body, kind)

    def pause(self, milliseconds):
        """Does nothing for a while; what arrives meanwhile is not expected."""
        self._steps.append(f'<pause milliseconds="{milliseconds}"/>')
        return self

    def write(self, folder):
        """Writes the XML; returns its path."""
        names = ",".join(self._kept)
        used = f'<Reference variables="{names}"/>' if names else ""
        path = folder / f"{self.name}.xml"
        steps = "\n".join(self._steps)
        path.write_text(f'<?xml version="1.0"?>\n<scenario name="{self.name}">\n{steps}\n{used}</scenario>\n', encoding="utf-8")
        return path

    def _send(self, lines, body, kind, retrans=None, lost=None):
        lines = [*lines, *([f"Content-Type: {kind or 'text/plain;charset=UTF-8'}"] if body else []), "Content-Length: [len]"]
        options = (f' retrans="{retrans}"' if retrans else "") + (f' lost="{lost}"' if lost else "")
        self._steps.append(f"<send{options}><![CDATA[\n" + "\n".join(lines) + "\n\n" + (body or "") + "\n]]></send>")
        return self

    def _keep(self, name, header, pattern):
        if name not in self._kept:
            self._kept.append(name)
        return f'<ereg regexp={quoteattr(pattern)} search_in="hdr" header="{header}:" check_it="true" assign_to="{name}"/>'

    def _check(self, header, pattern):
        self._checks += 1
        name = f"check{self._checks}"
        self._kept.append(name)
        where = f'search_in="hdr" header="{header}:"' if header else 'search_in="msg"'
        return f'<ereg regexp={quoteattr(pattern)} {where} check_it="true" assign_to="{name}"/>'


#: What makes a dialog, for the side that was called: kept from the request that begins it.
DIALOG = {"remote": ("From", "<.*"), "local": ("To", "<[^;]*"), "target": ("Contact", "sip:[^>]*")}
#: The same for the side that calls: where the response says that the gateway is.
TARGET = {"target": ("Contact", "sip:[^>]*")}


def pidf(user, note, basic="open"):
    """A presence document."""
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<presence xmlns="urn:ietf:params:xml:ns:pidf" entity="pres:{user}">'
        f'<tuple id="t1"><status><basic>{basic}</basic></status><note>{note}</note></tuple></presence>'
    )
