"""Manifests with one mistake each: the check that is there for it has to find it."""

import copy

import agreement
from rendered import Rendered


def _edge(rendered):
    return rendered.one("Deployment", "edge")["spec"]["template"]["spec"]


def _gateway(rendered):
    return rendered.one("StatefulSet", "gateway")["spec"]["template"]["spec"]


def _key(obj, *path, value):
    *way, last = path
    for step in way:
        obj = obj[step]
    obj[last] = value


def _sub(rendered, config_map, old, new):
    data = rendered.one("ConfigMap", config_map)["data"]
    for name, text in data.items():
        if old not in text:
            raise SystemExit(f"{config_map} has no {old!r} any more: bring mutations.py up to date")
        data[name] = text.replace(old, new)


#: The check, what is wrong, and how it is done to the objects of the pool.
MUTATIONS = [
    ("every_object_has_the_form_that_its_kind_prescribes", "a key that Kubernetes does not know",
     lambda r: _key(_edge(r), "graceSeconds", value=1)),
    ("every_object_has_the_form_that_its_kind_prescribes", "a key that cert-manager does not know",
     lambda r: _key(r.one("Certificate", "sip"), "spec", "secret", value="sip")),
    ("every_object_of_a_namespace_is_in_one_that_is_declared", "an object elsewhere",
     lambda r: _key(r.one("Service", "edge-link"), "metadata", "namespace", value="default")),
    ("namespaces_admit_only_restricted_pods", "a namespace that admits more",
     lambda r: _key(r.one("Namespace", "causeway"), "metadata", "labels", value={})),
    ("pods_are_restricted", "a root that can be written",
     lambda r: _key(_gateway(r), "containers", 0, "securityContext", "readOnlyRootFilesystem", value=False)),
    ("pods_are_restricted", "a folder of the node",
     lambda r: _gateway(r)["volumes"].append({"name": "node", "hostPath": {"path": "/"}})),
    ("service_accounts_are_there_and_have_no_token", "an account with a token",
     lambda r: _key(r.one("ServiceAccount", "edge"), "automountServiceAccountToken", value=True)),
    ("images_are_named_by_digest", "an image by a tag",
     lambda r: _key(_edge(r), "containers", 0, "image", value="registry.contoso.example/causeway/edge-proxy:latest")),
    ("selectors_meet_the_pods_that_are_meant", "a Service of no pod",
     lambda r: _key(r.one("Service", "gateway-sip"), "spec", "selector", value={"app.kubernetes.io/name": "gatewy"})),
    ("ports_that_are_named_are_there", "a probe of no port",
     lambda r: _key(_edge(r), "containers", 0, "readinessProbe", "httpGet", "port", value="health")),
    ("ports_are_those_that_the_configuration_listens_on", "another port in the configuration",
     lambda r: _sub(r, "gateway-config", "[::]:5061", "[::]:5062")),
    ("files_that_the_configuration_names_are_mounted", "a file that is nowhere",
     lambda r: _sub(r, "edge-config", "/etc/causeway/domains/tls.key", "/etc/causeway/domains/key.pem")),
    ("what_is_mounted_can_change_under_the_running_program", "a subPath",
     lambda r: _key(_edge(r), "containers", 0, "volumeMounts", 0, "subPath", value="edge-proxy.toml")),
    ("config_maps_that_are_mounted_are_rendered", "a ConfigMap with a hash in its name",
     lambda r: _key(r.one("ConfigMap", "partners"), "metadata", "name", value="partners-7f9k2m")),
    ("secrets_come_from_a_certificate_or_are_said_to_be_made_by_hand", "a Secret that nobody makes",
     lambda r: _key(r.one("Certificate", "domains"), "spec", "secretName", value="domain")),
    ("keys_are_for_the_group_of_the_pod_alone", "a key for everybody",
     lambda r: [volume["secret"].pop("defaultMode") for volume in _gateway(r)["volumes"] if "secret" in volume]),
    ("variables_that_others_are_made_of_come_first", "a variable before what it is made of",
     lambda r: _gateway(r)["containers"][0]["env"].reverse()),
    ("the_grace_period_is_longer_than_everything_that_ends_in_it", "a drain that is cut short",
     lambda r: _key(_edge(r), "terminationGracePeriodSeconds", value=75)),
    ("a_node_can_be_emptied", "a budget that lets nobody go",
     lambda r: _key(r.one("PodDisruptionBudget", "edge"), "spec", value={
         "minAvailable": 2, "selector": r.one("PodDisruptionBudget", "edge")["spec"]["selector"]})),
    ("the_link_lists_pods_that_are_not_ready", "a link of ready pods only",
     lambda r: r.one("Service", "edge-link")["spec"].pop("publishNotReadyAddresses")),
    ("gateways_dial_the_name_that_edges_have", "another name of the edges",
     lambda r: _sub(r, "gateway-config", "edge-link.causeway.svc", "edges.causeway.svc")),
    ("both_ends_of_the_link_expect_the_name_in_the_others_certificate", "another name in a certificate",
     lambda r: _key(r.one("Certificate", "link-gateway"), "spec", "dnsNames", value=["gateway-0"])),
    ("partners_addresses_are_kept", "addresses of nodes instead of partners",
     lambda r: _key(r.one("Service", "edge-xmpp"), "spec", "externalTrafficPolicy", value="Cluster")),
    ("who_may_talk_to_whom_is_what_the_table_says", "no denial by default, and an edge that asks for metrics",
     lambda r: (r.objects.remove(r.one("NetworkPolicy", "default-deny")),
                r.objects.remove(r.one("NetworkPolicy", "gateway-metrics")))),
    ("who_may_talk_to_whom_is_what_the_table_says", "an edge that may connect inwards",
     lambda r: r.one("NetworkPolicy", "edge-partners")["spec"]["egress"][0]["to"][0]["ipBlock"].pop("except")),
    ("what_pods_scale_by_has_bounds_that_fit", "replicas that each apply sets back",
     lambda r: _key(r.one("StatefulSet", "gateway"), "spec", "replicas", value=3)),
    ("what_pods_scale_by_has_bounds_that_fit", "a metric that nobody serves",
     lambda r: _key(r.one("HorizontalPodAutoscaler", "edge"), "spec", "metrics", 0, "pods", "metric", "name", value="connections")),
]  # fmt: skip


def run(everything):
    """Makes each mistake in the pool's objects, and yields what was not found."""
    (pool,) = [rendered for rendered in everything if rendered.overlay == "overlays/pool"]
    checks = {check.__name__: check for check in agreement.CHECKS}
    for name, what, spoil in MUTATIONS:
        spoiled = Rendered(pool.overlay, copy.deepcopy(pool.objects))
        spoil(spoiled)
        found = list(checks[name](spoiled))
        yield f"{what} ({name.replace('_', ' ')})", [] if found else ["nobody noticed"]
    covered = {name for name, _, _ in MUTATIONS}
    yield "each check has one", sorted(set(checks) - covered)
