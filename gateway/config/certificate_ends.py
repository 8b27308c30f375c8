"""Which certificates of a site's OPC UA links and sinks have ended or end soon; a warning, since each says so itself too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography import x509

from gateway.clock import iso
from gateway.config.links import OpcuaConfig
from gateway.model import NS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

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


def _warning(where: str, file: Path, now_ns: int, *, any_of: bool = False) -> Iterator[str]:
    """Yield the warning of a file. any_of: one good certificate in it will do, so the one that lasts longest counts."""
    try:
        with file.open("rb") as stream:
            raw = stream.read(FILE_MAX)
        if b"-----BEGIN" in raw:
            found = x509.load_pem_x509_certificates(raw)  # the first of a chain is its owner's
        else:
            found = [x509.load_der_x509_certificate(raw)]
    except OSError:  # of the gateway's user only, perhaps
        return
    except ValueError:
        yield f"{where}: {file} is no certificate"
        return
    ends = [round(one.not_valid_after_utc.timestamp()) * NS for one in found]
    end_ns = max(ends) if any_of else ends[0]
    if end_ns < now_ns + SOON_NS:
        yield f"{where}: certificate {file} {'ended' if end_ns < now_ns else 'ends'} on {iso(end_ns)[:10]}"
