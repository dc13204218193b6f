"""A cluster small enough for one machine: pods of the rendered objects, each with its network, volumes, variables and user.

What of Kubernetes matters to the programs is made as it makes it: volumes whose files are symbolic links behind `..data`,
variables in the order of the list, a read-only root, names of Services, probes that ask from the node. Not here: scheduling,
load balancing, policies.
"""

import itertools
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

import agreement
from authorities import Authorities
from names import Names

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[2]
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
BINARIES = TARGET / os.environ.get("CAUSEWAY_PROFILE", "debug")
STATE = TARGET / "kube-check"

#: The node; the pods are behind it. A network for tests between hosts (RFC 2544).
NODE = "198.18.0.1"
#: What the C library needs of the machine.
LIBRARIES = [("/usr/lib", "/lib"), ("/usr/lib64", "/lib64")]


class Cluster:
    """The pods of one overlay."""

    def __init__(self, rendered, names):
        self.rendered, self.names, self.authorities = rendered, names, Authorities()
        self.state = STATE / rendered.overlay.replace("/", "-")
        shutil.rmtree(self.state, ignore_errors=True)
        self.state.mkdir(parents=True)
        self.pods, self.addresses = {}, itertools.count(11)
        self.secrets = {}
        for certificate in rendered.of_kind("Certificate"):
            if not certificate["spec"].get("isCA"):
                self.renew(certificate)
        # What the book tells operators to make by hand.
        authority = (self.authorities.of("", "databases") / "crt").read_text()
        for workload in rendered.workloads():
            self.secrets[workload.namespace, "postgres"] = {"password": "not-a-secret", "ca.crt": authority}

    def renew(self, certificate):
        """Makes the Secret of a Certificate anew."""
        key = certificate["metadata"]["namespace"], certificate["spec"]["secretName"]
        self.secrets[key] = self.authorities.secret(certificate)

    def host(self, name, issuer):
        """A folder with the certificate of a host outside of the cluster, from an authority that the cluster knows, too."""
        spec = {"dnsNames": [name], "usages": ["server auth", "client auth"], "issuerRef": {"kind": "ClusterIssuer", "name": issuer}}
        folder = self.state / name
        folder.mkdir()
        for file, text in self.authorities.secret({"metadata": {"namespace": ""}, "spec": spec}).items():
            (folder / file).write_text(text)
        return folder

    def pod(self, workload, ordinal):
        """A pod that does not run yet."""
        pod = Pod(self, workload, f"{workload.name}-{ordinal}", f"198.18.0.{next(self.addresses)}")
        self.pods[pod.namespace, pod.name] = pod
        self._name()
        return pod

    def _name(self):
        """The names of Services: headless ones have the addresses of their pods."""
        for service in self.rendered.of_kind("Service"):
            spec, metadata = service["spec"], service["metadata"]
            name = f"{metadata['name']}.{metadata['namespace']}.svc.cluster.local"
            met = [pod.address for pod in self.pods.values() if pod.is_met_by(service)]
            self.names.table[name] = met if spec.get("clusterIP") == "None" else [NODE]

    def config_map(self, namespace, name):
        if name == "link-trust":
            (other,) = {each["metadata"]["name"] for each in self.rendered.of_kind("Namespace")} - {namespace}
            return {"ca.crt": (self.authorities.of(other, "link-authority") / "crt").read_text()}
        return self.rendered.one("ConfigMap", name, namespace)["data"]

    def end(self):
        """Ends what still runs."""
        for pod in self.pods.values():
            pod.kill()
        shutil.rmtree(self.authorities.folder, ignore_errors=True)


