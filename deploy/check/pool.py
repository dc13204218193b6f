"""A pool from packages: an edge host, two front-end hosts and PostgreSQL on a host of its own, as the book sets them up;
then one front-end host loses its power, and later the database does."""

import contextlib
import json
import re

from hosts import EDGE, GATEWAY, blaming, block, book, built, certificates, install
from hosts import is_ready, place, ready, shown, sip_pool, start
from machine import Machine, require, until
from networks import Perimeter

RULES = {"edge": (EDGE, "edge.nft"), "gateway": (GATEWAY, "front-end.nft"), "second": (GATEWAY, "front-end.nft")}
PASSWORD = "a password for a check"
CLUSTER = "/etc/postgresql/15/main"


def check(binaries, say):
    """Sets it up and takes parts of it away."""
    packages = built(binaries)
    with (
        Perimeter() as perimeter,
        Machine("edge", perimeter.namespace("edge")) as edge,
        Machine("gw1", perimeter.namespace("gateway")) as first,
        Machine("gw2", perimeter.namespace("second")) as second,
        Machine("db", perimeter.namespace("inside")) as database,
        blaming(edge, first, second),
        contextlib.ExitStack() as also,
    ):
        for host, name in ((edge, EDGE), (first, GATEWAY), (second, GATEWAY)):
            install(host, packages[name])
        for (name, (package, file)), host in zip(RULES.items(), (edge, first, second), strict=True):
            host.run("nft", "-f", f"/usr/share/doc/{package}/examples/firewall/{file}")
            require("dport" in perimeter.run(name, "nft", "list", "ruleset"), f"the rules of {name} are not in force")
        made = certificates(first)
        also.enter_context(sip_pool(perimeter, made))
        _database(database, made)
        configuration = block("edge-proxy").replace('["gateway-1"]', '["gateway-1", "gateway-2"]')
        place(edge, "edge-proxy", configuration, shown(made, "contoso.example", "link-edge-1"))
        start(edge, EDGE)
        for number, host in ((1, first), (2, second)):
            _gateway(host, number, made)
        ready(edge, first, second)
        both = {"gateway-1", "gateway-2"}
        until("both gateways know each other", lambda: _ready_gateways(first) == _ready_gateways(second) == both)
        say("an edge, two gateways and PostgreSQL, from packages, through the firewall rules: all are ready")
        first.stop()
        until("the pool notices", lambda: _ready_gateways(second) == {"gateway-2"})
        ready(edge, second)
        say("one front-end host without power: edge and the other gateway stay ready")
        _cluster(database, "stop")
        until("the gateway says so", lambda: not is_ready(second))
        _cluster(database, "start")
        ready(second)
        say("the database gone: not ready; back again: ready by itself")


def _database(host, made):
    """The commands of the book, with the password typed."""
    # This machine may have one, of which its guest sees a copy.
    host.run("sh", "-c", f"test ! -e {CLUSTER} || pg_dropcluster 15 main; pg_createcluster 15 main")
    for name in ("crt", "key"):
        mode = "600" if name == "key" else "644"
        host.write(f"{CLUSTER}/server.{name}", made[f"db.contoso.example.{name}"], "postgres:postgres", mode)
    settings = re.search(r"```ini\n(.*?)```", book(), re.DOTALL)
    allowed = re.search(r"^hostssl .*$", book(), re.MULTILINE)
    require(settings and allowed, "the book does not say how PostgreSQL is set up")
    host.write(f"{CLUSTER}/conf.d/causeway.conf", settings[1], "postgres:postgres")
    host.run("sh", "-c", f"cat >>{CLUSTER}/pg_hba.conf", stdin=allowed[0] + "\n")
    _cluster(host, "start")
    as_postgres = ["runuser", "-u", "postgres", "--"]
    host.run(*as_postgres, "psql", "--quiet", "-c", f"CREATE ROLE causeway LOGIN PASSWORD '{PASSWORD}'")
    host.run(*as_postgres, "createdb", "--owner=causeway", "--encoding=UTF8", "--template=template0", "causeway")


def _cluster(host, verb):
    host.run("systemctl", verb, "postgresql@15-main")


def _gateway(host, number, made):
    """What the book shows for one gateway, with what it says of a pool laid over it."""
    pool = re.search(r"```toml\n(gateway_id = \"gateway-2\".*?)```", book(), re.DOTALL)
    require(pool, "the book does not show a second gateway")
    text = block("gateway")
    store = re.search(r"\[store\]\n(.*?)\n\n|\[store\]\n(.*)$", pool[1] + "\n", re.DOTALL)
    text = re.sub(r"\[store\]\n.*?\n\n", store[0].rstrip() + "\n\n", text, flags=re.DOTALL)
    contact = re.search(r"session_contact = .*", pool[1])[0].replace("gw2", f"gw{number}")
    text = text.replace("[sip]\n", f"[sip]\n{contact}\n").replace('"gateway-1"', f'"gateway-{number}"')
    text = text.replace("link-gateway-1", f"link-gateway-{number}")
    files = shown(made, "gateway.contoso.example", f"link-gateway-{number}")
    files |= {"dialback-passphrase": "a" * 64, "postgres.password": PASSWORD, "postgres-ca.crt": made["ca.crt"]}
    place(host, "gateway", text, files)
    start(host, GATEWAY)


def _ready_gateways(host):
    """Those of the pool that a gateway knows to be ready."""
    # It ends with 1 while something does not fit, such as a gateway that is gone.
    said = json.loads(host.run("sh", "-c", "causeway replicas --output json || test $? = 1"))
    return {replica["gateway_id"] for replica in said["replicas"] if replica["state"] == "ready"}
