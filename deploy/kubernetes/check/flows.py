"""Who talks to whom, and who must not: the table that NetworkPolicies are held against.

The table of hosts (deploy/firewall/flows.md) says what has to be in it.
"""

import pathlib
import re

HOSTS_TABLE = pathlib.Path(__file__).resolve().parents[2] / "firewall/flows.md"

#: Ends that are no pods.
HOSTS = {
    "partner": "203.0.113.7",
    "partner-v6": "2001:db8::7",
    "front-end": "192.0.2.10",
    "database": "198.51.100.5",
    "corporate": "10.1.2.3",
    "metadata": "169.254.169.254",
    "load-balancer": "10.0.0.9",
}

#: Pods that are not in the manifests: namespace and labels.
OTHERS = {
    "dns": ("kube-system", {"k8s-app": "kube-dns"}),
    "prometheus": ("monitoring", {"app.kubernetes.io/name": "prometheus"}),
    "ingress": ("ingress", {"app.kubernetes.io/name": "ingress-nginx"}),
    "stranger": ("default", {"app": "stranger"}),
    #: One that calls itself a gateway, elsewhere.
    "impostor": ("default", {"app.kubernetes.io/name": "gateway"}),
}

#: From, to, port, protocol, whether it is allowed.
FLOWS = [
    # Partners reach edges, and edges partners; wherever a port of SRV records, direct TLS or POSH leads.
    ("partner", "edge", 5269, "TCP", True),
    ("partner-v6", "edge", 5269, "TCP", True),
    ("edge", "partner", 5269, "TCP", True),
    ("edge", "partner-v6", 5269, "TCP", True),
    ("edge", "partner", 5270, "TCP", True),
    ("edge", "partner", 443, "TCP", True),
    ("edge", "partner", 25, "TCP", False),
    ("partner", "edge", 23456, "TCP", False),
    ("partner", "edge", 9090, "TCP", False),
    ("partner", "gateway", 5061, "TCP", False),
    ("partner", "gateway", 5269, "TCP", False),
    # The link is opened from the inside, and only from there.
    ("gateway", "edge", 23456, "TCP", True),
    ("edge", "gateway", 23456, "TCP", False),
    ("edge", "gateway", 5061, "TCP", False),
    ("edge", "gateway", 8080, "TCP", False),
    ("edge", "gateway", 9090, "TCP", False),
    ("edge", "edge", 23456, "TCP", False),
    ("gateway", "edge", 5269, "TCP", False),
    ("stranger", "edge", 23456, "TCP", False),
    ("impostor", "edge", 23456, "TCP", False),
    # The perimeter reaches nothing inside.
    ("edge", "corporate", 5269, "TCP", False),
    ("edge", "corporate", 443, "TCP", False),
    ("edge", "metadata", 443, "TCP", False),
    ("edge", "front-end", 5061, "TCP", False),
    ("edge", "database", 5432, "TCP", False),
    # SIP.
    ("front-end", "gateway", 5061, "TCP", True),
    ("gateway", "front-end", 5061, "TCP", True),
    ("gateway", "partner", 5269, "TCP", False),
    ("gateway", "corporate", 443, "TCP", False),
    ("stranger", "gateway", 5061, "TCP", False),
    # Names.
    ("edge", "dns", 53, "UDP", True),
    ("edge", "dns", 53, "TCP", True),
    ("gateway", "dns", 53, "UDP", True),
    # Metrics, and the panel.
    ("prometheus", "edge", 9090, "TCP", True),
    ("prometheus", "gateway", 9090, "TCP", True),
    ("stranger", "edge", 9090, "TCP", False),
    ("stranger", "gateway", 9090, "TCP", False),
    ("stranger", "gateway", 8080, "TCP", False),
]

#: What the table says besides where the store is PostgreSQL elsewhere, or in a pod.
WITH_DATABASE = [("gateway", "database", 5432, "TCP", True)]
WITH_POSTGRES = [
    ("gateway", "postgres", 5432, "TCP", True),
    ("gateway", "database", 5432, "TCP", False),
    ("edge", "postgres", 5432, "TCP", False),
    ("stranger", "postgres", 5432, "TCP", False),
    ("postgres", "partner", 443, "TCP", False),
]
WITH_PANEL = [("ingress", "gateway", 8080, "TCP", True), ("ingress", "gateway", 5061, "TCP", False)]

#: Behind a load balancer that says who connects, nobody else may claim to be one.
WITHOUT_PROXY = [("partner", "edge", 5269, "TCP", True), ("partner-v6", "edge", 5269, "TCP", True)]
WITH_PROXY = [
    ("partner", "edge", 5269, "TCP", False),
    ("partner-v6", "edge", 5269, "TCP", False),
    ("load-balancer", "edge", 5269, "TCP", True),
    ("load-balancer", "edge", 23456, "TCP", False),
]

#: What the table of hosts calls the ends.
SPOKEN = {
    "internet": "partner", "edge, outside": "edge", "edge, inside": "edge", "edge": "edge", "gateway": "gateway",
    "name servers": "dns", "pool": "front-end", "database": "database", "operators": "ingress", "monitoring": "prometheus",
}  # fmt: skip

#: Rows that no manifest opens, by the end or the condition that says so: the node's clock is the node's, and the others are
#: off in the overlays; who turns one on adds a policy.
NOT_HERE = {"time servers", "identity provider", "collector", "pool and its clients", "`listen.direct_tls`"}


def not_in_step():
    """Rows of the table of hosts that this one knows nothing of."""
    text = HOSTS_TABLE.read_text()
    allowed, _, never = text.partition("## Never")
    known = FLOWS + WITH_DATABASE + WITH_POSTGRES + WITH_PANEL
    for sources, destinations, ports, when in _rows(allowed, 4):
        if {sources, destinations, when} & NOT_HERE:
            continue
        numbers = {int(number) for number in re.findall(r"(\d+)/", ports)}
        for source in _ends(sources):
            for destination in _ends(destinations):
                found = {flow[2] for flow in known if flow[:2] == (source, destination) and flow[4]}
                if not found & numbers:
                    yield f"{sources} -> {destinations} {ports} is in flows.md and not here"
    if not any(flow[0] == "edge" and flow[1] == inside and not flow[4] for flow in known for inside in ("gateway", "corporate")):
        yield "nothing here says that the edge opens nothing inwards"
    if "edge | anything inside" not in never:
        yield "flows.md does not say any more that the edge opens nothing inwards"


def _rows(text, columns):
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    return [row[:columns] for row in rows[2:]]


def _ends(cell):
    if cell in SPOKEN:
        return [SPOKEN[cell]]
    ends = [SPOKEN.get(each) for each in cell.split(", ")]
    if None in ends:
        raise SystemExit(f"flows.md speaks of {cell!r}: say in flows.py which end that is")
    return ends
