"""The images: the same bytes twice, small, without a shell, with a sound bill of materials, and run read-only."""

import json
import os
import pathlib
import shutil
import subprocess
import tempfile

from container import Container, Image, bind, memory
from machine import CheckError, require, until
from networks import Perimeter

ROOT = pathlib.Path(__file__).resolve().parents[2]
VENV = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "deploy-venv"
SERVICES = ("edge-proxy", "gateway")
USER = 64738
#: Of release builds; what the check is given may be larger.
MOST_MEGABYTES = 40
#: Programs that nobody who gets in should find.
UNWANTED = ("sh", "bash", "dash", "busybox", "perl", "python3", "apt", "dpkg", "ldd", "curl", "wget")
STOP_PATIENCE = 30.0
#: Strictly by the schema of the version that the document names.
VALIDATE = """
import json, sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
text = sys.stdin.read()
version = SchemaVersion.from_version(json.loads(text)["specVersion"])
if fault := JsonStrictValidator(version).validate_str(text):
    sys.exit(str(fault))
"""


def check(binaries, say):
    """Builds both twice, from other folders, and runs what came out."""
    with tempfile.TemporaryDirectory(prefix="causeway-images-") as folder:
        folder = pathlib.Path(folder)
        digests = _twice(binaries, folder)
        for name in SERVICES:
            _read_by_others(folder / "first", name)
        say(f"the same bytes twice, and skopeo reads them both ways: {digests}")
        images = {name: Image(folder / f"first/causeway-{name}.tar", folder / f"root-{name}") for name in SERVICES}
        for name, image in images.items():
            _content(name, image, folder)
        say("no shell, no other user, bills of materials are sound and name every library")
        with Perimeter() as perimeter:
            for host, rules in (("edge", "edge.nft"), ("gateway", "front-end.nft")):
                perimeter.run(host, "nft", "-f", ROOT / "deploy/firewall" / rules)
            mounts = _configured(images, folder, perimeter)
            pool = [folder / f"made/made/sip.contoso.example.{kind}" for kind in ("crt", "key")]
            with perimeter.sip_pool(*pool, "10.2.0.17"):
                _run(images, mounts, folder, perimeter, say)


def _twice(binaries, folder):
    # Another folder, time zone and mask must not show.
    copies = folder / "copies"
    copies.mkdir()
    for program in ("edge-proxy", "gateway", "causeway"):
        shutil.copy(binaries / program, copies)
    for source, out, zone, mask in ((binaries, "first", "UTC", "022"), (copies, "second", "Asia/Tokyo", "077")):
        script = f'umask {mask} && exec "$0" "$1" "$2"'
        command = ["sh", "-c", script, ROOT / "deploy/images/build", source, folder / out]
        done = subprocess.run(command, env={**os.environ, "TZ": zone}, capture_output=True, text=True, check=False)
        require(done.returncode == 0, f"deploy/images/build: {done.stderr}")
    for name in SERVICES:
        first, second = ((folder / out / f"causeway-{name}.tar").read_bytes() for out in ("first", "second"))
        require(first == second, f"causeway-{name}.tar differs from build to build")
        require(len(first) < MOST_MEGABYTES * 1e6, f"causeway-{name}.tar has {len(first) / 1e6:.0f} MB")
    return " ".join(line.split()[0][7:19] for line in (folder / "first/digests").read_text().splitlines())


def _read_by_others(folder, name):
    """As podman and registries read it, and as docker does; the digest is what we say."""
    lines = (folder / "digests").read_text(encoding="utf-8").splitlines()
    digest, reference = next(line.split() for line in lines if f"/{name}:" in line)
    file = folder / f"causeway-{name}.tar"
    read = {}
    for kind, place in (("oci", f"oci-archive:{file}"), ("docker", f"docker-archive:{file}:{reference}")):
        done = subprocess.run(["skopeo", "inspect", place], capture_output=True, text=True, check=False)
        require(done.returncode == 0, f"skopeo does not read {place}: {done.stderr}")
        read[kind] = json.loads(done.stdout)
    require(read["oci"]["Digest"] == digest, f"the digest of {reference} is {read['oci']['Digest']}, not {digest}")
    require(read["oci"]["Labels"] == read["docker"]["Labels"], f"{reference} is another image to docker")


