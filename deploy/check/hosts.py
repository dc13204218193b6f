"""What the checks that install packages have in common: building them, hosts to put them on, and what the book says."""

import atexit
import contextlib
import functools
import glob
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

from machine import CheckError, require, until

ROOT = pathlib.Path(__file__).resolve().parents[2]
EDGE, GATEWAY = "causeway-edge-proxy", "causeway-gateway"
#: A disk that is memory needs no flushing, and other packages' triggers (man-db's above all) are not what is checked.
DPKG = ["dpkg", "--force-unsafe-io", "--no-triggers"]
#: Where the hosts of the book are.
NAMES = """
10.1.0.2 edge.contoso.example
10.2.0.4 gateway.contoso.example gw1.contoso.example
10.2.0.5 gw2.contoso.example
10.2.0.17 sip.contoso.example
10.2.0.33 db.contoso.example
"""


@functools.cache
def built(binaries):
    """The packages, made once for all checks of a run."""
    folder = tempfile.mkdtemp(prefix="causeway-packages-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    done = subprocess.run(
        [ROOT / "deploy/debian/build", binaries, folder],
        env={**os.environ, "FAST": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    require(done.returncode == 0, f"deploy/debian/build: {done.stderr}")
    found = {name: glob.glob(f"{folder}/{name}_*.deb") for name in (EDGE, GATEWAY)}
    require(all(len(files) == 1 for files in found.values()), f"packages are {found}")
    return {name: files[0] for name, files in found.items()}


def install(host, package):
    """dpkg from outside: the package is not on the host's disk, which is an overlay of this one."""
    name = f"/root/{pathlib.Path(package).name}"
    encoded = subprocess.run(["base64", package], capture_output=True, text=True, check=True).stdout
    host.run("sh", "-c", f"base64 -d >{name}", stdin=encoded)
    return host.run(*DPKG, "--force-confold", "--install", name)


def certificates(gateway):
    """What an operator makes and carries: everything by its name in the book."""
    if not gateway.ask("test", "-e", "/root/made"):
        link = ["--edge=edge-1", "--gateway=gateway-1", "--gateway=gateway-2"]
        domains = [f"--domain={name}contoso.example" for name in ("", "gateway.", "sip.", "db.")]
        gateway.run("causeway", "dev-certs", "--out", "/root/made", *link, *domains)
    return {name: gateway.run("cat", f"/root/made/{name}") for name in gateway.run("ls", "/root/made").split()}


def book():
    """The chapter on installing."""
    return (ROOT / "docs/book/src/install.md").read_text(encoding="utf-8")


def block(program):
    """The configuration that follows the name of its file in the book."""
    found = re.search(rf"`/etc/causeway/{program}\.toml`.*?```toml\n(.*?)```", book(), re.DOTALL)
    require(found, f"the book shows no {program}.toml")
    return found[1]


def place(host, program, text, files):
    """Configuration, certificates and keys, as the service reads them; and the names of all hosts."""
    host.run("sh", "-c", "cat >>/etc/hosts", stdin=NAMES)
    for name, content in files.items():
        host.write(f"/etc/causeway/{name}", content, "root:causeway", "640")
    config = f"/etc/causeway/{program}.toml"
    host.write(config, text, "root:causeway", "640")
    host.run("runuser", "-u", "causeway", "--", program, "--config", config, "--check-config")


def shown(made, *names):
    """The certificates and keys of these names, and the authorities."""
    files = {f"{name}.{kind}": made[f"{name}.{kind}"] for name in names for kind in ("crt", "key")}
    return {**files, "link-ca.crt": made["link-ca.crt"], "pool-ca.crt": made["ca.crt"]}


def start(host, name):
    """Now and at every boot."""
    host.run("systemctl", "enable", "--now", name)
    require(host.property(name, "ActiveState") == "active", f"{name} is not active")


def ready(*hosts):
    """Waits until each is."""
    for host in hosts:
        until(f"{host.name} is ready", lambda host=host: is_ready(host))


@contextlib.contextmanager
def sip_pool(perimeter, made):
    """The SIP pool of the book, with its certificate."""
    with tempfile.TemporaryDirectory(prefix="causeway-sip-") as folder:
        files = [pathlib.Path(folder, f"sip.contoso.example.{kind}") for kind in ("crt", "key")]
        for file in files:
            file.write_text(made[file.name], encoding="utf-8")
        with perimeter.sip_pool(*files, "10.2.0.17"):
            yield


def is_ready(host):
    """What it says at this moment."""
    return host.ask("curl", "--silent", "--fail", "--noproxy", "*", "http://127.0.0.1:9090/readyz")


@contextlib.contextmanager
def blaming(*hosts):
    """Adds to a failure what the hosts said last."""
    try:
        yield
    except CheckError as error:
        words = [f"{host.name}: {_last_words(host)}" for host in hosts]
        raise CheckError("\n".join([str(error), *words])) from error


def _last_words(host):
    units = ["-u", EDGE, "-u", GATEWAY]
    try:
        return host.run("journalctl", "--no-pager", "--lines=25", *units)
    except CheckError as error:
        return str(error)
