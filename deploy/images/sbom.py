#!/usr/bin/python3
"""sbom.py SERVICE [LIBRARY...]: what a program is made of, as a CycloneDX document on standard output.

The crates come from Cargo.lock, as cargo resolves it for this platform, without those that only build or test; the
libraries that are copied beside the program come as the Debian packages that own them. The same commit gives the same
bytes.
"""

import json
import os
import pathlib
import subprocess
import sys
import tomllib
import uuid
from datetime import UTC, datetime

ROOT = pathlib.Path(__file__).resolve().parents[2]
SPECIFICATION = "1.6"


def document(service, libraries=()):
    """The bill of materials of `edge-proxy` or `gateway`."""
    metadata = _cargo_metadata()
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    main = next(package for package in metadata["packages"] if package["name"] == f"causeway-{service}")
    linked = _linked(main["id"], packages, nodes)
    checksums = _checksums()
    crates = [_crate(packages[name], checksums) for name in sorted(linked - {main["id"]})]
    debian = [_debian(package) for package in sorted(set(map(_owner, libraries)))]
    depends = {name: sorted(_normal(nodes[name]) & linked) for name in sorted(linked)}
    depends[main["id"]] += [part["bom-ref"] for part in debian]
    bom = {
        "$schema": f"http://cyclonedx.org/schema/bom-{SPECIFICATION}.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": SPECIFICATION,
        "version": 1,
        "metadata": {
            "timestamp": datetime.fromtimestamp(commit_time(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": {**_crate(main, checksums), "type": "application"},
        },
        "components": crates + debian,
        "dependencies": [{"ref": name, "dependsOn": targets} for name, targets in depends.items()],
    }
    # A name of the content, so that the same content has the same name.
    number = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(bom, sort_keys=True))
    return {**bom, "serialNumber": f"urn:uuid:{number}"}


def text(bom):
    """The document as it is written."""
    return json.dumps(bom, indent=1, sort_keys=True) + "\n"


def commit_time():
    """SOURCE_DATE_EPOCH, or the time of the commit."""
    given = os.environ.get("SOURCE_DATE_EPOCH")
    return int(given or _run("git", "-C", ROOT, "log", "-1", "--format=%ct"))


def _linked(root, packages, nodes):
    """The packages that end up in the program, and the procedural macros that wrote parts of it."""
    found, waiting = set(), [root]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            # What a macro is made of stays in the compiler.
            waiting.extend(() if _is_macro(packages[name]) else _normal(nodes[name]))
    return found


def _normal(node):
    """Dependencies that are neither for the build nor for tests."""
    return {dep["pkg"] for dep in node["deps"] if any(kind["kind"] is None for kind in dep["dep_kinds"])}


def _crate(package, checksums):
    name, version = package["name"], package["version"]
    component = {
        "type": "library",
        "bom-ref": package["id"],
        "name": name,
        "version": version,
        "purl": f"pkg:cargo/{name}@{version}",
    }
    if package["license"]:
        component["licenses"] = [{"expression": package["license"].replace("/", " OR ")}]
    if checksum := checksums.get((name, version)):
        component["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    if _is_macro(package):
        component["scope"] = "excluded"
    return component


def _is_macro(package):
    """Procedural macros run in the compiler and are not delivered."""
    return any("proc-macro" in target["kind"] for target in package["targets"])


def _debian(package):
    name, version, architecture = package
    purl = f"pkg:deb/debian/{name}@{version.replace('+', '%2B')}?arch={architecture}"
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}


def _owner(path):
    """The package that owns a file; files moved by the merge of / and /usr are listed under their old name."""
    path = str(path)
    for spelling in (path, path.removeprefix("/usr"), f"/usr{path}"):
        found = subprocess.run(["dpkg-query", "-S", spelling], capture_output=True, text=True, check=False)
        if found.returncode == 0:
            package = found.stdout.split(": ")[0].split(",")[0]
            shown = _run("dpkg-query", "-W", "-f", "${Package} ${Version} ${Architecture}", package)
            return tuple(shown.split())
    raise SystemExit(f"{path} belongs to no Debian package, so the bill of materials could not name its version")


def _checksums():
    lock = tomllib.loads((ROOT / "Cargo.lock").read_text(encoding="utf-8"))
    return {(crate["name"], crate["version"]): crate.get("checksum") for crate in lock["package"]}


def _cargo_metadata():
    host = next(line for line in _run("rustc", "-vV").splitlines() if line.startswith("host: ")).split()[1]
    written = _run("cargo", "metadata", "--format-version", "1", "--locked", "--filter-platform", host)
    # Cargo names our own crates by the folder they lie in, which differs from machine to machine.
    for package in json.loads(written)["packages"]:
        if not package["source"]:
            ours = f"causeway#{package['name']}@{package['version']}"
            written = written.replace(json.dumps(package["id"]), json.dumps(ours))
    return json.loads(written)


def _run(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout


if __name__ == "__main__":
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    print(text(document(sys.argv[1], sys.argv[2:])), end="")
