"""docs/INTEROP.md: what every peer was seen to do, as a table that the run writes."""

import re

from environment import ROOT, DemoError

DOCUMENT = ROOT / "docs" / "INTEROP.md"
#: Each table of the document with the rounds that it shows, and its transports. The one for `peers` is that of all others.
SECTIONS = {
    "sipp": ({"sipp-udp", "sipp-tcp"}, ["udp", "tcp"]),
    "msrp": ({"msrp"}, ["tcp"]),
    "peers": ({"udp", "tcp", "tls"}, ["udp", "tcp", "tls"]),
}

_TITLES = {"udp": "UDP", "tcp": "TCP", "tls": "TLS", "prosody": "Prosody", "ejabberd": "ejabberd"}


def rows(outcomes, transports):
    """A line for each peer and scenario; a column for each transport and server."""
    columns = [(transport, server) for transport in transports for server in ("prosody", "ejabberd")]
    found = {}
    for each in outcomes:
        cells = found.setdefault((each["peer"], each["scenario"]), {})
        cells[each["transport"], each["server"]] = each["outcome"]
    titles = [f"{_TITLES[transport]}, {_TITLES[server]}" for transport, server in columns]
    lines = ["| Peer | Scenario | " + " | ".join(titles) + " |", "|---" * (2 + len(columns)) + "|"]
    for (peer, scenario), cells in found.items():
        lines.append(f"| {peer} | {scenario} | " + " | ".join(cells.get(column, "–") for column in columns) + " |")
    return lines


def judge(outcomes, write, played, took):
    """Compares or writes the tables of the rounds that were played to their ends; returns whether something is wrong."""
    bad = [each for each in outcomes if each["outcome"] != "ok"]
    for each in bad:
        print("{transport}, {peer}, {server}, {scenario}: {outcome}".format(**each))
    print(f"{len(outcomes) - len(bad)} of {len(outcomes)} scenarios as they have to be, {took:.0f} s")
    if not bad:
        for section, (wanted, transports) in SECTIONS.items():
            if wanted <= played:
                put(section, rows([each for each in outcomes if _section(each["peer"]) == section], transports), write)
    return bool(bad) or not outcomes


def _section(peer):
    return next((section for section in SECTIONS if peer.lower().startswith(section)), "peers")


def put(section, lines, write):
    """Writes a section of the document, or fails when what stands there is something else."""
    text = DOCUMENT.read_text(encoding="utf-8")
    begin, end = f"<!-- begin {section} -->\n", f"<!-- end {section} -->"
    match = re.search(re.escape(begin) + "(.*?)" + re.escape(end), text, re.DOTALL)
    if match is None:
        raise DemoError(f"{DOCUMENT} has no section {section!r}")
    wanted = "\n".join(lines) + "\n"
    if match.group(1) == wanted:
        return
    if not write:
        raise DemoError(f"docs/INTEROP.md, {section}: no longer what was seen; run `make interop-sip` and look at why")
    DOCUMENT.write_text(text[: match.start(1)] + wanted + text[match.end(1) :], encoding="utf-8")
