"""What the objects of an overlay say of each other and of the programs: everything that can be read without running one.

Each check is a function of the rendered objects, named as a sentence, that yields what is wrong.
"""

import pathlib
import re
import tomllib

import flows
import network
import schemas
import yaml
from rendered import KUBERNETES, seconds_of, selects

ROOT = pathlib.Path(__file__).resolve().parents[3]
OURS = ("edge", "gateway")
USER = 64738
#: How many seconds of the grace period have to be left over.
IN_HAND = 5

CHECKS = []


def check(function):
    CHECKS.append(function)
    return function


@check
def every_object_has_the_form_that_its_kind_prescribes(rendered):
    for obj in rendered.objects:
        for mistake in schemas.mistakes(obj):
            yield f"{obj['kind']} {obj['metadata']['name']}: {mistake}"


@check
def every_object_of_a_namespace_is_in_one_that_is_declared(rendered):
    declared = {each["metadata"]["name"] for each in rendered.of_kind("Namespace")}
    for obj in rendered.objects:
        if obj["kind"] != "Namespace" and obj["metadata"].get("namespace") not in declared:
            yield f"{obj['kind']} {obj['metadata']['name']} is in {obj['metadata'].get('namespace')}"


@check
def namespaces_admit_only_restricted_pods(rendered):
    for namespace in rendered.of_kind("Namespace"):
        labels = namespace["metadata"].get("labels", {})
        if labels.get("pod-security.kubernetes.io/enforce") != "restricted":
            yield f"{namespace['metadata']['name']} enforces {labels.get('pod-security.kubernetes.io/enforce')}"


@check
def pods_are_restricted(rendered):
    """Pod Security Standards, Restricted; and more: no API token, a root that is read-only, a user of ours."""
    for workload in rendered.workloads():
        pod, container = workload.pod, workload.container
        of_pod, own = pod.get("securityContext", {}), container.get("securityContext", {})
        for what, holds in {
            "runAsNonRoot": of_pod.get("runAsNonRoot") is True,
            "runAsUser": of_pod.get("runAsUser", 0) > 0 and (workload.name not in OURS or of_pod["runAsUser"] == USER),
            "fsGroup": of_pod.get("fsGroup") == of_pod.get("runAsUser"),
            "seccompProfile": of_pod.get("seccompProfile", {}).get("type") == "RuntimeDefault",
            "allowPrivilegeEscalation": own.get("allowPrivilegeEscalation") is False,
            "readOnlyRootFilesystem": own.get("readOnlyRootFilesystem") is True,
            "capabilities": own.get("capabilities") == {"drop": ["ALL"]},
            "host namespaces": not any(pod.get(key) for key in ("hostNetwork", "hostPID", "hostIPC")),
            "one container": len(pod["containers"]) == 1 and not pod.get("initContainers"),
            "privileged ports": all(port["containerPort"] >= 1024 for port in container.get("ports", [])),
            "host ports": not any("hostPort" in port for port in container.get("ports", [])),
            "the API token": pod.get("automountServiceAccountToken") is False,
            "enableServiceLinks": pod.get("enableServiceLinks") is False,
        }.items():
            if not holds:
                yield f"{workload}: {what}"
        allowed = {"configMap", "secret", "projected", "emptyDir", "claim", "name"}
        for name, volume in workload.volumes().items():
            if unknown := set(volume) - allowed:
                yield f"{workload}: volume {name} is {unknown}"


@check
def service_accounts_are_there_and_have_no_token(rendered):
    for workload in rendered.workloads():
        account = rendered.one("ServiceAccount", workload.pod.get("serviceAccountName"), workload.namespace)
        if account is None:
            yield f"{workload}: {workload.pod.get('serviceAccountName')} is no ServiceAccount"
        elif account.get("automountServiceAccountToken") is not False:
            yield f"ServiceAccount {account['metadata']['name']} gives a token"


@check
def images_are_named_by_digest(rendered):
    for workload in rendered.workloads():
        if not re.fullmatch(r"[^:@]+(:[0-9]+/[^:@]+)?@sha256:[0-9a-f]{64}", workload.container["image"]):
            yield f"{workload}: {workload.container['image']}"


