"""Which certificates of a site's OPC UA links and sinks have ended or end soon; a warning, since each says so itself too."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from gateway.clock import iso
from gateway.config.links import OpcuaConfig
from gateway.model import NS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cryptography import x509

    from gateway.config.models import Site

SOON_NS = 30 * 86_400 * NS
FILE_MAX = 1 << 20


def certificate_warnings(site: Site, now_ns: int) -> Iterator[str]:
    """Yield a warning for each certificate file that is gone bad or ends within 30 days."""
    links = [link for link in site.links if isinstance(link, OpcuaConfig)]
    for link in links:
        for key in ("cert_file", "user_cert_file"):
            file = getattr(link, key)
            if file is not None:
                yield from _warning(f"links.{link.id}.{key}", file, now_ns)
    if any(link.security != "none" for link in links):
        folder = site.gateway.state_dir / "opcua"
        for file in (*sorted(folder.glob("own/*.der")), *sorted(folder.glob("trusted/*.der"))):
            yield from _warning("OPC UA", file, now_ns)
    for sink in site.sinks:
        for key in ("cert_file", "ca_file"):
            file = getattr(sink.tls, key)
            if file is not None and sink.uses_tls:
                yield from _warning(f"sinks.{sink.id}.tls.{key}", file, now_ns, any_of=key == "ca_file")


class End(NamedTuple):
    """A certificate of a sink that ends. whose: `own`, or `authority`: who signs the other side's. fingerprint: SHA-256, hexadecimal."""

    sink: str
    whose: str
    fingerprint: str
    until_ns: int


def sink_ends(site: Site, now_ns: int) -> Iterator[End]:
    """Yield the certificates of sinks that have ended or end within 30 days; what cannot be read is passed over."""
    for sink in site.sinks:
        for key, whose in (("cert_file", "own"), ("ca_file", "authority")):
            file = getattr(sink.tls, key)
            if file is None or not sink.uses_tls:
                continue
            try:
                found = _certificates(file)
            except (OSError, ValueError):
                continue
            one = max(found, key=_end_ns) if whose == "authority" else found[0]
            if _end_ns(one) < now_ns + SOON_NS:
                yield End(sink.id, whose, _fingerprint(one), _end_ns(one))


def _fingerprint(certificate: x509.Certificate) -> str:
    from cryptography.hazmat.primitives import hashes

    return certificate.fingerprint(hashes.SHA256()).hex()


def _certificates(file: Path) -> list[x509.Certificate]:
    """Return the certificates of a file, PEM or DER; the first of a chain is its owner's. Raises OSError, ValueError."""
    from cryptography import x509  # 8 MB, which a site without certificates does not need

    with file.open("rb") as stream:
        raw = stream.read(FILE_MAX)
    if b"-----BEGIN" in raw:
        return x509.load_pem_x509_certificates(raw)
    return [x509.load_der_x509_certificate(raw)]


def _end_ns(certificate: x509.Certificate) -> int:
    return round(certificate.not_valid_after_utc.timestamp()) * NS


def _warning(where: str, file: Path, now_ns: int, *, any_of: bool = False) -> Iterator[str]:
    """Yield the warning of a file. any_of: one good certificate in it will do, so the one that lasts longest counts."""
    try:
        ends = [_end_ns(one) for one in _certificates(file)]
    except OSError:  # of the gateway's user only, perhaps
        return
    except ValueError:
        yield f"{where}: {file} is no certificate"
        return
    end_ns = max(ends) if any_of else ends[0]
    if end_ns < now_ns + SOON_NS:
        yield f"{where}: certificate {file} {'ended' if end_ns < now_ns else 'ends'} on {iso(end_ns)[:10]}"
