"""The servers of the matrix: real partners' servers, one domain per row and kind, and our two services.

Everything comes from Debian and is set up as its documentation says; each kind is one choice an operator can make.
"""

import contextlib
import functools
import glob
import http.client
import shutil
import socket
import subprocess

import certificates
import environment
from environment import CERTS, CONF, LOG, STATE, TARGET, DemoError
from matrix import KINDS, VALID
from process import Process

LOCAL = "contoso.example"
EDGE, GATEWAY, EJABBERD, POOL = "127.0.10.3", "127.0.10.20", "127.0.10.2", "127.0.10.30"
#: Every kind of Prosody is a process of its own, at an address of its own.
PROSODIES = {
    kind: f"127.0.10.{61 + index}" for index, kind in enumerate(kind for kind in KINDS if kind.software == "Prosody")
}
EJABBERDS = [kind for kind in KINDS if kind.software == "ejabberd"]
#: Port and secret of the component that speaks for any user of a Prosody.
COMPONENT_PORT, COMPONENT_SECRET = 5347, "matrix"
EJABBERD_API = 5280
READY_PATIENCE = 60.0


def domains(kind):
    """The domains of one kind, one for each row that can be configured."""
    return [kind.domain(row) for row in VALID]


def address(kind):
    """Where a kind listens."""
    return PROSODIES.get(kind, EJABBERD)


def up(names=()):
    """Starts everybody afresh, or some by name, and waits until they serve."""
    for name in ["knot", "ejabberd", "gateway", *(kind.name for kind in PROSODIES)]:
        shutil.rmtree(STATE / name, ignore_errors=True)
        (STATE / name).mkdir(parents=True)
    (STATE / "ejabberd" / "mnesia").mkdir()
    shutil.rmtree(LOG, ignore_errors=True)
    LOG.mkdir(parents=True)
    _certificates()
    _write_configurations()
    everybody = [process for process in _processes() if not names or process.name in names]
    missing = [process.command[0] for process in everybody if not shutil.which(str(process.command[0]))]
    if missing:
        raise DemoError(f"{missing[0]} is missing: run deploy/setup test, and cargo build --bins")
    for process in everybody:
        process.start()
    for process in everybody:
        process.wait_ready(READY_PATIENCE)


def down():
    """Stops whatever runs."""
    running = [process for process in _processes() if process.pid() is not None]
    for process in reversed(running):
        process.ask_to_stop()
    for process in running:
        process.stop()


def edge_log():
    """What the edge has logged."""
    return LOG / "edge-proxy.out"


def _processes():
    libraries = glob.glob("/usr/lib/*/ejabberd-*/")
    if not libraries:
        raise DemoError("ejabberd is not installed: run deploy/setup test")
    prosodies = [
        Process(
            kind.name,
            ["prosody", "--config", STATE / f"{kind.name}.cfg.lua", "-F"],
            functools.partial(_listen, place, 5269, COMPONENT_PORT),
        )
        for kind, place in PROSODIES.items()
    ]
    return [
        Process("dns", ["knotd", "-c", STATE / "knot.conf"], _dns_answers),
        Process(
            "ejabberd",
            # `ejabberdctl` would insist on its own user and on /etc/ejabberd; this is what it runs in the end.
            ["erl", "-noinput", "-sname", "matrix@localhost", "-setcookie", "matrix", "-start_epmd", "false",
             "-erl_epmd_port", "5210", "-kernel", "inet_dist_use_interface", "{127,0,10,2}",
             "-mnesia", "dir", f'"{STATE}/ejabberd/mnesia"', "-s", "ejabberd"],
            functools.partial(_listen, EJABBERD, 5269, EJABBERD_API),
            {
                "HOME": STATE / "ejabberd",
                "ERL_LIBS": libraries[0].rstrip("/").rpartition("/")[0],
                "ERL_INETRC": CONF / "inetrc",
                "ERL_CRASH_DUMP_BYTES": 0,
                "ERL_DIST_PORT": 5210,
                "EJABBERD_CONFIG_PATH": STATE / "ejabberd.yml",
                "EJABBERD_LOG_PATH": LOG / "ejabberd.log",
            },
        ),
        *prosodies,
        Process(
            "edge-proxy",
            [TARGET / "edge-proxy", "--config", STATE / "edge-proxy.toml"],
            functools.partial(_is_ready, EDGE),
        ),
        Process(
            "gateway",
            [TARGET / "gateway", "--config", STATE / "gateway.toml"],
            functools.partial(_is_ready, GATEWAY),
        ),
    ]  # fmt: skip