def _content(name, image, folder):
    files = image.files()
    found = [path for path in files if path.rpartition("/")[2] in UNWANTED]
    require(not found, f"{name} holds {found}")
    config = image.config["config"]
    require(config["User"] == f"{USER}:{USER}", f"{name} runs as {config['User']}")
    labels = {"title", "description", "version", "revision", "created", "licenses"}
    require({f"org.opencontainers.image.{label}" for label in labels} <= set(config["Labels"]), f"{name} lacks labels")
    privileged = [path for path in files if (image.root / path[1:]).stat().st_mode & 0o6022]
    require(not privileged, f"{name} has files that run as others or that others may write: {privileged}")
    materials = (image.root / "usr/share/doc/causeway/sbom.cdx.json").read_text(encoding="utf-8")
    require(materials == (folder / f"first/causeway-{name}.cdx.json").read_text(encoding="utf-8"), "two bills differ")
    done = subprocess.run(
        [VENV / "bin/python", "-c", VALIDATE], input=materials, capture_output=True, text=True, check=False
    )
    require(done.returncode == 0, f"the bill of materials of {name}: {done.stderr}")
    named = {component["purl"].split("@")[0] for component in json.loads(materials)["components"]}
    wanted = {"pkg:deb/debian/libc6", "pkg:deb/debian/ca-certificates", "pkg:cargo/rustls", "pkg:cargo/aws-lc-sys"}
    require(wanted <= named, f"the bill of materials of {name} lacks {wanted - named}")
    stores = named & {"pkg:cargo/rusqlite", "pkg:cargo/tokio-postgres"}
    require(bool(stores) == (name == "gateway"), f"{name} holds {stores}")


def _run(images, mounts, folder, perimeter, say):
    namespaces = {name: perimeter.namespace(host) for name, host in (("edge-proxy", "edge"), ("gateway", "gateway"))}

    def container(name, what, **options):
        number = f"causeway-check-{os.getpid()}-{name}-{what}"
        return Container(number, images[name], folder / "run" / number, namespaces[name], mounts[name], **options)

    for name in SERVICES:
        code, said = container(name, "version", arguments=["--version"]).run()
        require(code == 0 and name in said, f"{name} --version: {code} {said}")
        arguments = [*images[name].config["config"]["Cmd"], "--check-config"]
        code, said = container(name, "config", arguments=arguments).run()
        require(code == 0 and said.strip().endswith("ok"), f"{name} --check-config: {code} {said}")
        code, said = container(name, "shell", entrypoint=["/bin/sh"], arguments=["-c", "true"]).run()
        require(code != 0, f"{name} has a shell")
    running = {name: container(name, "serve") for name in SERVICES}
    try:
        for each in running.values():
            each.start()
        for name, each in running.items():
            _ready(perimeter, namespaces[name], name, each)
            _confined(name, each)
        ask = container("gateway", "status", entrypoint=["/usr/bin/causeway"], arguments=["--help"])
        require(ask.run()[0] == 0, "the image of the gateway has no command line that runs")
        say("both serve from a read-only root as user 64738 without capabilities; /readyz says ready")
        for name, each in running.items():
            code = each.stop(STOP_PATIENCE)
            require(code == 0, f"{name} ended with {code}: {each.said()}")
        say("both end in order when they are told to")
    except CheckError as error:
        words = [f"{name}: {each.said()[-2000:]}" for name, each in running.items() if each.log.exists()]
        raise CheckError("\n".join([str(error), *words])) from error
    finally:
        for each in running.values():
            each.remove()


