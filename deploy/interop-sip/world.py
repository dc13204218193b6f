"""The servers of the interoperability runs: those of the demo, with users of their own and partners that vouch for theirs.

Each round has one transport between the gateway and the SIP side. What is at the other end of it changes: Kamailio with
and without Record-Route, or a stack that speaks with the gateway directly.
"""

import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "demo"))

import environment  # noqa: E402

PHONES = "phones.contoso.example"
#: The XMPP servers: domain, address and name.
SERVERS = {"prosody": ("fabrikam.example", environment.PROSODY), "ejabberd": ("wingtip.example", environment.EJABBERD)}
#: What speaks SIP, in the order of the table.
PEERS = ["kamailio", "kamailio2", "pjsip", "sipp", "baresip", "msrp"]

# The lists of the demo are those of everything that it starts, so they are changed before anything has read them.
environment.DOMAINS.append(PHONES)
environment.SIP_USERS.clear()
environment.XMPP_USERS.clear()
for _peer in PEERS:
    for _name, (_domain, _place) in SERVERS.items():
        environment.SIP_USERS[f"{_peer}-{_name}@contoso.example"] = None
        environment.XMPP_USERS[f"{_peer}@{_domain}"] = _place
environment.SIP_USERS["carol@contoso.example"] = None

import parties  # noqa: E402

CONF = pathlib.Path(__file__).resolve().parent / "conf"


def place(peer, server):
    """The address of a peer's own, for each XMPP server that it has to do with."""
    host = 100 + 2 * PEERS.index(peer) + list(SERVERS).index(server)
    if peer != "baresip":
        return f"127.0.10.{host}"
    # baresip passes over every address that begins with 127.
    address = f"10.77.0.{host}"
    subprocess.run(["ip", "address", "replace", f"{address}/32", "dev", "lo"], check=True)
    return address


def up():
    """Starts everybody, Kamailio as the next hop."""
    parties.up(settle=configure)


def down():
    """Stops everybody."""
    parties.down()


def configure(next_hops=None):
    """Writes the gateway's configuration."""
    leg = parties.sip_leg(environment.SIP)
    hops = ", ".join(f'"{hop}"' for hop in next_hops or [leg["NEXT_HOP"]])
    environment.render("gateway.toml", environment.STATE / "gateway.toml", CONF, NEXT_HOPS=hops, **leg)


def kamailio_without_record_route():
    """Starts Kamailio again, out of the way of dialogs."""
    process = stop_kamailio()
    process.command = [*process.command, "-A", "NO_RECORD_ROUTE"]
    process.start()
    process.wait_ready(parties.READY_PATIENCE)


def without_kamailio(next_hops=None):
    """Ends Kamailio, and begins the gateway anew with an empty memory."""
    stop_kamailio()
    restart_gateway(next_hops)


def restart_gateway(next_hops=None):
    """Begins the gateway anew with an empty memory."""
    gateway = parties.service("gateway")
    gateway.ask_to_stop()
    gateway.stop()
    for file in (environment.STATE / "gateway").iterdir():
        file.unlink()
    configure(next_hops)
    gateway.start()
    parties.wait_for_road()


def kamailio_broke():
    """What it said of an end of one of its processes that nobody asked for."""
    output = _process("kamailio").output
    lines = output.read_text(encoding="utf-8", errors="replace").splitlines() if output.exists() else []
    return [line for line in lines if "exited by a signal" in line or " BUG: " in line]


def stop_kamailio():
    """Ends it, and returns what it was."""
    process = _process("kamailio")
    process.ask_to_stop()
    process.stop()
    return process


def _process(name):
    return next(process for process in parties.peers() if process.name == name)
