"""Where the demo lives: one network namespace, one folder of state, and an address for everybody in it.

Every server has a loopback address of its own inside the namespace, so that all of them can use the well-known ports
and none of them is reachable from outside. The namespace has its own resolv.conf; the machine's is never touched.
"""

import contextlib
import fcntl
import os
import pathlib
import shutil
import signal
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
CONF = pathlib.Path(__file__).resolve().parent / "conf"
STATE = ROOT / os.environ.get("CAUSEWAY_DEMO_STATE", ".demo")
LOG = STATE / "log"
CERTS = STATE / "certs"
NAMESPACE = os.environ.get("CAUSEWAY_DEMO_NAMESPACE", "causeway-demo")
PROFILE = os.environ.get("CAUSEWAY_PROFILE", "debug")
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / PROFILE

#: How the gateway and Kamailio speak with each other: tls (both show certificates), tcp or udp.
SIP = os.environ.get("CAUSEWAY_DEMO_SIP", "tls")

PROSODY = "127.0.10.1"
EJABBERD = "127.0.10.2"
EDGE = "127.0.10.3"
KAMAILIO = "127.0.10.10"
GATEWAY = "127.0.10.20"

#: Every domain with a certificate of the development CA. wingtip.example signs its own.
DOMAINS = ["contoso.example", "gateway.contoso.example", "fabrikam.example", "tailspin.example"]
SELF_SIGNED = "wingtip.example"

#: Users of the XMPP servers; each one's password is the name followed by "pw".
XMPP_USERS = {
    "bob@fabrikam.example": PROSODY,
    "grace@fabrikam.example": PROSODY,
    "mallory@tailspin.example": PROSODY,
    "eve@wingtip.example": EJABBERD,
    "frank@wingtip.example": EJABBERD,
}
#: SIP users, with the address and the transport of each one's phone. Kamailio asks them for no password.
SIP_USERS = {
    "alice@contoso.example": ("127.0.10.11", "tcp"),
    "dave@contoso.example": ("127.0.10.12", "udp"),
    "carol@contoso.example": ("127.0.10.13", "udp"),
}

_INSIDE = "CAUSEWAY_DEMO_INSIDE"


class DemoError(Exception):
    """Something that ends the command; its text is for whoever typed it."""


def enter():
    """Makes sure that this process runs inside the namespace: creates it, and starts the same command again there."""
    if os.environ.get(_INSIDE) == NAMESPACE:
        return
    if os.geteuid() != 0:
        raise DemoError("a network namespace needs root: run this with sudo, or as root in a container of your own")
    if shutil.which("ip") is None:
        raise DemoError("the command `ip` is missing: run deploy/setup demo")
    if not namespace_exists():
        _ip("netns", "add", NAMESPACE)
    own = pathlib.Path("/etc/netns") / NAMESPACE
    own.mkdir(parents=True, exist_ok=True)
    shutil.copy(CONF / "resolv.conf", own / "resolv.conf")
    _ip("-n", NAMESPACE, "link", "set", "lo", "up")
    os.environ[_INSIDE] = NAMESPACE
    os.execvp("ip", ["ip", "netns", "exec", NAMESPACE, sys.executable, *sys.argv])


def leave_and_remove():
    """Deletes the namespace. Called when nothing runs in it any more; this process may still be inside."""
    if namespace_exists():
        _ip("netns", "del", NAMESPACE)
    shutil.rmtree(pathlib.Path("/etc/netns") / NAMESPACE, ignore_errors=True)


def namespace_exists():
    """Whether there is one."""
    return (pathlib.Path("/run/netns") / NAMESPACE).exists()


def strangers(own):
    """Processes in the namespace that neither belong to this command nor to the sessions given."""
    listed = subprocess.run(["ip", "netns", "pids", NAMESPACE], capture_output=True, text=True, check=False).stdout
    return [pid for pid in map(int, listed.split()) if _session(pid) not in {*own, os.getsid(0), None}]


@contextlib.contextmanager
def alone():
    """Holds the lock on the state, so that two commands do not start or stop things at once."""
    STATE.mkdir(parents=True, exist_ok=True)
    with open(STATE / "lock", "w", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DemoError(f"another command is at work on {STATE}; wait until it has ended") from None
        yield


def render(name, target, folder=CONF, **values):
    """Writes a configuration from its template; @NAME@ stands for a path."""
    text = (folder / f"{name}.in").read_text(encoding="utf-8")
    for key, value in {"STATE": STATE, "LOG": LOG, "CERTS": CERTS, "CONF": CONF, **values}.items():
        text = text.replace(f"@{key}@", str(value))
    target.write_text(text, encoding="utf-8")
    return target


def main(command):
    """Runs a command and turns what ends it into a line on stderr and an exit code. SIGTERM ends it as Ctrl-C does."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        sys.exit(command() or 0)
    except DemoError as error:
        print(f"demo: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


def _session(pid):
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return None


def _ip(*arguments):
    subprocess.run(["ip", *arguments], check=True)
