"""The packages, from installing to purging, on an edge host and a front-end host with a systemd each and the firewall
rules between them; configured as the book says."""

import contextlib
import re
import subprocess

from hosts import DPKG, EDGE, GATEWAY, ROOT, blaming, block, book, built, certificates, install
from hosts import place, ready, shown, sip_pool, start
from machine import Machine, require, until
from networks import Perimeter

#: Which rules the packages bring, and where they are played.
RULES = {"edge": (EDGE, "edge.nft"), "gateway": (GATEWAY, "front-end.nft")}
#: What is meant for the archive of a distribution, and for us is none.
NOT_OURS = ["initial-upload-closes-no-bugs"]


def check(binaries, say):
    """Builds both and lives their lives."""
    packages = built(binaries)
    _lint(packages.values())
    say("both are built, and lintian has nothing to say")
    with (
        Perimeter() as perimeter,
        Machine("edge", perimeter.namespace("edge")) as edge,
        Machine("gateway", perimeter.namespace("gateway")) as gateway,
        blaming(edge, gateway),
        contextlib.ExitStack() as also,
    ):
        _installed(edge, packages[EDGE], EDGE, ["edge-proxy"])
        _installed(gateway, packages[GATEWAY], GATEWAY, ["gateway", "causeway"])
        say("installed: user, folders, units that wait to be configured, pages, completions")
        for name, (package, file) in RULES.items():
            perimeter.run(name, "nft", "-f", "/dev/stdin", input=(ROOT / "deploy/firewall" / file).read_text())
            require(f"/firewall/{file}" in _files(edge if name == "edge" else gateway, package), f"no {file}")
        _example_is_sound(edge, gateway)
        say("the shipped examples are sound once the files they name are there")
        _configure(edge, gateway)
        also.enter_context(sip_pool(perimeter, certificates(gateway)))
        _run(edge, gateway)
        say("both serve within their sandboxes and through both firewalls; /readyz says ready")
        _reload(gateway)
        _upgrade(edge, packages[EDGE], EDGE)
        _upgrade(gateway, packages[GATEWAY], GATEWAY)
        ready(edge, gateway)
        say("an upgrade restarts once, in order, and keeps configuration, modes and store")
        _stuck(gateway)
        say("a gateway whose loop stands still is started again by the watchdog")
        _removed(gateway, packages[GATEWAY])
        _purged(edge, gateway)
        say("removed: stopped, data kept; installed again: continued; purged: nothing left but the administrator's keys")


def _lint(packages):
    command = ["lintian", "--allow-root", "--fail-on", "error,warning", "--suppress-tags", ",".join(NOT_OURS)]
    done = subprocess.run([*command, *packages], capture_output=True, text=True, check=False)
    require(done.returncode == 0 and not done.stdout, f"lintian: {done.stdout}{done.stderr}")


def _files(host, package):
    return host.run("dpkg", "-L", package)


def _installed(host, package, name, programs):
    told = install(host, package)
    require(f"systemctl enable --now {name}" in told, f"installing does not say what comes next: {told}")
    require(host.ask("id", "causeway"), "there is no user causeway")
    for path, facts in {"/etc/causeway": "root:causeway 750", "/etc/causeway/keys": "root:root 700"}.items():
        require(host.facts(path) == facts, f"{path} is {host.facts(path)} instead of {facts}")
    require(not host.ask("systemctl", "is-active", name), f"{name} runs without configuration")
    require(not host.ask("systemctl", "is-enabled", name), f"{name} would start without configuration")
    verified = host.run("systemd-analyze", "verify", "--man=no", f"{name}.service")
    require(not verified, f"on its host, {name}: {verified}")
    for program in programs:
        require(re.search(r"\d+\.\d+\.\d+", host.run(program, "--version")), f"{program} says no version")
    listed = _files(host, name)
    wanted = [f"man8/{name.removeprefix('causeway-')}.8.gz", f"{name}/changelog.gz", f"{name}/sbom.cdx.json"]
    if name == GATEWAY:
        wanted += ["man1/causeway.1.gz", "man1/causeway-partner-new.1.gz", "completions/causeway", "/_causeway"]
    else:
        require("/usr/bin/causeway" not in listed, "the edge host has a command line that needs a store")
    missing = [end for end in wanted if end not in listed]
    require(not missing, f"{name} lacks {missing}")


