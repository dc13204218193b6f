"""What `kubectl kustomize` makes of an overlay, and how to find things in it."""

import pathlib
import re
import subprocess
import sys

import yaml

KUBERNETES = pathlib.Path(__file__).resolve().parents[1]
#: The kubectl of the same virtual environment: its kustomize is the one these files are written for.
KUBECTL = pathlib.Path(sys.executable).parent / "kubectl"

#: Kinds that make pods.
WORKLOADS = ("Deployment", "StatefulSet")


class Rendered:
    """The objects of one overlay."""

    def __init__(self, overlay, objects):
        self.overlay, self.objects = overlay, objects

    @classmethod
    def of(cls, overlay):
        """Renders an overlay, which may be a list of them: clusters that are looked at together."""
        objects = []
        for name in [overlay] if isinstance(overlay, str) else overlay:
            made = subprocess.run(
                [KUBECTL, "kustomize", KUBERNETES / name], capture_output=True, text=True, check=False
            )
            if made.returncode:
                raise SystemExit(f"kubectl kustomize {name}: {made.stderr.strip()}")
            objects += [each for each in yaml.safe_load_all(made.stdout) if each]
        return cls(overlay if isinstance(overlay, str) else "+".join(overlay), objects)

    def of_kind(self, *kinds):
        return [each for each in self.objects if each["kind"] in kinds]

    def one(self, kind, name, namespace=None):
        """The object of this kind and name."""
        for each in self.of_kind(kind):
            metadata = each["metadata"]
            if metadata["name"] == name and namespace in (None, metadata.get("namespace")):
                return each
        return None

    def workloads(self):
        return [Workload(each, self._least(each)) for each in self.of_kind(*WORKLOADS)]

    def _least(self, obj):
        """How many pods there are at least: an autoscaler may say it in the object's place."""
        for scaler in self.of_kind("HorizontalPodAutoscaler"):
            target = scaler["spec"]["scaleTargetRef"]
            if (target["kind"], target["name"]) == (obj["kind"], obj["metadata"]["name"]):
                return scaler["spec"]["minReplicas"]
        return obj["spec"].get("replicas", 1)

    def namespace_labels(self, name):
        """The labels of a namespace; the API server adds its name to every one."""
        found = self.one("Namespace", name)
        return {"kubernetes.io/metadata.name": name, **((found or {}).get("metadata", {}).get("labels") or {})}


class Workload:
    """What makes pods, and the pods it makes."""

    def __init__(self, obj, replicas):
        self.obj, self.replicas = obj, replicas
        self.kind, self.name = obj["kind"], obj["metadata"]["name"]
        self.namespace = obj["metadata"].get("namespace")
        self.template = obj["spec"]["template"]
        self.labels = self.template["metadata"]["labels"]
        self.pod = self.template["spec"]

    def __str__(self):
        return f"{self.kind} {self.namespace}/{self.name}"

    @property
    def container(self):
        """Our pods have one container each."""
        return self.pod["containers"][0]

    def volumes(self):
        """The volumes by name, those of a StatefulSet's claims included."""
        volumes = {volume["name"]: volume for volume in self.pod.get("volumes", [])}
        for claim in self.obj["spec"].get("volumeClaimTemplates", []):
            volumes[claim["metadata"]["name"]] = {"claim": claim["spec"]}
        return volumes

    def port(self, name_or_number):
        """The number of a port of the container; None if there is no such port."""
        for port in self.container.get("ports", []):
            if name_or_number in (port.get("name"), port["containerPort"]):
                return port["containerPort"]
        return None


def selects(selector, labels):
    """Whether a LabelSelector takes an object with these labels (the parts of it that we use)."""
    unknown = set(selector) - {"matchLabels", "matchExpressions"}
    if unknown:
        raise ValueError(f"a selector with {unknown}")
    for each in selector.get("matchExpressions", []):
        has = labels.get(each["key"]) in each.get("values", [])
        if each["operator"] not in ("In", "NotIn"):
            raise ValueError(f"a selector with {each['operator']}")
        if has != (each["operator"] == "In"):
            return False
    return all(labels.get(key) == value for key, value in (selector.get("matchLabels") or {}).items())


def seconds_of(source, name):
    """A constant `const NAME: Duration = Duration::from_secs(N)` of a program."""
    found = re.search(rf"const {name}: Duration = Duration::from_secs\((\d+)\)", source)
    if not found:
        raise SystemExit(f"there is no {name} any more: say in agreement.py how long a drain takes")
    return int(found[1])