def _confined(name, container):
    """What an image cannot say for itself, and needs nothing of."""
    status = dict(line.split(":\t", 1) for line in container.proc("status").splitlines() if ":\t" in line)
    require(status["Uid"].split()[0] == str(USER), f"{name} runs as {status['Uid']}")
    found = {key: status[key].strip() for key in ("CapEff", "CapBnd", "NoNewPrivs")}
    require(found == {"CapEff": "0" * 16, "CapBnd": "0" * 16, "NoNewPrivs": "1"}, f"{name} is held by {found}")
    root = next(line.split() for line in container.proc("mounts").splitlines() if line.split()[1] == "/")
    require("ro" in root[3].split(","), f"{name} can write to its root")


def _ready(perimeter, namespace, name, container):
    ask = ["ip", "netns", "exec", namespace, "curl", "--silent", "--fail", "--noproxy", "*"]

    def look():
        require(container.is_running(), f"{name} has ended: {container.said()}")
        return subprocess.run([*ask, "http://127.0.0.1:9090/readyz"], capture_output=True, check=False).returncode == 0

    until(f"{name} is ready", look)


def _configured(images, folder, perimeter):
    """The examples, with what they name made by the image of the gateway itself; and where it all goes."""
    state, made = folder / "state", folder / "made"
    for path in (state, made):
        path.mkdir(mode=0o700)
        os.chown(path, USER, USER)
    arguments = ["dev-certs", "--out", "/var/lib/causeway/made"]
    arguments += ["--edge", "edge-1", "--gateway", "gateway.contoso.example"]
    arguments += ["--domain", "contoso.example", "--domain", "gateway.contoso.example"]
    arguments += ["--domain", "sip.contoso.example"]
    code, said = Container(
        f"causeway-check-{os.getpid()}-certificates",
        images["gateway"],
        folder / "run/certificates",
        perimeter.namespace("gateway"),
        [bind(made, "/var/lib/causeway", "rw")],
        entrypoint=["/usr/bin/causeway"],
        arguments=arguments,
    ).run()
    require(code == 0, f"causeway dev-certs: {code} {said}")
    made /= "made"
    names = {"link-edge": "link-edge-1", "link-gateway": "link-gateway.contoso.example"}
    mounts = {}
    # What engines give every container.
    hosts, resolv = folder / "hosts", folder / "resolv.conf"
    resolv.write_text("nameserver 198.51.100.53\n")
    hosts.write_text("10.1.0.2 edge.contoso.example\n10.2.0.17 sip.contoso.example\n10.2.0.4 gateway.contoso.example\n")
    for name in SERVICES:
        etc = folder / f"etc-{name}"
        etc.mkdir(mode=0o755)
        text = (ROOT / f"deploy/example/{name}.toml").read_text(encoding="utf-8")
        # With a port, an address of that name is enough: the name server is one that the rules refuse to ask.
        text = text.replace('"tls:sip.contoso.example"', '"tls:sip.contoso.example:5061"')
        (etc / f"{name}.toml").write_text(text, encoding="utf-8")
        for file in made.iterdir():
            shutil.copy(file, etc / file.name)
        for wanted, original in names.items():
            for kind in ("crt", "key"):
                shutil.copy(made / f"{original}.{kind}", etc / f"{wanted}.{kind}")
        shutil.copy(made / "ca.crt", etc / "pool-ca.crt")
        (etc / "dialback-passphrase").write_text("a" * 64)
        for file in etc.iterdir():
            os.chown(file, USER, USER)
        mounts[name] = [
            bind(etc, "/etc/causeway", "ro"),
            bind(hosts, "/etc/hosts", "ro"),
            bind(resolv, "/etc/resolv.conf", "ro"),
        ]
    mounts["gateway"] += [bind(state, "/var/lib/causeway", "rw"), memory("/run/causeway", USER)]
    return mounts