def _example_is_sound(edge, gateway):
    made = certificates(gateway)
    link = {"link-ca.crt": made["link-ca.crt"]}
    at_edge = {
        **link,
        "link-edge.crt": made["link-edge-1.crt"],
        "link-edge.key": made["link-edge-1.key"],
        "contoso.example.crt": made["contoso.example.crt"],
        "contoso.example.key": made["contoso.example.key"],
    }
    at_gateway = {
        **link,
        "link-gateway.crt": made["link-gateway-1.crt"],
        "link-gateway.key": made["link-gateway-1.key"],
        "gateway.contoso.example.crt": made["gateway.contoso.example.crt"],
        "gateway.contoso.example.key": made["gateway.contoso.example.key"],
        "pool-ca.crt": made["ca.crt"],
        "dialback-passphrase": "a" * 64,
    }
    for host, program, files in ((edge, "edge-proxy", at_edge), (gateway, "gateway", at_gateway)):
        config = ["--config", f"/etc/causeway/{program}.toml", "--check-config"]
        require(not host.ask(program, *config), f"{program} takes its example though the files are missing")
        for name, content in files.items():
            host.write(f"/etc/causeway/{name}", content, "root:causeway", "640")
        said = host.run("runuser", "-u", "causeway", "--", program, *config)
        require(said.strip().endswith("ok"), f"{program}: {said}")
        host.run("sh", "-c", "cd /etc/causeway && rm " + " ".join(files))


def _configure(edge, gateway):
    """As the book says: its files, its names."""
    made = certificates(gateway)
    place(edge, "edge-proxy", block("edge-proxy"), shown(made, "contoso.example", "link-edge-1"))
    # The passphrase first as a file, so that the configuration can be checked, then as the book hands secrets over.
    files = {**shown(made, "gateway.contoso.example", "link-gateway-1"), "dialback-passphrase": "a" * 64}
    place(gateway, "gateway", block("gateway"), files)
    handed = re.search(r'dialback_passphrase_file = "(/run/credentials/[^"]*)"', book())
    require(handed, "the book does not hand over the passphrase")
    gateway.run("mv", "/etc/causeway/dialback-passphrase", "/etc/causeway/keys/")
    gateway.run("sed", "-i", f's|"/etc/causeway/dialback-passphrase"|"{handed[1]}"|', "/etc/causeway/gateway.toml")
    gateway.run("chown", "root:root", "/etc/causeway/keys/dialback-passphrase")
    gateway.run("chmod", "600", "/etc/causeway/keys/dialback-passphrase")


def _run(edge, gateway):
    for host, name in ((edge, EDGE), (gateway, GATEWAY)):
        start(host, name)
        _sandboxed(host, name)
    ready(edge, gateway)
    require(gateway.facts("/run/causeway/gateway.sock").endswith(" 600"), "the socket is open to others")
    require(gateway.facts("/var/lib/causeway") == "causeway:causeway 700", "the store's folder is open to others")
    require("edge" in gateway.run("causeway", "status"), "the command line finds no gateway on its socket")


def _sandboxed(host, name):
    pid = host.property(name, "MainPID")
    status = dict(line.split(":\t", 1) for line in host.run("cat", f"/proc/{pid}/status").splitlines() if ":\t" in line)
    user = host.run("id", "-u", "causeway").strip()
    require(status["Uid"].split()[0] == user, f"{name} runs as {status['Uid']}")
    found = {key: status[key].strip() for key in ("CapEff", "CapBnd", "NoNewPrivs", "Seccomp")}
    wanted = {"CapEff": "0" * 16, "CapBnd": "0" * 16, "NoNewPrivs": "1", "Seccomp": "2"}
    require(found == wanted, f"{name} is held by {found}")
    mounts = [line.split() for line in host.run("cat", f"/proc/{pid}/mounts").splitlines()]
    writable = {mount[1] for mount in mounts if "rw" in mount[3].split(",") and mount[2] not in ("proc", "devpts")}
    # The sandbox's own /tmp and /dev, and what the unit keeps.
    ours = {"/var/lib/causeway", "/run/causeway"} if name == GATEWAY else set()
    extra = {path for path in writable if not path.startswith(("/dev", "/tmp", "/var/tmp"))} - ours
    require(not extra, f"{name} can write to {sorted(extra)}")


