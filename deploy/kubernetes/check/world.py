"""The programs, started from what was rendered: everything that only they can say.

Runs in a network namespace of its own, as root, because pods get their own users and networks.
"""

import copy
import json
import os
import re
import socket
import ssl
import subprocess
import sys

import agreement
import cluster
from cluster import eventually
from database import Database
from front_end import FrontEnd

#: A pod gets so long to be ready: edges are looked up every 10 s, and a debug build is slow.
READY = 60
#: The programs look at their files every 2 s.
NOTICED = 20

#: An empty SETTINGS frame of HTTP/2 (RFC 9113, section 6.5); its fourth byte is the type.
SETTINGS = b"\0\0\0\4\0\0\0\0\0"

_INSIDE = "CAUSEWAY_KUBE_INSIDE"


def enter():
    """Goes on in a network of its own."""
    if os.environ.get(_INSIDE):
        return
    if os.geteuid():
        raise SystemExit("run this as root (pods get users and networks of their own), or with --static")
    for program in ("edge-proxy", "gateway"):
        if not (cluster.BINARIES / program).exists():
            raise SystemExit(f"{cluster.BINARIES / program} is not built: run cargo build --bins")
    os.environ[_INSIDE] = "yes"
    command = ["unshare", "--net", "--mount", "--propagation", "private", sys.executable, *sys.argv]
    os.execvp(command[0], command)


def run(everything):
    """Yields what was seen, as the name of each check with what is wrong."""
    names = cluster.node()
    # Where the SIP front ends are.
    names.table["sip.contoso.example"] = [cluster.NODE]
    by_overlay = {rendered.overlay: rendered for rendered in everything}
    yield from _told(by_overlay["overlays/single"], names, _one_node)
    yield from _told(by_overlay["check/variants/proxy-protocol"], names, _configurations)
    yield from _told(by_overlay["overlays/two-tier/perimeter+overlays/two-tier/inside"], names, _two_tiers)
    yield from _told(by_overlay["overlays/pool"], names, _pool)


def _told(rendered, names, story):
    made = cluster.Cluster(rendered, names)
    front_end = FrontEnd(cluster.NODE, made.host("sip.contoso.example", "contoso-internal"))
    try:
        yield from ((f"{rendered.overlay}: {name}", mistakes) for name, mistakes in story(made))
    finally:
        made.end()
        front_end.end()


def _configurations(made):
    """Each program takes what its pod would give it."""
    for workload in made.rendered.workloads():
        if workload.name in agreement.OURS:
            pod = made.pod(workload, 0)
            code, said = pod.check_config()
            is_sound = code == 0 and said.endswith("ok")
            yield f"{pod.name} takes its configuration", [] if is_sound else [f"exit {code}: {said}"]


def _one_node(made):
    yield from _configurations(made)
    edge, gateway = made.pods["causeway", "edge-0"], made.pods["causeway", "gateway-0"]
    edge.start()
    yield "the edge passes its startup and liveness probes", _unless(
        edge.passes("startupProbe", READY) and edge.probe("livenessProbe")[0] == 200, edge
    )
    status, body = edge.probe("readinessProbe")
    is_alone = status == 503 and json.loads(body)["legs"]["link"]["ready"] is False
    yield "an edge without a gateway is not ready, and says why", [] if is_alone else [f"{status}: {body}"]
    gateway.start()
    yield "the gateway passes its startup and liveness probes", _unless(
        gateway.passes("startupProbe", READY) and gateway.probe("livenessProbe")[0] == 200, gateway
    )
    for pod in (gateway, edge):
        is_ready = pod.passes("readinessProbe", READY)
        yield f"{pod.name} becomes ready", [] if is_ready else [pod.probe("readinessProbe")[1], pod.tail()]
    yield from _partners(made, gateway)
    yield from _certificates(made, edge, gateway)
    for pod in (gateway, edge):
        code = pod.terminate()
        yield f"{pod.name} ends in order within its grace period", [] if code == 0 else [f"exit {code}", pod.tail()]
    yield "nothing but the volumes was written", _written(gateway) + _written(edge)


def _two_tiers(made):
    """Each side believes the other's authority, and not its own: who holds the perimeter's keys makes no gateway."""
    yield from _configurations(made)
    edge, gateway = made.pods["causeway-perimeter", "edge-0"], made.pods["causeway-inside", "gateway-0"]
    edge.start()
    yield "the edge passes its startup probe", _unless(edge.passes("startupProbe", READY), edge)
    yield "the edge takes the gateway's certificate", _unless(_attaches(edge, gateway.volume("link")), edge)
    forged = copy.deepcopy(made.rendered.one("Certificate", "link-gateway"))
    forged["metadata"]["namespace"] = "causeway-perimeter"
    for name, text in made.authorities.secret(forged).items():
        (made.state / name).write_text(text)
    refused = not _attaches(edge, made.state)
    yield "a gateway's certificate of the perimeter's own authority is refused", [] if refused else ["it was taken"]


