"""What stands in the certificate files of sinks, tried as a connection will use them: for `metergate check`.

A running gateway does not refuse to start over them: a certificate renewed by half may not keep meters from being read.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from gateway.errors import Finding

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

    from gateway.config.models import Site

FILE_MAX = 1 << 20
_CERTIFICATES = "-----BEGIN CERTIFICATE-----", "-----BEGIN TRUSTED CERTIFICATE-----"


def certificate_findings(site: Site) -> Iterator[Finding]:
    """Yield a finding for each file of a sink's `tls` that is none, and for a certificate and a key that are not one pair.

    What may not be read, since it is the gateway's user's alone, is passed over.
    """
    for n, sink in enumerate(site.sinks, 1):
        if not sink.uses_tls:
            continue
        path, tls = f"sinks.{sink.id or n}.tls", sink.tls
        good = []
        for key in ("ca_file", "cert_file"):
            file = getattr(tls, key)
            if file is not None and (yield from _certificate(f"{path}.{key}", file)):
                good.append(key)
        if "cert_file" in good and tls.cert_file is not None and tls.key_file is not None:
            yield from _pair(path, tls.cert_file, tls.key_file)


def _certificate(path: str, file: Path) -> Generator[Finding, None, bool]:
    """Yield a finding if a file holds no certificate; return whether it was read and does."""
    try:
        with file.open("rb") as stream:
            text = stream.read(FILE_MAX).decode("ascii", "replace")
    except OSError:
        return False
    if not any(begin in text for begin in _CERTIFICATES):
        what = "a private key" if "PRIVATE KEY-----" in text else "no certificate in PEM"
        hint = "DER: openssl x509 -inform der -in FILE -out FILE.pem" if text.startswith("0") else ""
        yield Finding(path, f"{file}, which is {what}", "a PEM file, -----BEGIN CERTIFICATE-----", hint)
        return False
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=text)
    except (ssl.SSLError, ValueError) as error:
        why = getattr(error, "reason", None) or "cannot be read"
        yield Finding(path, f"{file}, whose certificate is damaged ({why})", "a PEM file, as it was made")
        return False
    return True


def _pair(path: str, cert: Path, key: Path) -> Iterator[Finding]:
    """Yield a finding if a key is none, wants a password, or is another certificate's."""
    asked: list[bool] = []

    def no_password() -> str:
        asked.append(True)
        return ""

    try:
        with key.open("rb"):
            pass
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(cert, key, no_password)
    except ssl.SSLError as error:
        if asked:
            hint = "openssl pkey -in FILE -out FILE.plain, readable by the gateway's user only"
            yield Finding(f"{path}.key_file", f"{key}, which wants a password", "a key without one", hint)
        elif error.reason in {"KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH"}:
            found = f"{key}, which is not the key of {cert}"
            yield Finding(
                f"{path}.key_file", found, "the key cert_file was made with", "name the two of one pair"
            )
        else:
            yield Finding(
                f"{path}.key_file", f"{key}, which is no private key", "a PEM file with the private key"
            )
    except OSError:
        return
