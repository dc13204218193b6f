"""The firewall rules, played: what the table of flows allows passes, and nothing else does.

Every flow is tried twice: without rules each has to pass, so that what is stopped afterwards is stopped by the rules and
not by a missing listener; with them, just those pass that may.
"""

import json
import pathlib
import subprocess
import sys

from machine import require
from networks import Perimeter

RULES = {"edge": "edge.nft", "gateway": "front-end.nft"}
FOLDER = pathlib.Path(__file__).resolve().parents[1] / "firewall"
_PORTS = pathlib.Path(__file__).with_name("ports.py")

PARTNER, NAME_SERVER = "198.51.100.10", "192.0.2.53"
EDGE_OUTSIDE, EDGE_INSIDE = "203.0.113.2", "10.1.0.2"
GATEWAY_LINK, GATEWAY = "10.1.0.4", "10.2.0.4"
POOL, DATABASE, MONITORING, COLLECTOR, IDENTITY = "10.2.0.17", "10.2.0.33", "10.2.0.9", "10.2.0.10", "10.2.0.11"
INNER_NAMES, STRANGER, CLIENT, OPERATOR, ADMINISTRATOR = "10.2.0.53", "10.2.0.66", "10.3.0.7", "10.4.0.7", "10.4.0.10"
LINK_MONITORING, LINK_ADMINISTRATOR, LINK_STRANGER = "10.1.0.9", "10.1.0.10", "10.1.0.66"

#: (who, from which address, to which address, port, protocol), and what it is.
ALLOWED = {
    ("internet", PARTNER, EDGE_OUTSIDE, 5269, "tcp"): "partners reach the edge",
    ("internet", "2001:db8:1::1", "2001:db8:1::2", 5269, "tcp"): "partners reach the edge over IPv6",
    ("internet", PARTNER, EDGE_OUTSIDE, 5270, "tcp"): "partners reach the edge with direct TLS",
    ("edge", EDGE_OUTSIDE, PARTNER, 5269, "tcp"): "the edge reaches partners",
    ("edge", EDGE_OUTSIDE, PARTNER, 443, "tcp"): "the edge fetches what a partner's web server vouches for",
    ("edge", EDGE_OUTSIDE, NAME_SERVER, 53, "udp"): "the edge asks DNS",
    ("edge", EDGE_OUTSIDE, NAME_SERVER, 53, "tcp"): "the edge asks DNS for long answers",
    ("edge", EDGE_OUTSIDE, PARTNER, 123, "udp"): "the edge asks for the time",
    ("gateway", GATEWAY_LINK, EDGE_INSIDE, 23456, "tcp"): "a gateway attaches",
    ("gateway", "fd00:1::4", "fd00:1::2", 23456, "tcp"): "a gateway attaches over IPv6",
    ("inside", LINK_MONITORING, EDGE_INSIDE, 9090, "tcp"): "monitoring scrapes the edge",
    ("inside", LINK_ADMINISTRATOR, EDGE_INSIDE, 22, "tcp"): "an administrator comes to the edge",
    ("gateway", GATEWAY, POOL, 5061, "tcp"): "SIP to the pool over TLS",
    ("gateway", GATEWAY, POOL, 5060, "udp"): "SIP to the pool over UDP",
    ("inside", POOL, GATEWAY, 5061, "tcp"): "SIP from the pool over TLS",
    ("inside", POOL, GATEWAY, 5060, "udp"): "SIP from the pool over UDP",
    ("inside", CLIENT, GATEWAY, 2855, "tcp"): "a client's message stream comes",
    ("gateway", GATEWAY, CLIENT, 49152, "tcp"): "a message stream goes to a client",
    ("gateway", GATEWAY, DATABASE, 5432, "tcp"): "the gateway reaches PostgreSQL",
    ("gateway", GATEWAY, INNER_NAMES, 53, "udp"): "the gateway asks DNS",
    ("gateway", GATEWAY, IDENTITY, 443, "tcp"): "operators sign in with the identity provider",
    ("gateway", GATEWAY, COLLECTOR, 4317, "tcp"): "traces reach the collector",
    ("inside", OPERATOR, GATEWAY, 8080, "tcp"): "operators reach the panel",
    ("inside", MONITORING, GATEWAY, 9090, "tcp"): "monitoring scrapes the gateway",
    ("inside", ADMINISTRATOR, GATEWAY, 22, "tcp"): "an administrator comes to the gateway",
}

