"""Strict validation: every object against the schemas of Kubernetes, or against ours where it is a custom resource.

kubernetes-validate holds the schemas of Kubernetes alone. For the few custom resources in use there are closed schemas here,
of the keys that we write, after the documentation of cert-manager 1.x and of the Prometheus operator.
"""

import jsonschema
import kubernetes_validate

#: What the manifests are written for.
VERSION = "1.37"

TEXT, FLAG, TEXTS = {"type": "string"}, {"type": "boolean"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}


def closed(required, **properties):
    """An object with these keys and no others."""
    return {"type": "object", "additionalProperties": False, "required": required, "properties": properties}


SELECTOR = closed(
    [],
    matchLabels={"type": "object", "additionalProperties": TEXT},
    matchExpressions={
        "type": "array",
        "items": closed(["key", "operator", "values"], key=TEXT, operator={"enum": ["In", "NotIn"]}, values=TEXTS),
    },
)
DURATION = {"type": "string", "pattern": r"^(\d+h)?(\d+m)?(\d+s)?$", "minLength": 2}
USAGES = ["digital signature", "key encipherment", "server auth", "client auth", "cert sign"]

CUSTOM = {
    ("cert-manager.io/v1", "Issuer"): closed([], selfSigned=closed([]), ca=closed(["secretName"], secretName=TEXT)),
    ("cert-manager.io/v1", "Certificate"): closed(
        ["secretName", "issuerRef"],
        secretName=TEXT, isCA=FLAG, commonName={"type": "string", "maxLength": 64}, dnsNames=TEXTS,
        usages={"type": "array", "items": {"enum": USAGES}}, duration=DURATION, renewBefore=DURATION,
        privateKey=closed(
            ["algorithm"],
            algorithm={"enum": ["RSA", "ECDSA", "Ed25519"]}, size={"enum": [256, 384, 521, 2048, 3072, 4096]},
            rotationPolicy={"enum": ["Never", "Always"]},
        ),
        issuerRef=closed(
            ["name"], name=TEXT, kind={"enum": ["Issuer", "ClusterIssuer"]}, group={"const": "cert-manager.io"}
        ),
    ),
    ("monitoring.coreos.com/v1", "PodMonitor"): closed(
        ["selector", "podMetricsEndpoints"],
        selector=SELECTOR,
        podMetricsEndpoints={
            "type": "array", "minItems": 1,
            "items": closed(
                ["port"],
                port=TEXT, path=TEXT, interval=DURATION, scheme={"enum": ["http"]},
                relabelings={
                    "type": "array", "minItems": 1,
                    "items": closed(
                        ["sourceLabels", "targetLabel"], sourceLabels=TEXTS, targetLabel=TEXT, replacement=TEXT
                    ),
                },
            ),
        },
    ),
}  # fmt: skip


def mistakes(obj):
    """What is wrong with an object, as texts."""
    key = (obj["apiVersion"], obj["kind"])
    try:
        if key in CUSTOM:
            jsonschema.validate(obj["spec"], CUSTOM[key])
        else:
            kubernetes_validate.validate(obj, VERSION, strict=True)
    except (jsonschema.ValidationError, kubernetes_validate.ValidationError) as error:
        place = "/".join(str(part) for part in getattr(error, "path", []))
        return [f"{place}: {getattr(error, 'message', error)}"]
    except kubernetes_validate.SchemaNotFoundError as error:
        return [str(error)]
    return []
