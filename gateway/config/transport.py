"""How sinks are reached: TLS and its files, and what goes over a network in the clear."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from gateway.config.files import file_findings
from gateway.config.sinks import BrokerTable, FeedMqttConfig
from gateway.errors import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.config.models import Site
    from gateway.config.sinks import SinkConfig

PLAIN_PORT, TLS_PORT = 1883, 8883  # Source: IANA service names mqtt and secure-mqtt
FILES = ("ca_file", "cert_file", "key_file")


def tls_findings(path: str, sink: SinkConfig) -> Iterator[Finding]:
    """Yield what is wrong with a sink's `tls` table."""
    tls = sink.tls
    named = [key for key in FILES if getattr(tls, key) is not None]
    if isinstance(sink, BrokerTable):
        if named and not sink.uses_tls:
            why = (
                "enabled = false"
                if tls.enabled is False
                else "the broker is on this machine: no TLS unless asked"
            )
            expected = "TLS switched on where its files are named"
            yield Finding(f"{path}.tls.enabled", f"{named[0]}, but {why}", expected, "write enabled = true")
    elif tls.enabled not in (None, sink.uses_tls) or (named and not sink.uses_tls):
        scheme = urlsplit(sink.url).scheme
        found = named[0] if tls.enabled is None else f"enabled = {'true' if tls.enabled else 'false'}"
        hint = "remove the key" if sink.uses_tls else f'url = "https{sink.url[len(scheme) :]}"'
        key = "enabled" if tls.enabled is not None else named[0]
        yield Finding(f"{path}.tls.{key}", f"{found}, but url = {scheme}://…", "what fits the URL", hint)
    for have, lack in (("cert_file", "key_file"), ("key_file", "cert_file")):
        if getattr(tls, have) is not None and getattr(tls, lack) is None:
            yield Finding(f"{path}.tls.{lack}", "nothing", f"the partner of {have}", f'write {lack} = "…"')
    for key in FILES:
        yield from file_findings(f"{path}.tls.{key}", getattr(tls, key), "a PEM file")


def transport_warnings(site: Site) -> Iterator[str]:
    """Yield a warning for each sink that is reached over a network in the clear, or at a port of the other way."""
    for sink in site.sinks:
        where = f"sinks.{sink.id}"
        if not isinstance(sink, BrokerTable):
            if not sink.uses_tls and not sink.is_local:
                token = "the token and everything written" if _has_secret(sink) else "everything written"
                yield f"{where}.url: http to another machine: {token} can be read on the way; use https"
            continue
        if not sink.uses_tls and not sink.is_local:
            secret = "the password and every message" if _has_secret(sink) else "every message"
            signed = (
                "; signatures show what was changed, not who reads along"
                if isinstance(sink, FeedMqttConfig)
                else ""
            )
            yield f"{where}.tls: off to another machine: {secret} can be read on the way{signed}"
        usual = TLS_PORT if sink.uses_tls else PLAIN_PORT
        if sink.port == PLAIN_PORT + TLS_PORT - usual:
            way = "with" if sink.uses_tls else "without"
            yield f"{where}.port: {sink.port}, but {usual} is usual {way} TLS"


def _has_secret(sink: SinkConfig) -> bool:
    keys = ("password_file", "password_credential", "token_file", "token_credential")
    return any(getattr(sink, key, None) for key in keys)
