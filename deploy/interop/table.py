"""docs/NEGOTIATION.md: tables that tests write, between markers, in a text that people write."""

import re

from environment import ROOT, DemoError
from matrix import KINDS, NONE, ROWS

DOCUMENT = ROOT / "docs" / "NEGOTIATION.md"


def rows():
    """The 18 rows as published, and what a configuration with each is told."""
    lines = ["| # | TLS | SASL | Dialback | Methods | Told to the operator |", "|---|---|---|---|---|---|"]
    for row in ROWS:
        told = ", ".join(row.warnings) if row.valid else f"refused: {row.reason}"
        if "SaslImpossibleWithoutTls" in row.warnings:
            told = f"refused unless forced, then {told}"
        methods = ", ".join(row.methods) if row.valid else "not valid"
        lines.append(f"| {row.number} | {row.tls} | {row.sasl} | {row.dialback} | {methods} | {told} |")
    return lines


def negotiated(found):
    """What each kind of server and each row agreed on; `found` is keyed by direction and domain."""
    lines = []
    for direction, title in [("in", "The partner's server connects"), ("out", "The edge connects")]:
        lines += ["", f"**{title}**", "", "| # | " + " | ".join(f"`{kind.name}`" for kind in KINDS) + " |"]
        lines += ["|---" * (1 + len(KINDS)) + "|"]
        for row in ROWS:
            cells = [found[direction].get(kind.domain(row), NONE) if row.valid else "" for kind in KINDS]
            lines.append(f"| {row.number} | " + " | ".join(cells) + " |")
    return lines[1:]


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
        raise DemoError(f"docs/NEGOTIATION.md, {section}: no longer what was observed; run `make matrix` and look at why")
    DOCUMENT.write_text(text[: match.start(1)] + wanted + text[match.end(1) :], encoding="utf-8")
