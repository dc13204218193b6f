"""The servers of the demo: how each is set up, started, and found ready.

The peers are what an operator would install from Debian; nothing in their configuration is bent towards Causeway. The
services are ours, as built in this checkout.
"""

import contextlib
import functools
import glob
import http.client
import json
import shutil
import socket
import urllib.parse

import certificates
from environment import (
    CONF,
    EDGE,
    EJABBERD,
    GATEWAY,
    KAMAILIO,
    LOG,
    PROSODY,
    SIP,
    SIP_USERS,
    STATE,
    TARGET,
    XMPP_USERS,
    DemoError,
    render,
    strangers,
)
from process import Process

#: How long a server may take to be ready. ejabberd needs about five seconds on a small machine.
READY_PATIENCE = 30.0
#: Says that the memory is not empty any more.
PLAYED = STATE / "played"
#: What Debian's Kamailio needs to survive TLS; see forget_errors.c.
_FORGET_ERRORS = STATE / "forget_errors.so"
_HTTP_PATIENCE = 5.0
_EJABBERD_API = 5280
_METRICS_PORT = 9090
_ADDRESS = {"edge-proxy": EDGE, "gateway": GATEWAY}


def peers():
    """The servers that are not ours, in the order in which they start."""
    modules = glob.glob("/usr/lib/*/kamailio/modules/")
    libraries = glob.glob("/usr/lib/*/ejabberd-*/")
    if not modules or not libraries:
        raise DemoError("Kamailio or ejabberd is not installed: run deploy/setup demo")
    return [
        Process("dns", ["knotd", "-c", STATE / "knot.conf"], lambda: _resolves("xmpp.fabrikam.example")),
        Process(
            "ejabberd",
            # `ejabberdctl` would insist on its own user and on /etc/ejabberd; this is what it runs in the end.
            ["erl", "-noinput", "-sname", "ejabberd@localhost", "-setcookie", "demo", "-start_epmd", "false",
             "-erl_epmd_port", "5210", "-kernel", "inet_dist_use_interface", "{127,0,10,2}",
             "-mnesia", "dir", f'"{STATE}/ejabberd/mnesia"', "-s", "ejabberd"],
            _ejabberd_ready,
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
        Process(
            "prosody",
            ["prosody", "--config", STATE / "prosody.cfg.lua", "-F"],
            lambda: _listens(PROSODY, 5269) and _listens(PROSODY, 5222),
        ),
        Process(
            "kamailio",
            ["kamailio", "-DD", "-E", "-e", "-f", STATE / "kamailio.cfg", "-Y", STATE / "kamailio",
             "-P", STATE / "kamailio" / "own.pid", "-m", "64", "-M", "8"],
            lambda: _listens(KAMAILIO, 5060),
            {"LD_PRELOAD": _FORGET_ERRORS},
        ),
    ]  # fmt: skip


def services():
    """The edge proxy and the gateway. They are alive before they are ready, which each is only with the other."""
    return [
        Process(
            name,
            [TARGET / name, "--config", STATE / f"{name}.toml"],
            functools.partial(_healthy, _ADDRESS[name], "/livez"),
        )
        for name in _ADDRESS
    ]


def service(name):
    """One of our services by name."""
    return next(process for process in services() if process.name == name)


def up(with_services=True, settle=lambda: None):
    """Starts everybody with an empty memory and waits until all are ready; `settle` may change what was configured."""
    everybody = peers() + (services() if with_services else [])
    _refuse_to_disturb(everybody)
    unbuilt = [process.command[0] for process in everybody if not shutil.which(process.command[0])]
    if unbuilt:
        raise DemoError(f"{unbuilt[0]} is missing: run deploy/setup demo, and cargo build --bins")
    _prepare()
    settle()
    for process in everybody:
        process.start()
    for process in everybody:
        process.wait_ready(READY_PATIENCE)
    _register_users_of_ejabberd()
    if with_services:
        wait_for_road()


def down():
    """Stops whatever runs."""
    running = [process for process in peers() + services() if process.pid() is not None]
    for process in reversed(running):
        process.ask_to_stop()
    for process in running:
        process.stop()


def running():
    """The names of those that run, with their pids."""
    return {process.name: process.pid() for process in peers() + services() if process.pid() is not None}


def metrics(name):
    """The metrics of one of our services: name with labels -> value."""
    text = _get(_ADDRESS[name], _METRICS_PORT, "/metrics")[1]
    lines = (line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#"))
    return {key: float(value) for key, _, value in lines}


def verdicts(name):
    """The verdicts in the log of one of our services, oldest first, as the fields that were logged."""
    found = []
    with contextlib.suppress(FileNotFoundError):
        for line in service(name).output.read_text(encoding="utf-8", errors="replace").splitlines():
            with contextlib.suppress(ValueError):
                event = json.loads(line)
                if event.get("target") == "causeway::verdict":
                    found.append(event.get("fields", event))
    return found


def _refuse_to_disturb(everybody):
    alive = [process.name for process in everybody if process.pid() is not None]
    if alive:
        raise DemoError(f"{', '.join(alive)} already running: end it with make demo-down first")
    others = strangers([])
    if others:
        raise DemoError(
            f"the namespace is used by processes that this checkout did not start ({', '.join(map(str, others))}): "
            "end the demo of the other checkout, or set CAUSEWAY_DEMO_NAMESPACE to another name"
        )


def _prepare():
    """Empties the memory of the last run and writes the configurations. Certificates and logs stay."""
    PLAYED.unlink(missing_ok=True)
    for name in ["knot", "prosody", "ejabberd", "kamailio", "gateway"]:
        shutil.rmtree(STATE / name, ignore_errors=True)
        (STATE / name).mkdir(parents=True)
    (STATE / "ejabberd" / "mnesia").mkdir()
    shutil.rmtree(LOG, ignore_errors=True)
    LOG.mkdir()
    certificates.make()
    certificates.run("cc", "-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o", _FORGET_ERRORS, CONF.parent / "forget_errors.c")
    render("knot.conf", STATE / "knot.conf")
    render("prosody.cfg.lua", STATE / "prosody.cfg.lua")
    render("ejabberd.yml", STATE / "ejabberd.yml")
    sip = sip_leg(SIP)
    modules = glob.glob("/usr/lib/*/kamailio/modules/")[0]
    users = "|".join(user.partition("@")[0] for user in SIP_USERS)
    render("kamailio.cfg", STATE / "kamailio.cfg", KAMAILIO_MODULES=modules, USERS=users, **sip)
    render("kamailio-tls.cfg", STATE / "kamailio-tls.cfg")
    for name in ["edge-proxy.toml", "gateway.toml"]:
        render(name, STATE / name, **sip)
    for user in XMPP_USERS:
        name, _, domain = user.partition("@")
        if XMPP_USERS[user] == PROSODY:
            accounts = STATE / "prosody" / urllib.parse.quote(domain, safe="").replace(".", "%2e") / "accounts"
            accounts.mkdir(parents=True, exist_ok=True)
            (accounts / f"{name}.dat").write_text(f'return {{ ["password"] = "{name}pw"; }};\n', encoding="ascii")


def sip_leg(transport):
    """How gateway and Kamailio find and know each other."""
    if transport not in ("tls", "tcp", "udp"):
        raise DemoError(f"CAUSEWAY_DEMO_SIP is {transport}; it can be tls, tcp or udp")
    port = 5061 if transport == "tls" else 5060
    is_tls = transport == "tls"
    return {
        "GATEWAY_URI": f"sip:{GATEWAY}:{port};transport={transport}",
        "KAMAILIO_URI": f"sip:{KAMAILIO}:{port};transport={transport}",
        "NEXT_HOP": "tls:sip.contoso.example" if is_tls else f"{transport}:{KAMAILIO}:{port}",
        "TRUST": 'identities = ["contoso.example"]' if is_tls else f'addresses = ["{KAMAILIO}"]',
    }


def _register_users_of_ejabberd():
    for user, server in XMPP_USERS.items():
        if server == EJABBERD:
            name, _, host = user.partition("@")
            body = json.dumps({"user": name, "host": host, "password": f"{name}pw"})
            status, answer = _get(EJABBERD, _EJABBERD_API, "/api/register", body)
            if status != 200:
                raise DemoError(f"ejabberd did not take the user {user}: {status} {answer}")


def is_ready(name):
    """Whether one of our services says that it can serve."""
    return _healthy(_ADDRESS[name], "/readyz")


def wait_for_road():
    """Waits until the gateway has found the edge, so that the first message is not the one that waits for it."""
    for process in services():
        process.ready = functools.partial(is_ready, process.name)
        process.wait_ready(READY_PATIENCE)


def _resolves(name):
    try:
        return bool(socket.getaddrinfo(name, None))
    except socket.gaierror:
        return False


def _listens(address, port):
    try:
        socket.create_connection((address, port), timeout=1).close()
    except OSError:
        return False
    return True


def _ejabberd_ready():
    return _listens(EJABBERD, _EJABBERD_API) and _listens(EJABBERD, 5269) and _listens(EJABBERD, 5222)


def _healthy(address, path):
    try:
        return _get(address, _METRICS_PORT, path)[0] == 200
    except OSError:
        return False


def _get(address, port, path, body=None):
    connection = http.client.HTTPConnection(address, port, timeout=_HTTP_PATIENCE)
    try:
        headers = {"Content-Type": "application/json"} if body else {}
        connection.request("POST" if body else "GET", path, body, headers)
        response = connection.getresponse()
        return response.status, response.read().decode("utf-8", "replace")
    except http.client.HTTPException as error:
        raise OSError(str(error)) from error
    finally:
        connection.close()