def _certificates():
    """One certificate per kind for all of its domains: of the development CA where it shall prove them, else signed by
    itself."""
    causeway = TARGET / "causeway"
    if not causeway.exists():
        raise DemoError(f"{causeway} is not built: run cargo build --bins")
    shutil.rmtree(CERTS, ignore_errors=True)
    certificates.run(causeway, "dev-certs", "--out", CERTS, "--edge", "edge-1", "--gateway", "gateway-1",
                     "--domain", LOCAL)  # fmt: skip
    for kind in KINDS:
        _certificate(kind.name, domains(kind), kind.external)


def _certificate(name, names, is_signed):
    key, request, certificate = (CERTS / f"{name}.{suffix}" for suffix in ("key", "csr", "crt"))
    usual = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}", "-keyout", key]
    extension = "subjectAltName=" + ",".join(f"DNS:{name}" for name in names)
    if is_signed:
        certificates.run("openssl", "req", "-new", *usual, "-addext", extension, "-out", request)
        certificates.run("openssl", "x509", "-req", "-in", request, "-copy_extensions", "copy", "-days", "825",
                         "-CA", CERTS / "ca.crt", "-CAkey", CERTS / "ca.key", "-out", certificate)  # fmt: skip
    else:
        certificates.run("openssl", "req", "-x509", *usual, "-addext", extension, "-days", "825", "-out", certificate)
    (CERTS / f"{name}.pem").write_bytes(key.read_bytes() + certificate.read_bytes())


def _write_configurations():
    _write("knot.conf", _knot())
    _write("knot/example.zone", _zone())
    _write("ejabberd.yml", _ejabberd())
    for kind, place in PROSODIES.items():
        _write(f"{kind.name}.cfg.lua", _prosody(kind, place))
    _write("edge-proxy.toml", _edge())
    _write("gateway.toml", _gateway())


def _write(name, text):
    (STATE / name).write_text(text, encoding="utf-8")


def _knot():
    return f"""
server:
    rundir: "{STATE}/knot"
    listen: 127.0.10.53@53
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
log:
  - target: "{LOG}/dns.log"
    any: info
database:
    storage: "{STATE}/knot"
zone:
  - domain: example
    storage: "{STATE}/knot"
    file: "example.zone"
    zonefile-load: whole
    journal-content: none
"""


def _zone():
    records = [
        "$ORIGIN example.",
        "$TTL 60",
        "@ SOA ns.example. hostmaster.example. 1 60 60 600 5",
        "@ NS ns.example.",
        "ns A 127.0.10.53",
        f"_xmpp-server._tcp.{LOCAL}. SRV 10 10 5269 xmpp.{LOCAL}.",
        f"xmpp.{LOCAL}. A {EDGE}",
        f"{LOCAL}. A {EDGE}",
    ]
    for kind in KINDS:
        records.append(f"xmpp.{kind.name} A {address(kind)}")
        records += [f"_xmpp-server._tcp.{domain}. SRV 10 10 5269 xmpp.{kind.name}" for domain in domains(kind)]
    return "\n".join(records) + "\n"


def _prosody(kind, place):
    modules = ["saslauth", "disco", "presence", "message", "iq", "posix"]
    modules += ["tls"] if kind.tls != "none" else []
    modules += ["dialback"] if kind.dialback else []
    hosts = "".join(f'VirtualHost "{domain}"\n' for domain in domains(kind))
    return f"""
run_as_root = true; daemonize = false
pidfile = "{STATE}/{kind.name}/own.pid"; data_path = "{STATE}/{kind.name}"
interfaces = {{ "{place}" }}; local_interfaces = {{ "{place}" }}
c2s_ports = {{}}; http_ports = {{}}; https_ports = {{}}
s2s_ports = {{ 5269 }}
component_ports = {{ {COMPONENT_PORT} }}; component_interfaces = {{ "{place}" }}
plugin_paths = {{ "/usr/lib/prosody/modules" }}
modules_enabled = {{ {", ".join(f'"{name}"' for name in modules)} }}
modules_disabled = {{ "http", "bosh", "websocket", "c2s", "offline"{"" if kind.tls != "none" else ', "tls"'} }}
authentication = "internal_plain"; storage = "memory"
s2s_require_encryption = {"true" if kind.tls == "insists" else "false"}
s2s_secure_auth = {"false" if kind.dialback else "true"}
limits = {{}}
ssl = {{ certificate = "{CERTS}/{kind.name}.crt", key = "{CERTS}/{kind.name}.key", cafile = "{CERTS}/ca.crt", capath = "/nonexistent" }}
-- libunbound asks no name server on a loopback address unless it is told to (the key keeps its colon).
unbound = {{ resolvconf = false; hoststxt = false; forward = "127.0.10.53";
  options = {{ ["do-not-query-localhost:"] = "no" }} }}
dns_timeout = 5
log = {{ debug = "{LOG}/{kind.name}.log" }}
{hosts}
Component "driver.{kind.name}.invalid"
  component_secret = "{COMPONENT_SECRET}"
  validate_from_addresses = false
"""


