"""TLS for a sink: verification always on, own CA and client certificate where the site has them."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gateway.clock import SystemClock, iso
from gateway.errors import SinkUnavailable
from gateway.model import NS

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography import x509

FILE_MAX = 64 * 1024
_NOT_YET, _ENDED = (
    9,
    10,
)  # X509_V_ERR_CERT_NOT_YET_VALID, X509_V_ERR_CERT_HAS_EXPIRED; Source: OpenSSL x509_vfy.h


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files. ca: who signs the server, None for the system's authorities. cert, key: who we are, or None."""

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None

    def context(self) -> ssl.SSLContext:
        """Return a context that verifies the server's chain and name, TLS 1.2 at least. Raises SinkUnavailable, naming the file."""
        try:
            context = ssl.create_default_context(cafile=self.ca)
        except OSError as error:  # ssl.SSLError is one
            raise SinkUnavailable(
                f"CA file {self.ca}: {reason(error)}; check the sink's tls.ca_file"
            ) from error
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.verify_mode, context.check_hostname = ssl.CERT_REQUIRED, True
        context.sslsocket_class = _Socket
        context.sslobject_class = _Object
        if self.cert is not None:
            try:
                context.load_cert_chain(self.cert, self.key)
            except OSError as error:
                raise SinkUnavailable(
                    f"client certificate {self.cert} with key {self.key}: {reason(error)}; "
                    "check the sink's tls.cert_file and tls.key_file"
                ) from error
        return context

    def doubt(self) -> str:
        """Return what is wrong with the times of our own certificate, to be told with a connection that failed; "" if nothing.

        A server that refuses it says little, or just closes: what it objects to is left to us to find out.
        """
        if self.cert is None:
            return ""
        from cryptography import x509  # 8 MB, which a site without certificates does not need

        try:
            with self.cert.open("rb") as stream:
                found = x509.load_pem_x509_certificate(stream.read(FILE_MAX))
        except (OSError, ValueError):  # `context` has told it
            return ""
        fault = _fault_of(found, f"our client certificate {self.cert}")
        return f"; {fault}" if fault else ""


def _fault_of(certificate: x509.Certificate, name: str) -> str:
    """Return in words that a certificate has ended or has not begun, "" if neither."""
    now_ns = SystemClock().wall_ns()  # what the TLS library compares with
    begin_ns = round(certificate.not_valid_before_utc.timestamp()) * NS
    end_ns = round(certificate.not_valid_after_utc.timestamp()) * NS
    if end_ns < now_ns:
        return f"{name} ended on {iso(end_ns)}: it has to be renewed, or this machine's clock is wrong"
    if begin_ns > now_ns:
        return f"{name} begins on {iso(begin_ns)}: this machine's clock is wrong, or the certificate is"
    return ""


def _told(error: ssl.SSLCertVerificationError, peer: ssl.SSLSocket | ssl.SSLObject) -> OSError:
    """Return the error with the certificate it is about and the date, where it is about a date."""
    if error.verify_code not in {_NOT_YET, _ENDED}:
        return error
    from cryptography import x509

    fault = ""
    for n, raw in enumerate(_chain(peer)):
        found = x509.load_der_x509_certificate(raw)
        who = "an authority's" if n else "the server's"
        fault = fault or _fault_of(found, f"{who} certificate ({found.subject.rfc4514_string()})")
    if not fault:  # a server need not send the CA's
        fault = "it is the CA's, in the sink's tls.ca_file"
    return ssl.SSLCertVerificationError(1, f"certificate verify failed: {error.verify_message}: {fault}")


def _chain(peer: ssl.SSLSocket | ssl.SSLObject) -> list[bytes]:
    """Return the certificates the server sent, DER, its own first. Private in Python 3.11 and 3.12, public later."""
    found: Any = getattr(peer, "_sslobj", None)
    chain = found.get_unverified_chain() if hasattr(found, "get_unverified_chain") else ()
    return [ssl.PEM_cert_to_DER_cert(certificate.public_bytes()) for certificate in chain or ()]


class _Socket(ssl.SSLSocket):
    """A socket that is closed when the handshake fails; paho would leave it to the garbage collector."""

    def do_handshake(self, block: bool = False) -> None:
        """Shake hands. Raises OSError."""
        try:
            super().do_handshake(block)
        except ssl.SSLCertVerificationError as error:
            told = _told(error, self)
            self.close()
            raise told from error
        except OSError:
            self.close()
            raise


class _Object(ssl.SSLObject):
    """The same for an event loop's connections."""

    def do_handshake(self) -> None:
        """Shake hands. Raises OSError."""
        try:
            super().do_handshake()
        except ssl.SSLCertVerificationError as error:
            raise _told(error, self) from error


def reason(error: BaseException) -> str:
    """Return an error's own words, or its name where it has none (a timeout)."""
    return str(error) or type(error).__name__


def hide(text: str, secret: str | None) -> str:
    """Return `text` with an ellipsis wherever `secret` stands."""
    return text.replace(secret, "…") if secret else text


def acl_name(user: str, tls: TlsFiles | None) -> str:
    """Return whom a broker's ACL has to name, for people. user: "" if we come without one."""
    if user:
        return f"user {user}"
    if tls is not None and tls.cert is not None:
        return f"the user the broker makes of {tls.cert.name} (mosquitto: its common name)"
    return "anonymous clients"
