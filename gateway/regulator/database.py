"""A database with InfluxDB's v2 write endpoint, that takes the feed's lines as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.sinks.influx import InfluxSink

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gateway.interfaces import Clock
    from gateway.layout import Layout
    from gateway.model import Refusal
    from gateway.sinks.tls import TlsFiles


class _NoSite:
    """There is no site file here: lines say themselves whose they are."""

    gateway = "collect"

    def layouts(self) -> Iterable[Layout]:
        """Return none."""
        return ()


class Lines(InfluxSink):
    """Writes lines, through the sink's own reading of every answer."""

    def __init__(
        self, *, url: str, org: str, bucket: str, token: str, clock: Clock, tls: TlsFiles | None = None
    ) -> None:
        """tls: for an https URL whose CA the system does not know."""
        super().__init__(
            id="collect",
            url=url,
            org=org,
            bucket=bucket,
            token=token,
            directory=_NoSite(),  # type: ignore[arg-type]
            clock=clock,
            tls=tls,
        )

    async def write_lines(self, lines: Sequence[bytes]) -> list[Refusal]:
        """Return the lines refused for good, once every other one is stored. Raises SinkUnavailable."""
        return await self._write(lines)
