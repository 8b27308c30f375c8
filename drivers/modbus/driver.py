"""The Modbus TCP link: a connection, and the reader on it.

One task owns a link. What polls are made of, and what a failure costs, is the reader's (`drivers.modbus.reader`); what
bytes are believed, the stream's (`drivers.modbus.stream`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import structlog

from drivers.connecting import CONNECT_TIMEOUT_S, connect
from drivers.modbus.framing import Ask, tcp_ask
from drivers.modbus.reader import ModbusReader
from drivers.modbus.stats import LinkStats
from drivers.modbus.stream import Stream
from drivers.roundtrip import RoundTrips
from gateway.clock import sleep_for
from gateway.errors import LinkDown
from gateway.interfaces import unnoticed

if TYPE_CHECKING:
    from gateway.interfaces import Clock, Notice, Poll
    from gateway.model import Sample

DISCARD_LOG_EVERY_S = 60.0
TIMEOUT_MIN_S = 0.1

_log = structlog.get_logger(__name__)
_GARBAGE_STEP = (
    "check that the meter speaks Modbus TCP (not RTU over TCP) and that nobody else answers for its unit id"
)


class ModbusTcpLink:
    """A TCP connection to a meter, or to a gateway with several meters behind it. Implements `Link`."""

    def __init__(
        self,
        host: str,
        port: int = 502,
        *,
        timeout_s: float,
        clock: Clock,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        name: str = "",
        timeout_min_s: float = TIMEOUT_MIN_S,
        pipeline: int = 1,
        connect_pause_s: float = 0.0,
    ) -> None:
        """timeout_s: for polls that have none of their own (0). name: the link's id, for messages.

        timeout_min_s: the shortest wait, however fast a meter has answered. pipeline: requests outstanding at most.
        connect_pause_s: rest after connecting, before the first request.
        """
        self.host = host
        self.port = port
        self.name = name or f"{host}:{port}"
        self.stats = LinkStats()
        self.notice: Notice = unnoticed
        self._connect_timeout_s = connect_timeout_s
        self._connect_pause_s = connect_pause_s
        self._clock = clock
        self._stream: Stream | None = None
        self._transaction = 0
        self._told: dict[str, tuple[float, int]] = {}
        self._reader: ModbusReader[Ask] = ModbusReader(
            self._not_connected,
            tcp_ask,
            clock,
            self.name,
            self._note,
            RoundTrips(timeout_min_s),
            garbage_step=_GARBAGE_STEP,
            timeout_s=timeout_s,
            pipeline=pipeline,
        )

    async def open(self) -> None:
        """Connect. Raises LinkDown with the system's reason and a next step."""
        await self.close()
        self._reader.forget()
        self._reader.trips.reopened()
        self._stream = await connect(
            self._new_stream,
            self.host,
            self.port,
            where=f"link {self.name}: cannot connect to {self.host}:{self.port}",
            peer="meter's Modbus TCP",
            usual=" (502 is usual)",
            timeout_s=self._connect_timeout_s,
        )
        self._reader.request = self._stream.request
        self.stats.connects += 1
        if self._connect_pause_s:
            await sleep_for(self._clock, self._connect_pause_s)

    async def close(self) -> None:
        """Disconnect; never raises, may be called twice."""
        stream, self._stream = self._stream, None
        self._reader.request = self._not_connected
        if stream is not None:
            self._transaction = stream.transaction
            await stream.close()

    async def read(self, poll: Poll) -> list[Sample]:
        """Return the one sample of a poll, with the channels of failed requests flagged.

        Raises DeviceError if no request brought values, LinkDown if the connection is gone, with what was read before.
        """
        try:
            return await self._reader.read(poll)
        except LinkDown as error:
            if self._stream is None:
                raise
            text = f"link {self.name}, {self.host}:{self.port}: {error}"
            raise LinkDown(text, samples=error.samples) from None

    def figures(self) -> dict[str, object]:
        """Return what the link has counted."""
        reader = self._reader
        return self.stats.figures() | {"meters": reader.trips.figures()} | reader.figures()

    def _not_connected(self, _ask: Ask, _timeout_s: float) -> NoReturn:
        raise LinkDown(f"link {self.name}: not connected")

    def _note(self, kind: str, subject: str, /, **detail: object) -> None:
        self.notice(kind, subject, **detail)

    def _new_stream(self) -> Stream:
        return Stream(self.stats, self._clock.wall_ns, self._on_discard, last_transaction=self._transaction)

    def _on_discard(self, reason: str, text: str, raw: bytes) -> None:
        """Log a discarded frame, once a minute for each reason; the counter has them all."""
        now_s = self._clock.monotonic()
        last_s, unsaid = self._told.get(reason, (-DISCARD_LOG_EVERY_S, 0))
        if now_s - last_s < DISCARD_LOG_EVERY_S:
            self._told[reason] = (last_s, unsaid + 1)
            return
        self._told[reason] = (now_s, 0)
        _log.warning(
            "answer discarded", link=self.name, reason=reason, text=text, raw=raw.hex(), unsaid=unsaid or None
        )