@check
def selectors_meet_the_pods_that_are_meant(rendered):
    for workload in rendered.workloads():
        if not selects(workload.obj["spec"]["selector"], workload.labels):
            yield f"{workload} does not select its own pods"
    for service in rendered.of_kind("Service"):
        met = _met(rendered, service)
        if len(met) != 1:
            yield f"Service {service['metadata']['name']} meets {len(met)} workloads"
    for policy in rendered.of_kind("NetworkPolicy"):
        selector = policy["spec"]["podSelector"]
        if selector and not _workloads(rendered, policy["metadata"]["namespace"], selector):
            yield f"NetworkPolicy {policy['metadata']['name']} is about no pod"
    for kind in ("PodMonitor", "PodDisruptionBudget"):
        for obj in rendered.of_kind(kind):
            if not _workloads(rendered, obj["metadata"]["namespace"], obj["spec"]["selector"]):
                yield f"{kind} {obj['metadata']['name']} is about no pod"
    for workload in rendered.workloads():
        terms = [
            term
            for kind in ("requiredDuringSchedulingIgnoredDuringExecution",)
            for term in workload.pod.get("affinity", {}).get("podAntiAffinity", {}).get(kind, [])
        ] + workload.pod.get("topologySpreadConstraints", [])
        for term in terms:
            if not selects(term["labelSelector"], workload.labels):
                yield f"{workload} keeps away from others than its own"


@check
def ports_that_are_named_are_there(rendered):
    for service in rendered.of_kind("Service"):
        for port in service["spec"]["ports"]:
            for workload in _met(rendered, service):
                if workload.port(port["targetPort"]) is None:
                    yield f"Service {service['metadata']['name']}: {workload} has no port {port['targetPort']}"
    for workload in rendered.workloads():
        for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
            asked = workload.container.get(kind, {}).get("httpGet")
            if asked and workload.port(asked["port"]) is None:
                yield f"{workload}: {kind} asks port {asked['port']}"
        if workload.name in OURS and not all(
            workload.container.get(kind) for kind in ("startupProbe", "livenessProbe", "readinessProbe")
        ):
            yield f"{workload} lacks a probe"
    for monitor in rendered.of_kind("PodMonitor"):
        for workload in _workloads(rendered, monitor["metadata"]["namespace"], monitor["spec"]["selector"]):
            for endpoint in monitor["spec"]["podMetricsEndpoints"]:
                if workload.port(endpoint["port"]) is None:
                    yield f"PodMonitor {monitor['metadata']['name']}: {workload} has no port {endpoint['port']}"


@check
def ports_are_those_that_the_configuration_listens_on(rendered):
    for workload in _ours(rendered):
        listening = set()
        for place in _listens(configuration(rendered, workload), workload):
            host, _, port = place.rpartition(":")
            if host not in ("127.0.0.1", "[::1]"):
                listening.add(int(port))
        declared = {port["containerPort"] for port in workload.container["ports"]}
        if listening != declared:
            yield f"{workload} listens on {sorted(listening)} and says {sorted(declared)}"


@check
def files_that_the_configuration_names_are_mounted(rendered):
    for workload in _ours(rendered):
        provided = mounted_files(rendered, workload)
        for path in _paths(configuration(rendered, workload)):
            folders = {mount["mountPath"] for mount in workload.container["volumeMounts"]}
            is_writable = any(path.startswith(f"{folder}/") for folder in folders & {"/run/causeway", "/var/lib/causeway"})
            if path not in provided and path not in folders and not is_writable and not path.startswith("/etc/ssl/"):
                yield f"{workload}: {path} is nowhere"
        argument = workload.container["args"][-1]
        if argument not in provided:
            yield f"{workload}: its configuration {argument} is nowhere"


@check
def what_is_mounted_can_change_under_the_running_program(rendered):
    """A mount with subPath is never renewed, and nothing may be mounted inside a mount that is read-only."""
    for workload in rendered.workloads():
        mounts = workload.container.get("volumeMounts", [])
        for mount in mounts:
            if "subPath" in mount:
                yield f"{workload}: {mount['mountPath']} has a subPath"
            if mount["name"] not in workload.volumes():
                yield f"{workload}: there is no volume {mount['name']}"
            inside = [each["mountPath"] for each in mounts if each["mountPath"].startswith(mount["mountPath"] + "/")]
            if mount.get("readOnly") and inside:
                yield f"{workload}: {inside} cannot be mounted inside {mount['mountPath']}"


@check
def config_maps_that_are_mounted_are_rendered(rendered):
    for workload in rendered.workloads():
        for source in _sources(workload):
            name = source.get("configMap", {}).get("name")
            # The other cluster's authority is put there by hand.
            if name and name != "link-trust" and rendered.one("ConfigMap", name, workload.namespace) is None:
                yield f"{workload}: there is no ConfigMap {name}"