def _reload(gateway):
    before = gateway.property(GATEWAY, "MainPID")
    gateway.run("systemctl", "reload", GATEWAY)
    until("the gateway serves again", lambda: gateway.property(GATEWAY, "StatusText") == "serves")
    require(gateway.property(GATEWAY, "MainPID") == before, "reloading has restarted the gateway")


def _upgrade(host, package, name):
    """The same version again, which for maintainer scripts is an upgrade."""
    config = f"/etc/causeway/{name.removeprefix('causeway-')}.toml"
    host.run("chmod", "0751", "/etc/causeway")
    before, text, store = host.property(name, "InvocationID"), host.run("cat", config), _store(host)
    install(host, package)
    require(host.property(name, "ActiveState") == "active", f"{name} does not run after an upgrade")
    require(host.property(name, "InvocationID") != before, f"{name} still runs the old program")
    require(host.run("cat", config) == text, "an upgrade has changed the configuration")
    require(host.facts("/etc/causeway") == "root:causeway 751", "an upgrade has undone the administrator's mode")
    require(_store(host) == store, "an upgrade has replaced the store")
    require(host.ask("systemctl", "is-enabled", name), f"{name} will not start at the next boot")
    ended = "ended" if name == EDGE else "the gateway stops"
    require(ended in host.run("journalctl", "--no-pager", "-u", name), f"{name} was not ended in order")


def _store(host):
    return host.run("sh", "-c", "ls -i /var/lib/causeway/*.sqlite 2>/dev/null || true")


def _stuck(gateway):
    folder = f"/run/systemd/system/{GATEWAY}.service.d"
    gateway.run("mkdir", "-p", folder)
    gateway.write(f"{folder}/watchdog.conf", "[Service]\nWatchdogSec=1\nRestartSec=0\n")
    gateway.run("systemctl", "daemon-reload")
    gateway.run("systemctl", "restart", GATEWAY)
    pid = gateway.property(GATEWAY, "MainPID")
    gateway.run("kill", "-STOP", pid)
    until("the gateway was started again", lambda: gateway.property(GATEWAY, "NRestarts") == "1")
    until("it serves", lambda: gateway.property(GATEWAY, "ActiveState") == "active")
    require(gateway.property(GATEWAY, "MainPID") != pid, "the gateway that stands still is still there")
    gateway.run("rm", "-r", folder)
    gateway.run("systemctl", "daemon-reload")


def _removed(gateway, package):
    store = _store(gateway)
    gateway.run(*DPKG, "--remove", GATEWAY)
    require(gateway.property(GATEWAY, "ActiveState") != "active", "removing does not stop the gateway")
    require(store and _store(gateway) == store, "removing has taken the store away")
    require(gateway.ask("test", "-e", "/etc/causeway/gateway.toml"), "removing has taken the configuration away")
    install(gateway, package)
    gateway.run("systemctl", "start", GATEWAY)
    require(_store(gateway) == store, "the gateway does not continue with its store")


def _purged(edge, gateway):
    gateway.run(*DPKG, "--purge", GATEWAY)
    require(not gateway.ask("test", "-e", "/var/lib/causeway"), "purging leaves the store")
    require(not gateway.ask("test", "-e", "/etc/causeway/gateway.toml"), "purging leaves the configuration")
    require(gateway.ask("test", "-e", "/etc/causeway/keys/dialback-passphrase"), "purging takes the administrator's keys")
    edge.run("sh", "-c", "cd /etc/causeway && find . -type f ! -name edge-proxy.toml -delete")
    edge.run(*DPKG, "--purge", EDGE)
    require(not edge.ask("test", "-e", "/etc/causeway"), "purging leaves an empty folder")
    require(not edge.ask("systemctl", "cat", EDGE), "purging leaves the unit")