def _attaches(edge, files):
    """Whether the edge speaks HTTP/2 with whoever shows the certificate in this folder, and is believed by it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(files / "ca.crt")
    context.load_cert_chain(files / "tls.crt", files / "tls.key")
    context.set_alpn_protocols(["h2"])
    try:
        with socket.create_connection((edge.address, edge.workload.port("link")), timeout=5) as tcp:
            with context.wrap_socket(tcp) as tls:
                tls.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + SETTINGS)
                return tls.recv(4096)[3:4] == SETTINGS[3:4]
    except OSError:
        return False


def _pool(made):
    yield from _configurations(made)
    workloads = {workload.name: workload for workload in made.rendered.workloads()}
    edges = [made.pods["causeway", "edge-0"], made.pod(workloads["edge"], 1)]
    gateways = [made.pods["causeway", "gateway-0"], *(made.pod(workloads["gateway"], n) for n in (1, 2))]
    database = Database(made.pod(workloads["postgres"], 0))
    try:
        for pod in [*edges, *gateways]:
            pod.start()
        for pod in [*gateways, *edges]:
            is_ready = pod.passes("readinessProbe", READY)
            yield f"{pod.name} becomes ready", [] if is_ready else [pod.probe("readinessProbe")[1], pod.tail()]
        everywhere = f"{len(gateways)} gateways attached"
        for edge in edges:
            all_there = eventually(lambda: everywhere in edge.probe("readinessProbe")[1], READY)  # noqa: B023
            yield f"every gateway is attached to {edge.name}", [] if all_there else [edge.probe("readinessProbe")[1]]
        contacts = {agreement.configuration_of(pod)["sip"]["session_contact"] for pod in gateways}
        yield "sessions name the very pod", [] if len(contacts) == len(gateways) else sorted(contacts)
        yield from _metrics(edges[0], gateways[0])
        gateways[1].kill()
        left = f"{len(gateways) - 1} gateways attached"
        noticed = eventually(lambda: left in edges[0].probe("readinessProbe")[1], READY)
        still = all(pod.probe("readinessProbe")[0] == 200 for pod in (gateways[0], gateways[2], *edges))
        yield "the others carry on when a gateway is killed", [] if noticed and still else [edges[0].tail()]
        for pod in (gateways[0], gateways[2], *edges):
            code = pod.terminate()
            yield f"{pod.name} ends in order within its grace period", [] if code == 0 else [f"exit {code}", pod.tail()]
    finally:
        database.end()


def _metrics(edge, gateway):
    """What autoscalers and monitors ask for is among what the programs count."""
    # A figure for connections is there from the first connection on.
    socket.create_connection((edge.address, edge.workload.port("xmpp-server")), timeout=5).close()
    counted = "\n".join(pod.ask("/metrics")[1] for pod in (edge, gateway))
    there = set(re.findall(r"^# TYPE (\S+) (\S+)$", counted, re.MULTILINE))
    known = {name + ("_total" if kind == "counter" else "") for name, kind in there}
    missing = [series for series in agreement.scaling_series().values() if series not in known]
    yield "the figures that pods scale by are counted", [f"there is no {series}" for series in missing]


def _partners(made, gateway):
    """Partners of the ConfigMap are there, are read-only, and follow it."""
    yield "the ConfigMap's partner is there", _unless("fabrikam.example" in _api(gateway, "/partners"), gateway)
    refused = json.loads(_api(gateway, "/partners/fabrikam.example", "DELETE", ("If-Match", "*")) or "{}")
    is_refused = refused.get("code") == "declared"
    yield "nobody removes it from elsewhere", [] if is_refused else [json.dumps(refused)]
    partners = made.rendered.one("ConfigMap", "partners")["data"]
    partners["litware.example.toml"] = '[[partner]]\ndomain = "litware.example"\n'
    gateway.write_volumes()
    came = eventually(lambda: "litware.example" in _api(gateway, "/partners"), NOTICED)
    del partners["litware.example.toml"]
    gateway.write_volumes()
    went = eventually(lambda: "litware.example" not in _api(gateway, "/partners"), NOTICED)
    yield "partners follow the ConfigMap without a restart", _unless(came and went, gateway)


def _certificates(made, edge, gateway):
    """Renewed certificates are shown without a restart."""
    for pod, port, name in ((edge, 23456, "link-edge"), (gateway, 5061, "sip")):
        before = _shown(pod.address, port)
        made.renew(made.rendered.one("Certificate", name))
        pod.write_volumes()
        is_new = before and eventually(lambda: _shown(pod.address, port) not in (None, before), NOTICED)  # noqa: B023
        yield f"a renewed certificate {name} is shown without a restart", _unless(is_new, pod)
    made.renew(made.rendered.one("Certificate", "link-gateway"))
    gateway.write_volumes()
    yield "and the link holds", _unless(gateway.passes("readinessProbe", READY), gateway)


def _written(pod):
    """Files under the root that the program made: there can be none, for it is read-only."""
    known = {"etc/hosts", "etc/resolv.conf", "etc/ssl/certs/ca-certificates.crt", pod.workload.container["command"][0][1:]}
    root = pod.folder / "root"
    found = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
    return sorted(found - known)


def _unless(holds, pod):
    return [] if holds else [pod.tail()]


def _api(pod, path, method="GET", header=("Accept", "*/*")):
    """What the interface answers over the administrator's socket, which the node sees in the volume."""
    done = subprocess.run(
        ["curl", "-s", "--max-time", "5", "--unix-socket", pod.volume("run") / "gateway.sock", "-X", method, "-H",
         ": ".join(header), f"http://local/api/v1{path}"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.stdout


def _shown(address, port):
    """The certificate that a server shows, in DER; None where there is none."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"] if port == 23456 else ["sip"])
    try:
        with socket.create_connection((address, port), timeout=5) as tcp, context.wrap_socket(tcp) as tls:
            return tls.getpeercert(binary_form=True)
    except OSError:
        return None

