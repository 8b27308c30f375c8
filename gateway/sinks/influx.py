"""The InfluxDB v2 sink: one line per frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.sinks.influx_connection import InfluxLines
from gateway.sinks.line_protocol import Encoder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.interfaces import Clock, Directory
    from gateway.model import Batch, Frame, Refusal
    from gateway.sinks.tls import TlsFiles


class InfluxSink(InfluxLines):
    """Readings (docs/specs/influx-schema.md) to one bucket. Writing a batch again changes nothing."""

    def __init__(
        self,
        *,
        id: str,
        url: str,
        org: str,
        bucket: str,
        token: str,
        directory: Directory,
        clock: Clock,
        measurement: str = "meter",
        gzip: bool = True,
        timeout_s: float = 10,
        tls: TlsFiles | None = None,
    ) -> None:
        """timeout_s: for a whole request. tls: for an https URL whose CA the system does not know."""
        super().__init__(
            id=id,
            url=url,
            org=org,
            bucket=bucket,
            token=token,
            clock=clock,
            gzip=gzip,
            timeout_s=timeout_s,
            tls=tls,
        )
        self._directory, self._measurement = directory, measurement
        self._encoder = Encoder(directory, measurement)

    async def open(self) -> None:
        """Make a client and see that a server answers there. Raises SinkUnavailable."""
        self._encoder = Encoder(self._directory, self._measurement)
        await super().open()

    async def write(self, batch: Batch) -> list[Refusal]:
        """Return the frames whose line the server refuses, once it has stored every other one.

        Raises SinkUnavailable, with `retry_after_s` where the server said it.
        """
        return await self.write_lines(self._encoder.lines(batch.frames))

    async def rewrite(self, frames: Sequence[Frame], rev: int) -> list[Refusal]:
        """Write frames in the place of those of the same meters and times; return as `write` does. Raises SinkUnavailable."""
        return await self.write_lines([self._encoder.revised(frame, rev) for frame in frames])