@check
def secrets_come_from_a_certificate_or_are_said_to_be_made_by_hand(rendered):
    made = {(each["metadata"]["namespace"], each["spec"]["secretName"]) for each in rendered.of_kind("Certificate")}
    for workload in rendered.workloads():
        for source in _sources(workload):
            name = source.get("secret", {}).get("name") or source.get("secret", {}).get("secretName")
            if name and (workload.namespace, name) not in made and name not in BY_HAND:
                yield f"{workload}: nobody makes the Secret {name}"
    issuers = {(each["metadata"]["namespace"], each["metadata"]["name"]) for each in rendered.of_kind("Issuer")}
    for each in rendered.of_kind("Certificate"):
        issuer = each["spec"]["issuerRef"]
        if issuer["kind"] == "Issuer" and (each["metadata"]["namespace"], issuer["name"]) not in issuers:
            yield f"Certificate {each['metadata']['name']}: there is no Issuer {issuer['name']}"


#: Secrets that the book tells the operator to make.
BY_HAND = {"postgres"}


@check
def keys_are_for_the_group_of_the_pod_alone(rendered):
    for workload in rendered.workloads():
        for name, volume in workload.volumes().items():
            holds_secrets = "secret" in volume or any("secret" in each for each in volume.get("projected", {}).get("sources", []))
            mode = (volume.get("secret") or volume.get("projected") or {}).get("defaultMode", 0o644)
            if holds_secrets and mode != 0o440:
                yield f"{workload}: volume {name} has mode {mode:o}"


@check
def variables_that_others_are_made_of_come_first(rendered):
    """Kubernetes expands `$(NAME)` from what stands before it, and leaves it as it is otherwise."""
    for workload in rendered.workloads():
        known = []
        for each in workload.container.get("env", []):
            if each["name"] in known:
                yield f"{workload}: {each['name']} is there twice"
            for name in re.findall(r"\$\(([A-Z0-9_]+)\)", each.get("value", "")):
                if name not in known:
                    yield f"{workload}: {each['name']} is made of {name}, which is not there yet"
            known.append(each["name"])


@check
def the_grace_period_is_longer_than_everything_that_ends_in_it(rendered):
    edge = (ROOT / "edge-proxy/src/run.rs").read_text()
    gateway = (ROOT / "gateway/src/run.rs").read_text()
    for workload in _ours(rendered):
        drain = configuration(rendered, workload).get("drain_secs", 10)
        wait = workload.container["lifecycle"]["preStop"]["sleep"]["seconds"]
        if workload.name == "edge":
            # Streams end; then senders get their errors; then the link and the HTTP server may take as long as a drain.
            needed = wait + 2 * drain + seconds_of(edge, "ANSWERS")
        else:
            needed = wait + drain + seconds_of(gateway, "LINK_PATIENCE") + seconds_of(gateway, "ARCHIVE_PATIENCE")
        grace = workload.pod.get("terminationGracePeriodSeconds", 30)
        if grace < needed + IN_HAND:
            yield f"{workload}: {grace} s for what takes {needed} s"


@check
def a_node_can_be_emptied(rendered):
    for budget in rendered.of_kind("PodDisruptionBudget"):
        for workload in _workloads(rendered, budget["metadata"]["namespace"], budget["spec"]["selector"]):
            most = budget["spec"].get("maxUnavailable")
            if not isinstance(most, int) or not 1 <= most < workload.replicas:
                yield f"{workload}: of {workload.replicas} pods, {most} may go"
    for workload in _ours(rendered):
        has_budget = any(
            workload.name == found.name and workload.namespace == found.namespace
            for budget in rendered.of_kind("PodDisruptionBudget")
            for found in _workloads(rendered, budget["metadata"]["namespace"], budget["spec"]["selector"])
        )
        if workload.replicas > 1 and not has_budget:
            yield f"{workload}: all {workload.replicas} pods may go at once"


@check
def the_link_lists_pods_that_are_not_ready(rendered):
    """An edge becomes ready when a gateway attaches, and gateways find edges by this name: without it nobody ever would."""
    for service in rendered.of_kind("Service"):
        if service["metadata"]["name"] == "edge-link":
            spec = service["spec"]
            if spec.get("clusterIP") != "None" or spec.get("publishNotReadyAddresses") is not True:
                yield "edge-link is no headless Service that lists every edge"


