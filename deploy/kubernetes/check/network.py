"""What NetworkPolicies let through: a small evaluator of `networking.k8s.io/v1` (the parts of it that we use).

A pod that some policy selects for a direction may do in it only what one of those policies allows; a connection needs leave
on both of its ends. Ends that are no pods, such as partners, need none.
"""

import dataclasses
import ipaddress

from rendered import selects


@dataclasses.dataclass(frozen=True)
class Pod:
    """One end that is a pod."""

    name: str
    namespace: str
    labels: dict
    namespace_labels: dict


@dataclasses.dataclass(frozen=True)
class Host:
    """One end that is none."""

    name: str
    address: str


def allows(policies, source, destination, port, protocol="TCP"):
    """Whether a connection may be opened."""
    out = _may(policies, "Egress", source, destination, port, protocol)
    return out and _may(policies, "Ingress", destination, source, port, protocol)


def _may(policies, direction, here, there, port, protocol):
    if isinstance(here, Host):
        return True
    chosen = [policy["spec"] for policy in policies if _is_about(policy, direction, here)]
    if not chosen:
        return True
    rules = [rule for spec in chosen for rule in spec.get(direction.lower()) or []]
    return any(_opens(rule, direction, here, there, port, protocol) for rule in rules)


def _is_about(policy, direction, pod):
    is_here = policy["metadata"].get("namespace") == pod.namespace
    return is_here and direction in policy["spec"]["policyTypes"] and selects(policy["spec"]["podSelector"], pod.labels)


def _opens(rule, direction, here, there, port, protocol):
    ports, peers = rule.get("ports"), rule.get("from" if direction == "Ingress" else "to")
    is_port = ports is None or any(_is_port(each, port, protocol) for each in ports)
    return is_port and (peers is None or any(_is_peer(each, here, there) for each in peers))


def _is_port(rule, port, protocol):
    if "port" not in rule:
        return rule.get("protocol", "TCP") == protocol
    if not isinstance(rule["port"], int):
        raise ValueError("a policy with a named port: numbers say the same of every pod")
    return rule.get("protocol", "TCP") == protocol and rule["port"] <= port <= rule.get("endPort", rule["port"])


def _is_peer(peer, here, there):
    if block := peer.get("ipBlock"):
        if isinstance(there, Pod):
            # Addresses of pods are nothing to name: policies of ours name pods by their labels.
            return False
        address = ipaddress.ip_address(there.address)
        inside = lambda cidr: address in ipaddress.ip_network(cidr)  # noqa: E731
        return inside(block["cidr"]) and not any(inside(each) for each in block.get("except", []))
    if isinstance(there, Host):
        return False
    if "namespaceSelector" in peer:
        is_namespace = selects(peer["namespaceSelector"], there.namespace_labels)
    else:
        is_namespace = here.namespace == there.namespace
    return is_namespace and selects(peer.get("podSelector", {}), there.labels)
