"""Certificates of the demo: those of a development environment, and of one domain that signs for itself.

`ca.crt` vouches for everybody except wingtip.example. The link between edge and gateway has an authority of its own, so
that no partner's certificate can ever open it.
"""

import subprocess

from environment import CERTS, DOMAINS, SELF_SIGNED, TARGET, DemoError


def make():
    """Makes them, once; they are good for years. Another list of domains makes all of them anew."""
    wanted = [CERTS / f"{domain}.pem" for domain in [*DOMAINS, SELF_SIGNED]]
    if all(path.exists() for path in wanted):
        return
    if not (TARGET / "causeway").exists():
        raise DemoError(f"{TARGET / 'causeway'} is not built: run cargo build --bins")
    domains = [argument for domain in DOMAINS for argument in ("--domain", domain)]
    ours = ["--edge", "edge-1", "--gateway", "gateway-1"]
    run(TARGET / "causeway", "dev-certs", "--force", "--out", CERTS, *ours, *domains)
    _self_signed(SELF_SIGNED)


def _self_signed(domain):
    key, certificate = CERTS / f"{domain}.key", CERTS / f"{domain}.crt"
    run(
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "825",
        "-subj", f"/CN={domain}", "-addext", f"subjectAltName=DNS:{domain}", "-keyout", key, "-out", certificate,
    )  # fmt: skip
    (CERTS / f"{domain}.pem").write_bytes(key.read_bytes() + certificate.read_bytes())


def run(*command):
    """Runs a command to its end; what it says of a failure becomes ours."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise DemoError(f"{command[0]}: {done.stderr.strip()}")