class Pod:
    """One pod of ours."""

    def __init__(self, cluster, workload, name, address):
        self.cluster, self.workload, self.name, self.address = cluster, workload, name, address
        self.namespace = workload.namespace
        self.folder = cluster.state / f"{self.namespace}.{name}"
        self.log = self.folder / "log"
        self.process = None
        (self.folder / "volumes").mkdir(parents=True)
        self.group = workload.pod["securityContext"]["fsGroup"]
        self.write_volumes()

    def is_met_by(self, service):
        selector = dict(service["spec"]["selector"])
        if selector.pop("statefulset.kubernetes.io/pod-name", self.name) != self.name:
            return False
        is_here = service["metadata"]["namespace"] == self.namespace
        return is_here and all(self.workload.labels.get(key) == value for key, value in selector.items())

    # Volumes

    def write_volumes(self):
        """Writes what ConfigMaps and Secrets hold now, as the kubelet does after a change."""
        for name, volume in self.workload.volumes().items():
            folder = self.folder / "volumes" / name
            if "emptyDir" in volume or "claim" in volume:
                folder.mkdir(exist_ok=True)
                os.chown(folder, 0, self.group)
                folder.chmod(0o2775)
                continue
            sources, files = volume.get("projected", {}).get("sources", [volume]), {}
            for source in sources:
                files |= self._files(source)
            held = volume.get("secret") or volume.get("projected") or volume.get("configMap")
            _write_atomically(folder, files, held.get("defaultMode", 0o644), self.group)

    def _files(self, source):
        if "configMap" in source:
            held, content = source["configMap"], self.cluster.config_map(self.namespace, source["configMap"]["name"])
        else:
            held = source["secret"]
            content = self.cluster.secrets[self.namespace, held.get("name") or held.get("secretName")]
        if "items" in held:
            return {item["path"]: content[item["key"]] for item in held["items"]}
        return dict(content)

    def volume(self, name):
        """The folder of a volume, as the node sees it."""
        return self.folder / "volumes" / name

    # Life

    def start(self, *more):
        """Starts the program, with more arguments than the manifest has where that is asked."""
        container = self.workload.container
        root = self.folder / "root"
        shutil.rmtree(root, ignore_errors=True)
        program = pathlib.Path(container["command"][0])
        volumes = self.workload.volumes()
        mounts = [
            (str(self.volume(mount["name"])), mount["mountPath"], mount.get("readOnly", False))
            for mount in container["volumeMounts"]
            if mount["name"] in volumes
        ]
        binds = [*LIBRARIES, (str(BINARIES / program.name), str(program))]
        for source, target in [*binds, *(mount[:2] for mount in mounts)]:
            place = root / target.lstrip("/")
            if pathlib.Path(source).is_dir():
                place.mkdir(parents=True, exist_ok=True)
            else:
                place.parent.mkdir(parents=True, exist_ok=True)
                place.touch()
        _system_files(root / "etc", self.namespace, self.address, self.name)
        spec = {
            "root": str(root), "read_only": binds, "volumes": mounts, "address": self.address, "log": str(self.log),
            "user": self.workload.pod["securityContext"]["runAsUser"], "group": self.group,
            "command": [*container["command"], *container["args"], *more],
            "environment": agreement.environment(self.workload, self.name, self.address),
        }  # fmt: skip
        (self.folder / "spec.json").write_text(json.dumps(spec))
        self.process = subprocess.Popen(
            ["unshare", "--net", "--mount", "--propagation", "private", sys.executable, HERE / "pod.py",
             self.folder / "spec.json"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        if self.process.stdout.readline() != "here\n":
            raise SystemExit(f"{self.name} cannot be unshared from this machine's network: run this as root")
        outside = f"ve{self.address.rpartition('.')[2]}"
        # The other end of an earlier start goes with its namespace, in its own time.
        subprocess.run(["ip", "link", "delete", outside], capture_output=True, check=False)
        _ip("link", "add", outside, "type", "veth", "peer", "name", "eth0", "netns", str(self.process.pid))
        _ip("link", "set", outside, "master", "pods", "up")
        self.process.stdin.write("go\n")
        self.process.stdin.close()
        return self

    def check_config(self):
        """What `--check-config` says inside the pod, and how it ends."""
        self.start("--check-config")
        code = self.process.wait(timeout=30)
        return code, self.tail()

    def terminate(self):
        """SIGTERM, as after preStop; how it ended, or None if the rest of the grace period was not enough."""
        wait = self.workload.container["lifecycle"]["preStop"]["sleep"]["seconds"]
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout=self.workload.pod["terminationGracePeriodSeconds"] - wait)
        except subprocess.TimeoutExpired:
            return None

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def tail(self, lines=12):
        return "\n".join(self.log.read_text().splitlines()[-lines:]) if self.log.exists() else "it said nothing"

    # Questions

    def ask(self, path, port=9090):
        """Status and body of a question over HTTP; None where nobody answers."""
        try:
            with urllib.request.urlopen(f"http://{self.address}:{port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return None, ""

    def probe(self, kind):
        """What a probe of the manifest is answered."""
        asked = self.workload.container[kind]["httpGet"]
        return self.ask(asked["path"], self.workload.port(asked["port"]))

    def passes(self, kind, within):
        """Whether a probe succeeds within so many seconds; a program that has ended never will."""
        return eventually(lambda: self.probe(kind)[0] == 200, within, self.process)


def eventually(holds, within, process=None):
    """Asks again and again, up to so many seconds."""
    give_up = time.monotonic() + within
    while True:
        if holds():
            return True
        if time.monotonic() > give_up or (process and process.poll() is not None):
            return False
        time.sleep(0.1)


def node():
    """The node's side of the network, and its name server."""
    _ip("link", "set", "lo", "up")
    _ip("link", "add", "pods", "type", "bridge")
    _ip("addr", "add", f"{NODE}/24", "dev", "pods")
    _ip("link", "set", "pods", "up")
    return Names(NODE)


def _ip(*arguments):
    subprocess.run(["ip", *arguments], check=True)


def _system_files(etc, namespace, address, name):
    """What the kubelet and the image bring to /etc."""
    (etc / "ssl/certs").mkdir(parents=True)
    shutil.copy("/etc/ssl/certs/ca-certificates.crt", etc / "ssl/certs")
    (etc / "hosts").write_text(f"127.0.0.1 localhost\n{address} {name}\n")
    search = f"{namespace}.svc.cluster.local svc.cluster.local cluster.local"
    (etc / "resolv.conf").write_text(f"nameserver {NODE}\nsearch {search}\noptions ndots:5\n")


def _write_atomically(folder, files, mode, group):
    """Files as links into `..data`, which is a link to the folder that holds them: one rename changes all of them."""
    folder.mkdir(exist_ok=True)
    version = folder / f"..{time.time_ns()}"
    version.mkdir()
    for name, text in files.items():
        file = version / name
        file.write_text(text)
        os.chown(file, 0, group)
        file.chmod(mode)
    data, fresh = folder / "..data", folder / "..data_tmp"
    old = data.resolve() if data.is_symlink() else None
    fresh.symlink_to(version.name)
    fresh.rename(data)
    for name in files:
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")
    for link in folder.iterdir():
        if not link.name.startswith("..") and link.name not in files:
            link.unlink()
    if old:
        shutil.rmtree(old)
