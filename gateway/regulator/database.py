"""A database with InfluxDB's v2 write endpoint, that takes the feed's lines as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.sinks.influx_connection import InfluxLines

if TYPE_CHECKING:
    from gateway.interfaces import Clock
    from gateway.sinks.tls import TlsFiles


class Lines(InfluxLines):
    """Writes lines, through the sink's own reading of every answer."""

    def __init__(
        self, *, url: str, org: str, bucket: str, token: str, clock: Clock, tls: TlsFiles | None = None
    ) -> None:
        """tls: for an https URL whose CA the system does not know."""
        super().__init__(id="collect", url=url, org=org, bucket=bucket, token=token, clock=clock, tls=tls)
