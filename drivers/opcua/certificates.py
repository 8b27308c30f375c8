"""Certificates of OPC UA applications: what one says, and the gateway's own, made once and kept.

Source: OPC UA Part 6, 6.2.2 (application instance certificate: application URI and host in the alternative names,
RSA of 2048 bits or more, SHA-256).
"""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import re
import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DAY_NS = 86_400 * 1_000_000_000
WARN_NS = 30 * DAY_NS
OWN_DAYS = 3650  # a server must be told of each new one by hand
KEY_BITS = 2048
URI = "urn:metergate"
OWN_CERTIFICATE = "metergate.der"
_NS = 1_000_000_000
_UNREADABLE = (
    x509.InvalidVersion, x509.DuplicateExtension, x509.UnsupportedGeneralNameType, UnsupportedAlgorithm,
)  # fmt: skip
"""What cryptography raises on strange certificates beside ValueError: none of them is one."""
_making = threading.Lock()  # two links that open for the first time share one certificate


class Facts(NamedTuple):
    """What people and the trust store need to know of a certificate; times are wall times in nanoseconds."""

    fingerprint: str  # SHA-256, 64 hexadecimal digits
    subject: str
    issuer: str
    begin_ns: int
    end_ns: int
    uri: str  # application URI, "" if it names none
    hosts: tuple[str, ...]


class Identity(NamedTuple):
    """A certificate with its key."""

    certificate: x509.Certificate
    key: rsa.RSAPrivateKey
    facts: Facts


def fingerprint(der: bytes) -> str:
    """Return the SHA-256 fingerprint of a DER certificate as 64 hexadecimal digits."""
    return hashlib.sha256(der).hexdigest()


def parse_fingerprint(text: str) -> str:
    """Return a SHA-256 fingerprint in the one spelling used here. Raises ValueError if it is none."""
    bare = re.sub(r"[\s:-]", "", text).lower().removeprefix("sha256")
    if not re.fullmatch(r"[0-9a-f]{64}", bare):
        raise ValueError("a SHA-256 fingerprint has 64 hexadecimal digits, with or without colons")
    return bare


def first_of_chain(blob: bytes) -> bytes:
    """Return the first certificate of a DER chain. Raises ValueError if there is none."""
    if len(blob) < 4 or blob[0] != 0x30:
        raise ValueError("no certificate")
    length, header = blob[1], 2
    if length >= 0x80:
        header += length & 0x7F
        length = int.from_bytes(blob[2:header], "big")
    if header + length > len(blob):
        raise ValueError("half a certificate")
    return blob[: header + length]


def facts(der: bytes) -> Facts:
    """Return what a DER certificate says. Raises ValueError if it is none."""
    with _readable():
        found = x509.load_der_x509_certificate(der)
        try:
            names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except x509.ExtensionNotFound:
            names = x509.SubjectAlternativeName([])
        uris = names.get_values_for_type(x509.UniformResourceIdentifier)
        hosts = [
            *names.get_values_for_type(x509.DNSName),
            *map(str, names.get_values_for_type(x509.IPAddress)),
        ]
        return Facts(
            fingerprint(der),
            found.subject.rfc4514_string(),
            found.issuer.rfc4514_string(),
            _ns(found.not_valid_before_utc),
            _ns(found.not_valid_after_utc),
            uris[0] if uris else "",
            tuple(hosts),
        )


@contextmanager
def _readable() -> Iterator[None]:
    """Turn whatever cryptography raises on a strange certificate or key into ValueError."""
    try:
        yield
    except _UNREADABLE as error:
        raise ValueError(f"no certificate or key that can be used: {error}") from error


def validity_fault(known: Facts, now_ns: int) -> str:
    """Return why a certificate is not valid now, "" if it is."""
    if now_ns > known.end_ns:
        return f"expired on {day(known.end_ns)}"
    return (
        f"is valid from {day(known.begin_ns)} only; is the gateway's clock right?"
        if now_ns < known.begin_ns
        else ""
    )


def day(time_ns: int) -> str:
    """Return the day of a wall time, UTC, for people."""
    return f"{dt.datetime.fromtimestamp(time_ns / _NS, dt.UTC):%Y-%m-%d}"


def load(certificate_file: Path, key_file: Path) -> Identity:
    """Return a certificate with its key from two files, PEM or DER.

    Raises OSError, or ValueError if they are no certificate and RSA key without password that belong together.
    """
    raw, key_raw = certificate_file.read_bytes(), key_file.read_bytes()
    read = x509.load_pem_x509_certificate if b"-----BEGIN" in raw else x509.load_der_x509_certificate
    pem = b"-----BEGIN" in key_raw
    read_key = serialization.load_pem_private_key if pem else serialization.load_der_private_key
    with _readable():
        certificate = read(raw)
        try:
            key = read_key(key_raw, None)
        except TypeError:
            raise ValueError(
                f"{key_file} has a password; give the key without one, readable by the gateway only"
            ) from None
        if not isinstance(key, rsa.RSAPrivateKey):
            raise ValueError(f"{key_file} is no RSA key, which the security policies of OPC UA need")
        if key.public_key() != certificate.public_key():
            raise ValueError(f"{key_file} does not belong to {certificate_file}")
        return Identity(certificate, key, facts(certificate.public_bytes(serialization.Encoding.DER)))


def own(folder: Path, now_ns: int) -> Identity:
    """Return the gateway's own certificate, made in `folder` on first use and kept from then on.

    Takes a second when it has to be made. Raises OSError, ValueError.
    """
    certificate_file, key_file = folder / OWN_CERTIFICATE, folder / "metergate.key"
    with _making:
        if not certificate_file.exists() or not key_file.exists():
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            certificate_file.unlink(missing_ok=True)
            key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
            host = socket.gethostname() or "localhost"
            made = self_signed(key, f"Metergate on {host}"[:64], f"{URI}:{host}", [host], now_ns, OWN_DAYS)
            write_key(key_file, key)
            _write(certificate_file, made.public_bytes(serialization.Encoding.DER), 0o644)
    return load(certificate_file, key_file)


def self_signed(
    key: rsa.RSAPrivateKey, name: str, uri: str, hosts: list[str], begin_ns: int, days: int
) -> x509.Certificate:
    """Return an application instance certificate, valid from a day before `begin_ns` for `days` from it."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    begin = dt.datetime.fromtimestamp(begin_ns / _NS, dt.UTC)
    usage = x509.KeyUsage(
        digital_signature=True, content_commitment=True, key_encipherment=True, data_encipherment=True,
        key_agreement=False, key_cert_sign=True, crl_sign=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    alternative: list[x509.GeneralName] = [x509.UniformResourceIdentifier(uri), *map(x509.DNSName, hosts)]
    purposes = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin - dt.timedelta(days=1))
        .not_valid_after(begin + dt.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName(alternative), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def write_key(path: Path, key: rsa.RSAPrivateKey) -> None:
    """Write a key as PEM that only the gateway's user can read. Raises OSError."""
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    _write(path, pem, 0o600)


def _write(path: Path, content: bytes, mode: int) -> None:
    """Put a whole file in place, or none."""
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(fd, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(fd)
    part.replace(path)


def write_certificate(path: Path, der: bytes) -> None:
    """Write a certificate, whole or not at all. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    _write(path, der, 0o644)


def _ns(moment: dt.datetime) -> int:
    return round(moment.timestamp()) * _NS