def _ejabberd():
    starttls = {"none": "false", "can": "optional", "insists": "required"}
    hosts = [domain for kind in EJABBERDS for domain in domains(kind)]
    certificate_files = "\n".join(f'  - "{CERTS}/{kind.name}.pem"' for kind in EJABBERDS)
    text = f"""
loglevel: info
hosts: [{", ".join(hosts)}]
certfiles:
{certificate_files}
ca_file: "{CERTS}/ca.crt"
s2s_cafile: "{CERTS}/ca.crt"
s2s_dns_timeout: 5
s2s_max_retry_delay: 2
outgoing_s2s_families: [ipv4]
auth_method: internal
listen:
  - {{port: 5269, ip: "{EJABBERD}", module: ejabberd_s2s_in, shaper: none}}
  - {{port: {EJABBERD_API}, ip: "{EJABBERD}", module: ejabberd_http, request_handlers: {{/api: mod_http_api}}}}
api_permissions: {{matrix: {{who: {{ip: 127.0.0.0/8}}, what: [send_stanza, status]}}}}
modules: {{}}
host_config:
"""
    for kind in EJABBERDS:
        modules = "{mod_admin_extra: {}, mod_http_api: {}" + (", mod_s2s_dialback: {}}" if kind.dialback else "}")
        for domain in domains(kind):
            text += f"  {domain}: {{s2s_use_starttls: {starttls[kind.tls]}, modules: {modules}}}\n"
    return text


def _edge():
    return f"""
edge_id = "edge-1"
drain_secs = 1
[listen]
s2s = ["{EDGE}:5269"]
direct_tls = ["{EDGE}:5270"]
[link]
listen = "{EDGE}:23456"
certificate = "{CERTS}/link-edge-1.crt"
key = "{CERTS}/link-edge-1.key"
ca = "{CERTS}/link-ca.crt"
allowed_gateways = ["gateway-1"]
[tls]
certificates = [{{ certificate = "{CERTS}/{LOCAL}.crt", key = "{CERTS}/{LOCAL}.key" }}]
ca_file = "{CERTS}/ca.crt"
[dns]
servers = ["127.0.10.53:53"]
[limits]
connections_per_address = 10000
unauthenticated_per_address = 10000
unauthenticated = 10000
new_connections_per_minute = 100000
new_connections_burst = 10000
[admin]
listen = "{EDGE}:9090"
[telemetry]
level = "info,causeway_edge_proxy::stream=debug"
format = "json"
"""


def _gateway():
    text = f"""
gateway_id = "gateway-1"
domains = ["{LOCAL}"]
drain_secs = 1
[link]
edges = ["{EDGE}:23456"]
certificate = "{CERTS}/link-gateway-1.crt"
key = "{CERTS}/link-gateway-1.key"
ca = "{CERTS}/link-ca.crt"
allowed_edges = ["edge-1"]
[sip]
udp = ["{GATEWAY}:5060"]
contact = "sip:{GATEWAY}:5060"
next_hops = ["udp:{POOL}:5060"]
[[sip.trusted_peers]]
name = "pool"
addresses = ["{POOL}"]
[quotas]
messages_per_minute = 0
[gateway_settings]
connection_limit = 10000
[store]
path = "{STATE}/gateway/gateway.sqlite"
[admin]
listen = "{GATEWAY}:9090"
[telemetry]
format = "json"
"""
    for kind in KINDS:
        for row in VALID:
            text += f"""
[[partner]]
domain = "{kind.domain(row)}"
partner_type = "Federated"
tls_negotiation = "{row.tls}"
sasl_negotiation = "{row.sasl}"
support_dialback_negotiation = {str(row.dialback).lower()}
force = {str("SaslImpossibleWithoutTls" in row.warnings).lower()}
allow_private_addresses = true
"""
    return text


def _dns_answers():
    with contextlib.suppress(OSError):
        return bool(socket.getaddrinfo(f"xmpp.{LOCAL}", None))
    return False


def _listen(place, *ports):
    try:
        for port in ports:
            socket.create_connection((place, port), timeout=1).close()
    except OSError:
        return False
    return True


def _is_ready(place):
    connection = http.client.HTTPConnection(place, 9090, timeout=5)
    try:
        connection.request("GET", "/readyz" if place == GATEWAY else "/livez")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
