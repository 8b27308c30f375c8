"""Certificates made for one test: a CA, a server, a client, and a CA that signed nothing."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

DAYS = (-1, 1)


class Certificates(NamedTuple):
    """PEM files."""

    ca: Path
    server: Path
    server_key: Path
    client: Path
    client_key: Path
    other_ca: Path


def make_certificates(
    folder: Path,
    server_name: str = "127.0.0.1",
    clients: Sequence[str] = (),
    *,
    days: Mapping[str, tuple[int, int]] | None = None,
) -> Certificates:
    """Return fresh files in `folder`; the server's certificate is for `server_name` (an address or a name).

    clients: common names of further clients; each gets NAME.pem and NAME.key there. `stranger` is one of the other CA.
    days: who ("ca", "server", "client") -> first and last day from today; default yesterday to tomorrow.
    """
    spans = days or {}
    folder.mkdir(parents=True, exist_ok=True)
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca = _sign("ca", ca_key.public_key(), "ca", ca_key, None, spans.get("ca", DAYS))
    other_key = ec.generate_private_key(ec.SECP256R1())
    other = _sign("other", other_key.public_key(), "other", other_key, None)
    paths = {"ca": _write(folder / "ca.pem", _pem(ca)), "other_ca": _write(folder / "other.pem", _pem(other))}
    for who, name in (("server", server_name), ("client", "plant-1")):
        key = ec.generate_private_key(ec.SECP256R1())
        cert = _sign(name, key.public_key(), "ca", ca_key, name, spans.get(who, DAYS))
        paths[who] = _write(folder / f"{who}.pem", _pem(cert))
        paths[f"{who}_key"] = _write(folder / f"{who}.key", _private(key))
    for name in clients:
        _client(folder, name, "ca", ca_key)
    _client(folder, "stranger", "other", other_key)
    return Certificates(**paths)


def _client(folder: Path, name: str, issuer: str, issuer_key: ec.EllipticCurvePrivateKey) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    _write(folder / f"{name}.pem", _pem(_sign(name, key.public_key(), issuer, issuer_key, name)))
    _write(folder / f"{name}.key", _private(key))


def _sign(
    subject: str,
    key: ec.EllipticCurvePublicKey,
    issuer: str,
    issuer_key: ec.EllipticCurvePrivateKey,
    alternative: str | None,
    days: tuple[int, int] = DAYS,
) -> x509.Certificate:
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=days[0]))
        .not_valid_after(now + timedelta(days=days[1]))
        .add_extension(x509.BasicConstraints(ca=alternative is None, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False
        )
    )
    if alternative is not None:
        try:
            name: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(alternative))
        except ValueError:
            name = x509.DNSName(alternative)
        builder = builder.add_extension(x509.SubjectAlternativeName([name]), critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    path.chmod(0o600)
    return path
