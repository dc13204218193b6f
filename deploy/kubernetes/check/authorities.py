"""What cert-manager does: certificates for the Certificate objects, signed by authorities for their issuers."""

import pathlib
import subprocess
import tempfile


class Authorities:
    """One authority for each issuer that is named, made when it is needed."""

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="causeway-kube-"))
        self.made = {}

    def secret(self, certificate):
        """The content of the Secret for a Certificate; a new one at each call."""
        spec, namespace = certificate["spec"], certificate["metadata"]["namespace"]
        issuer = spec["issuerRef"]
        authority = self.of(namespace if issuer["kind"] == "Issuer" else "", issuer["name"])
        key, signed = self.folder / "key", self.folder / "crt"
        names = ",".join(f"DNS:{name}" for name in spec["dnsNames"])
        uses = ",".join({"server auth": "serverAuth", "client auth": "clientAuth"}.get(use, "") for use in spec["usages"])
        _openssl(
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
            f"/CN={spec.get('commonName', spec['dnsNames'][0])}", "-addext", f"subjectAltName={names}", "-addext",
            f"extendedKeyUsage={uses.strip(',')}", "-addext", "basicConstraints=critical,CA:FALSE", "-keyout", key, "-out",
            signed, "-CA", authority / "crt", "-CAkey", authority / "key",
        )  # fmt: skip
        return {
            "tls.crt": signed.read_text(),
            "tls.key": key.read_text(),
            "ca.crt": (authority / "crt").read_text(),
        }

    def of(self, namespace, name):
        """The folder of an issuer's authority; ClusterIssuers have no namespace."""
        folder = self.folder / f"{namespace}.{name}"
        if not folder.exists():
            folder.mkdir()
            _openssl(
                "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                "-subj", f"/CN={name}", "-keyout", folder / "key", "-out", folder / "crt",
            )  # fmt: skip
        return folder


def _openssl(*arguments):
    done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"openssl {arguments[0]}: {done.stderr.strip()}")