FORBIDDEN = {
    ("internet", PARTNER, EDGE_OUTSIDE, 23456, "tcp"): "the internet attaches to the edge",
    ("internet", "2001:db8:1::1", "2001:db8:1::2", 23456, "tcp"): "the internet attaches to the edge over IPv6",
    ("internet", PARTNER, EDGE_OUTSIDE, 9090, "tcp"): "the internet reads the edge's metrics",
    ("internet", PARTNER, EDGE_OUTSIDE, 22, "tcp"): "the internet administers the edge",
    ("inside", LINK_STRANGER, EDGE_INSIDE, 23456, "tcp"): "a neighbour of the gateways attaches",
    ("inside", "fd00:1::66", "fd00:1::2", 23456, "tcp"): "a neighbour of the gateways attaches over IPv6",
    ("inside", LINK_STRANGER, EDGE_INSIDE, 9090, "tcp"): "a neighbour of monitoring reads metrics",
    ("edge", EDGE_INSIDE, GATEWAY_LINK, 5061, "tcp"): "the edge speaks SIP with a gateway",
    ("edge", EDGE_INSIDE, GATEWAY_LINK, 8080, "tcp"): "the edge opens the panel",
    ("edge", EDGE_INSIDE, GATEWAY_LINK, 22, "tcp"): "the edge administers a gateway",
    ("edge", EDGE_INSIDE, POOL, 5061, "tcp"): "the edge reaches the pool",
    ("edge", EDGE_INSIDE, DATABASE, 5432, "tcp"): "the edge reaches the database",
    ("edge", EDGE_INSIDE, STRANGER, 443, "tcp"): "the edge follows a partner's records inwards",
    ("edge", EDGE_OUTSIDE, STRANGER, 5269, "tcp"): "the edge follows a partner's records inwards by its outer address",
    ("edge", "fd00:1::2", "fd00:1::4", 5269, "tcp"): "the edge reaches a gateway over IPv6",
    ("edge", EDGE_OUTSIDE, PARTNER, 22, "tcp"): "the edge opens what is no partner's port",
    ("internet", PARTNER, GATEWAY_LINK, 5061, "tcp"): "the internet reaches a gateway through the edge",
    ("inside", STRANGER, GATEWAY, 5061, "tcp"): "somebody else than the pool speaks SIP",
    ("inside", STRANGER, GATEWAY, 5060, "udp"): "somebody else than the pool speaks SIP over UDP",
    ("inside", STRANGER, GATEWAY, 8080, "tcp"): "somebody else than operators opens the panel",
    ("inside", OPERATOR, GATEWAY, 9090, "tcp"): "operators read what is for monitoring",
    ("inside", STRANGER, GATEWAY, 22, "tcp"): "somebody else administers a gateway",
    ("gateway", GATEWAY, PARTNER, 5269, "tcp"): "the gateway speaks with partners itself",
    ("gateway", GATEWAY, PARTNER, 443, "tcp"): "the gateway reaches the internet",
    ("gateway", GATEWAY, STRANGER, 443, "tcp"): "the gateway reaches what it has no business with",
    ("gateway", GATEWAY_LINK, EDGE_INSIDE, 22, "tcp"): "the gateway administers the edge",
}


def check(_binaries, say):
    """Both rule sets against every flow."""
    for file in RULES.values():
        _checked(file)
    both = {**ALLOWED, **FORBIDDEN}
    with Perimeter() as perimeter:
        # The internet has no road to the link's network unless the edge is one: without rules it is.
        perimeter.run("edge", "sysctl", "-q", "net.ipv4.ip_forward=1")
        answering = [_answer(perimeter, name, both) for name in ("internet", "edge", "gateway", "inside")]
        try:
            stopped = [meaning for meaning, passes in _play(perimeter, both).items() if not passes]
            require(not stopped, f"without any rules these do not pass, so nothing could be shown: {stopped}")
            for name, file in RULES.items():
                perimeter.run(name, "nft", "-f", FOLDER / file)
                # Loading it again is what a change is.
                perimeter.run(name, "nft", "-f", FOLDER / file)
            passed = _play(perimeter, both)
        finally:
            for process in answering:
                process.kill()
                process.wait()
    broken = [f"stopped: {meaning}" for meaning in ALLOWED.values() if not passed[meaning]]
    broken += [f"passes: {meaning}" for meaning in FORBIDDEN.values() if passed[meaning]]
    require(not broken, "the rules are not what the table of flows says:\n  " + "\n  ".join(broken))
    say(f"{len(ALLOWED)} flows pass that may, {len(FORBIDDEN)} are stopped that may not; all pass without rules")


def _checked(file):
    done = subprocess.run(["nft", "-c", "-f", FOLDER / file], capture_output=True, text=True, check=False)
    require(done.returncode == 0, f"{file} is no rule set: {done.stderr}")


def _answer(perimeter, name, flows):
    """Somebody in a namespace who answers on every port that anybody tries."""
    ports = {f"{port}/{protocol}" for _, _, _, port, protocol in flows}
    command = ["ip", "netns", "exec", perimeter.namespace(name), sys.executable, _PORTS, "answer", *sorted(ports)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    require(process.stdout.readline() == "ready\n", f"nobody answers in {name}")
    return process


def _play(perimeter, flows):
    """Whether each flow passes, by its meaning."""
    passed = {}
    for name in {flow[0] for flow in flows}:
        own = {flow: meaning for flow, meaning in flows.items() if flow[0] == name}
        tried = perimeter.run(name, sys.executable, _PORTS, "try", input=json.dumps([flow[1:] for flow in own]))
        passed.update(zip(own.values(), json.loads(tried), strict=True))
    return passed
