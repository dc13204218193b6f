"""Certificates of the demo: a certificate authority of its own, and one domain that signs for itself.

`ca.crt` vouches for everybody except wingtip.example. The link between edge and gateway has an authority of its own, so
that no partner's certificate can ever open it.
"""

import subprocess
import tempfile

from environment import CERTS, DOMAINS, SELF_SIGNED

_DAYS = "825"
_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]


def make():
    """Makes what is missing."""
    if (CERTS / "complete").exists():
        return
    CERTS.mkdir(parents=True, exist_ok=True)
    _authority("ca", "Causeway demo CA")
    _authority("link-ca", "Causeway demo link CA")
    for domain in DOMAINS:
        _signed("ca", domain, domain, _names_of_domain(domain))
    _signed("link-ca", "link-edge", "edge-1", "DNS:edge-1")
    _signed("link-ca", "link-gateway", "gateway-1", "DNS:gateway-1")
    _self_signed(SELF_SIGNED)
    (CERTS / "complete").touch()


def _authority(name, title):
    _openssl(
        "req", "-x509", *_KEY, "-days", "3650", "-subj", f"/O=Causeway demo/CN={title}",
        "-keyout", f"{name}.key", "-out", f"{name}.crt",
        "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign",
    )  # fmt: skip


def _signed(authority, name, subject, alternative_names):
    with tempfile.NamedTemporaryFile("w", suffix=".ext") as extensions:
        extensions.write(_extensions(alternative_names))
        extensions.flush()
        _openssl("req", "-new", *_KEY, "-subj", f"/CN={subject}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        _openssl(
            "x509", "-req", "-in", f"{name}.csr", "-CA", f"{authority}.crt", "-CAkey", f"{authority}.key",
            "-CAcreateserial", "-days", _DAYS, "-extfile", extensions.name, "-out", f"{name}.crt",
        )  # fmt: skip
    (CERTS / f"{name}.csr").unlink()


def _self_signed(domain):
    with tempfile.NamedTemporaryFile("w", suffix=".cnf") as config:
        config.write(f"[req]\ndistinguished_name=dn\nprompt=no\nx509_extensions=ext\n[dn]\nCN={domain}\n[ext]\n")
        config.write(_extensions(f"DNS:{domain}"))
        config.flush()
        _openssl(
            "req", "-x509", *_KEY, "-days", _DAYS, "-config", config.name,
            "-keyout", f"{domain}.key", "-out", f"{domain}.crt",
        )  # fmt: skip
    both = (CERTS / f"{domain}.key").read_text("ascii") + (CERTS / f"{domain}.crt").read_text("ascii")
    (CERTS / f"{domain}.pem").write_text(both, encoding="ascii")


def _names_of_domain(domain):
    """DNS-ID and SRV-ID (RFC 6125) for XMPP, and the SIP URI (RFC 5922)."""
    service = "otherName:1.3.6.1.5.5.7.8.7;IA5STRING:_xmpp-server"
    return f"DNS:{domain},DNS:xmpp.{domain},DNS:sip.{domain},{service}.{domain},URI:sip:{domain}"


def _extensions(alternative_names):
    return (
        "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n"
        f"extendedKeyUsage=serverAuth,clientAuth\nsubjectAltName={alternative_names}\n"
    )


def _openssl(*arguments):
    subprocess.run(["openssl", *arguments], cwd=CERTS, check=True, capture_output=True)
