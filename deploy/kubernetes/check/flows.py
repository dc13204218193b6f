"""Who talks to whom, and who must not: the table that NetworkPolicies are held against.

The table of hosts (deploy/firewall) says the same with addresses.
"""

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