@check
def gateways_dial_the_name_that_edges_have(rendered):
    link = [each for each in rendered.of_kind("Service") if each["metadata"]["name"] == "edge-link"]
    names = {f"edge-link.{each['metadata']['namespace']}.svc:{each['spec']['ports'][0]['port']}" for each in link}
    for workload in _ours(rendered):
        if workload.name == "gateway" and link:
            dialled = set(configuration(rendered, workload)["link"]["edges"])
            if dialled != names:
                yield f"gateways dial {dialled}, and edges are {names}"


@check
def both_ends_of_the_link_expect_the_name_in_the_others_certificate(rendered):
    names = {each["spec"]["secretName"]: each["spec"].get("dnsNames") for each in rendered.of_kind("Certificate")}
    for workload in _ours(rendered):
        other, key = ("link-gateway", "allowed_gateways") if workload.name == "edge" else ("link-edge", "allowed_edges")
        allowed = configuration(rendered, workload)["link"][key]
        if other in names and names[other] != allowed:
            yield f"{workload} expects {allowed}, and {other} bears {names[other]}"


@check
def partners_addresses_are_kept(rendered):
    for service in rendered.of_kind("Service"):
        if service["metadata"]["name"] != "edge-xmpp":
            continue
        (edge,) = _met(rendered, service)
        is_local = service["spec"].get("externalTrafficPolicy") == "Local"
        if is_proxied(rendered, edge) == is_local:
            yield "edge-xmpp: either externalTrafficPolicy Local or the PROXY protocol, and one of them alone"
        if 5269 not in {port["port"] for port in service["spec"]["ports"]}:
            yield "edge-xmpp: partners come to 5269"


@check
def who_may_talk_to_whom_is_what_the_table_says(rendered):
    policies = rendered.of_kind("NetworkPolicy")
    table, ends = list(flows.FLOWS), _ends(rendered)
    has_panel = any(workload.port("panel") for workload in rendered.workloads())
    if "postgres" in ends:
        table += flows.WITH_POSTGRES
    elif any(policy["metadata"]["name"] == "gateway-postgres" for policy in policies):
        table += flows.WITH_DATABASE
    if has_panel:
        table += flows.WITH_PANEL
    if any(is_proxied(rendered, workload) for workload in _ours(rendered)):
        table = [flow for flow in table if flow not in flows.WITHOUT_PROXY] + flows.WITH_PROXY
    asked = 0
    for source, destination, port, protocol, expected in table:
        if source not in ends or destination not in ends:
            continue
        asked += 1
        if network.allows(policies, ends[source], ends[destination], port, protocol) != expected:
            yield f"{source} -> {destination} {port}/{protocol} is {'closed' if expected else 'open'}"
    if asked < 12:
        yield f"only {asked} flows of the table are about these objects"


@check
def what_pods_scale_by_has_bounds_that_fit(rendered):
    for scaler in rendered.of_kind("HorizontalPodAutoscaler"):
        spec, name = scaler["spec"], scaler["metadata"]["name"]
        target = rendered.one(spec["scaleTargetRef"]["kind"], spec["scaleTargetRef"]["name"], scaler["metadata"]["namespace"])
        if target is None:
            yield f"HorizontalPodAutoscaler {name} scales nothing"
        elif "replicas" in target["spec"]:
            yield f"HorizontalPodAutoscaler {name}: each apply would set the replicas of {spec['scaleTargetRef']['name']} back"
        for metric in spec["metrics"]:
            asked = metric.get("pods", {}).get("metric", {}).get("name")
            if asked not in scaling_series():
                yield f"HorizontalPodAutoscaler {name}: prometheus-adapter has no rule for {asked}"
        for budget in rendered.of_kind("PodDisruptionBudget"):
            if budget["metadata"]["name"] == name and spec["minReplicas"] <= budget["spec"]["maxUnavailable"]:
                yield f"HorizontalPodAutoscaler {name}: at its least, all pods may go at once"


def scaling_series():
    """What autoscalers can ask for: each metric with the series of ours that prometheus-adapter makes it of."""
    rules = yaml.safe_load((KUBERNETES / "components/autoscaling/prometheus-adapter-rules.yaml").read_text())
    return {rule["name"]["as"]: rule["seriesQuery"].partition("{")[0] for rule in rules["rules"]["custom"]}


# How objects are found, and what a configuration says.


def configuration_of(pod):
    """What the program of a pod is configured as."""
    return configuration(pod.cluster.rendered, pod.workload, pod.name, pod.address)


