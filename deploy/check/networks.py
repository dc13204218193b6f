"""A perimeter in network namespaces: the internet, an edge host, two front-end hosts, and the inside.

    internet ── 203.0.113.0/24 ── eth0 edge eth1 ── 10.1.0.0/24 ── eth0 gateway eth1 ── 10.2.0.0/24 ── inside
                                                         └──────── eth0 second  eth1 ────────┘

The inside is one namespace with the addresses of everybody there; it has one on the link's network, too, and routes
between them as a company's network does, so that nothing but the hosts' own rules keeps anybody from anybody.
"""

import contextlib
import os
import pathlib
import subprocess
import sys

NAMES = ("internet", "edge", "gateway", "second", "inside")

#: Who has which addresses. The first of each network carries its length.
ADDRESSES = {
    ("internet", "outside"): ["203.0.113.1/24", "198.51.100.10/32", "192.0.2.53/32", "2001:db8:1::1/64"],
    ("edge", "eth0"): ["203.0.113.2/24", "2001:db8:1::2/64"],
    ("edge", "eth1"): ["10.1.0.2/24", "fd00:1::2/64"],
    ("gateway", "eth0"): ["10.1.0.4/24", "fd00:1::4/64"],
    ("gateway", "eth1"): ["10.2.0.4/24"],
    ("second", "eth0"): ["10.1.0.5/24", "fd00:1::5/64"],
    ("second", "eth1"): ["10.2.0.5/24"],
    ("inside", "wire"): ["10.1.0.1/24", "10.1.0.9/32", "10.1.0.10/32", "10.1.0.66/32", "fd00:1::66/64"],
    ("inside", "services"): [
        "10.2.0.1/24",
        *(f"10.2.0.{last}/32" for last in (9, 10, 11, 17, 33, 53, 66)),
        "10.3.0.7/32",
        "10.4.0.7/32",
        "10.4.0.10/32",
    ],
}

ROUTES = {
    "internet": ["10.0.0.0/8 via 203.0.113.2"],
    "edge": ["default via 203.0.113.1 dev eth0", "10.0.0.0/8 via 10.1.0.1 dev eth1"],
    "gateway": ["default via 10.2.0.1 dev eth1"],
    "second": ["default via 10.2.0.1 dev eth1"],
    "inside": ["default via 10.1.0.2 dev wire"],
}

_SIP_POOL = pathlib.Path(__file__).with_name("sip_pool.py")


class Perimeter:
    """The namespaces; they go away with it."""

    def __init__(self):
        self._prefix = f"cw-check-{os.getpid()}-"
        try:
            self._build()
        except BaseException:
            self.remove()
            raise

    def namespace(self, name):
        """As `ip netns` knows it."""
        return self._prefix + name

    def run(self, name, *command, **options):
        """Runs a command there."""
        entered = ["ip", "netns", "exec", self.namespace(name), *map(str, command)]
        return subprocess.run(entered, capture_output=True, text=True, check=True, **options).stdout

    @contextlib.contextmanager
    def sip_pool(self, certificate, key, address):
        """The SIP pool inside, while it lasts."""
        entered = ["ip", "netns", "exec", self.namespace("inside"), sys.executable, _SIP_POOL]
        process = subprocess.Popen([*entered, certificate, key, address, "5061"], stdout=subprocess.PIPE, text=True)
        try:
            if process.stdout.readline() != "ready\n":
                raise RuntimeError("the SIP pool does not listen")
            yield
        finally:
            process.kill()
            process.wait()

    def _build(self):
        for name in NAMES:
            _ip("netns", "add", self.namespace(name))
            self._ip(name, "link", "set", "lo", "up")
        self._join("internet", "outside", "edge", "eth0")
        # The inner networks have more than two hosts, so they are bridges; the inside's addresses are on the bridges.
        for bridge, hosts in (
            ("wire", (("edge", "eth1"), ("gateway", "eth0"), ("second", "eth0"))),
            ("services", (("gateway", "eth1"), ("second", "eth1"))),
        ):
            self._ip("inside", "link", "add", bridge, "type", "bridge")
            for name, interface in hosts:
                port = f"{bridge[:4]}-{name}"
                self._join(name, interface, "inside", port)
                self._ip("inside", "link", "set", port, "master", bridge, "up")
        for (name, interface), addresses in ADDRESSES.items():
            for address in addresses:
                self._ip(name, "address", "add", address, "dev", interface, *(["nodad"] if ":" in address else []))
            self._ip(name, "link", "set", interface, "up")
        for name, routes in ROUTES.items():
            for route in routes:
                self._ip(name, "route", "add", *route.split())
        for name in ("inside", "internet"):
            self.run(name, "sysctl", "-q", "net.ipv4.ip_forward=1")

    def _join(self, left, left_name, right, right_name):
        peer = ["peer", "name", right_name, "netns", self.namespace(right)]
        self._ip(left, "link", "add", left_name, "type", "veth", *peer)

    def _ip(self, name, *arguments):
        _ip("-n", self.namespace(name), *arguments)

    def remove(self):
        """Takes everything down; what is missing is no matter."""
        for name in NAMES:
            subprocess.run(["ip", "netns", "delete", self.namespace(name)], capture_output=True, check=False)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.remove()


def _ip(*arguments):
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