def configuration(rendered, workload, pod="some-pod", address="192.0.2.77"):
    """The configuration of one of our programs: its file with the variables of the pod over it, as Kubernetes gives them."""
    name = {"edge": "edge-config", "gateway": "gateway-config"}[workload.name]
    (text,) = rendered.one("ConfigMap", name, workload.namespace)["data"].values()
    document = tomllib.loads(text)
    for variable, value in environment(workload, pod, address).items():
        prefix, *keys = variable.split("__")
        if prefix not in ("CAUSEWAY_EDGE", "CAUSEWAY_GATEWAY"):
            continue
        table = document
        for key in keys[:-1]:
            table = table.setdefault(key.lower(), {})
        try:
            table[keys[-1].lower()] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            table[keys[-1].lower()] = value
    return document


def is_proxied(rendered, workload):
    """Whether a load balancer says who connects (the PROXY protocol)."""
    return bool(configuration(rendered, workload).get("listen", {}).get("proxy_protocol"))


def environment(workload, pod, address):
    """The variables of a pod, with those expanded that stand before the one that names them."""
    known = {}
    for each in workload.container.get("env", []):
        field = each.get("valueFrom", {}).get("fieldRef", {}).get("fieldPath")
        if field:
            value = {"metadata.name": pod, "status.podIP": address}[field]
        else:
            value = re.sub(r"\$\(([A-Z0-9_]+)\)", lambda name: known.get(name[1], name[0]), each["value"])
        known[each["name"]] = value
    return known


def mounted_files(rendered, workload):
    """Every file that mounts of ConfigMaps and Secrets bring, as the program sees its path."""
    found = set()
    volumes = workload.volumes()
    for mount in workload.container.get("volumeMounts", []):
        volume = volumes.get(mount["name"], {})
        for source in volume.get("projected", {}).get("sources", [volume]):
            for path in _files_of(rendered, workload, source):
                found.add(f"{mount['mountPath']}/{path}")
    return found


def _files_of(rendered, workload, source):
    held = source.get("configMap") or source.get("secret") or {}
    if "items" in held:
        return [item["path"] for item in held["items"]]
    if "configMap" in source:
        return list((rendered.one("ConfigMap", held["name"], workload.namespace) or {"data": {}})["data"])
    # What cert-manager writes.
    return ["tls.crt", "tls.key", "ca.crt"] if "secret" in source else []


def _sources(workload):
    return [
        source
        for volume in workload.volumes().values()
        for source in volume.get("projected", {}).get("sources", [volume])
    ]


def _ours(rendered):
    return [workload for workload in rendered.workloads() if workload.name in OURS]


def _workloads(rendered, namespace, selector):
    return [
        workload
        for workload in rendered.workloads()
        if workload.namespace == namespace and selects(selector, workload.labels)
    ]


def _met(rendered, service):
    """The workloads that a Service leads to; one for a single replica names the pod, which the StatefulSet makes."""
    selector = dict(service["spec"]["selector"])
    if pod := selector.pop("statefulset.kubernetes.io/pod-name", None):
        name, _, ordinal = pod.rpartition("-")
        found = [each for each in rendered.workloads() if each.kind == "StatefulSet" and each.name == name]
        found = [each for each in found if int(ordinal) < each.replicas]
    else:
        found = rendered.workloads()
    same = [each for each in found if each.namespace == service["metadata"]["namespace"]]
    return [each for each in same if selects({"matchLabels": selector}, each.labels)]


def _ends(rendered):
    ends = {name: network.Host(name, address) for name, address in flows.HOSTS.items()}
    for name, (namespace, labels) in flows.OTHERS.items():
        ends[name] = network.Pod(name, namespace, labels, rendered.namespace_labels(namespace))
    for workload in rendered.workloads():
        labels = rendered.namespace_labels(workload.namespace)
        ends[workload.name] = network.Pod(workload.name, workload.namespace, workload.labels, labels)
    return ends


def _listens(document, workload):
    yield document["admin"]["listen"]
    if workload.name == "edge":
        yield from document["listen"]["s2s"]
        yield document["link"]["listen"]
    else:
        for transport in ("tls", "tcp", "udp", "msrp_tls", "msrp_tcp"):
            yield from document["sip"].get(transport, [])
        yield document["panel"]["listen"]


def _paths(value):
    """Every text of a configuration that is the path of a file."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from _paths(each)
    elif isinstance(value, str) and value.startswith("/"):
        yield value
