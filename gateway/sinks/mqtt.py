"""The MQTT sink: telemetry for the plant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from gateway.errors import SinkUnavailable
from gateway.sinks import telemetry
from gateway.sinks.mqtt_connection import Broker, Login, Message

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.interfaces import Clock, Directory
    from gateway.layout import Layout
    from gateway.model import Batch, Refusal
    from gateway.sinks.tls import TlsFiles

_HEADER_SPARE = 1024  # topic and packet header beside the payload


class MqttSink:
    """Telemetry for the plant (docs/specs/telemetry.md) to one broker.

    After SinkUnavailable from `write`, `open` again before the next `write`: it starts a new connection.
    """

    def __init__(
        self,
        *,
        id: str,
        host: str,
        port: int,
        directory: Directory,
        clock: Clock,
        prefix: str = "metergate/v1",
        protocol: Literal["5", "3.1.1"] = "5",
        group: Literal["commit", "meter"] = "commit",
        user: str | None = None,
        password: str | None = None,
        tls: TlsFiles | None = None,
        timeout_s: float = 10,
    ) -> None:
        """prefix: topic levels before the gateway's id. timeout_s: for connecting, and without any PUBACK."""
        self._root = f"{prefix}/{directory.gateway}"
        login = Login(
            name=f"sink {id} (mqtt {host}:{port})",
            client_id=f"metergate-{directory.gateway}-{id}",
            root=self._root,
            host=host,
            port=port,
            protocol=protocol,
            user=user or "",
            password=password,
            tls=tls,
            timeout_s=timeout_s,
        )
        self._broker = Broker(login, clock)
        self._directory = directory
        self._clock = clock
        self._group = group
        self._announced: dict[str, Layout] = {}

    async def open(self) -> None:
        """Connect, announce birth and state; on 3.1.1 prove the permission first. Raises SinkUnavailable."""
        await self._broker.open(self._state(online=False))
        is_announced = False
        try:
            self._announced.clear()
            await self._announce(())
            await self._broker.publish([self._state(online=True, time_ns=self._clock.wall_ns())])
            is_announced = True
        finally:
            if not is_announced:
                self._drop()

    async def write(self, batch: Batch) -> list[Refusal]:
        """Return [] once every message of the batch has a good PUBACK. Raises SinkUnavailable."""
        if self._broker.connection is None:
            raise SinkUnavailable(f"{self._broker.login.name}: not connected")
        fresh = [
            layout
            for layout in dict.fromkeys(frame.layout for frame in batch.frames)
            if layout.digest not in self._announced
        ]
        if fresh:
            await self._announce(fresh)
        topic = f"{self._root}/telemetry-backfill" if batch.backfill else f"{self._root}/telemetry"
        gateway, limit = self._directory.gateway, self._payload_max
        if self._group == "commit":
            messages = [Message(topic, body) for body in telemetry.encode(gateway, batch.frames, limit=limit)]
        else:
            by_meter = telemetry.encode_meter(gateway, batch.frames, limit=limit)
            messages = [Message(f"{topic}/{meter}", body) for meter, body in by_meter]
        await self._broker.publish(messages)
        return []

    async def close(self) -> None:
        """Leave the retained state offline and disconnect; never raises, may be called twice."""
        await self._broker.leave(self._state(online=False, time_ns=self._clock.wall_ns()))

    def _state(self, *, online: bool, time_ns: int | None = None) -> Message:
        body = telemetry.state(self._directory.gateway, online=online, time_ns=time_ns)
        return Message(f"{self._root}/state", body, retain=True)

    @property
    def _payload_max(self) -> int:
        """Return the bytes of the longest payload the broker accepts, at most `telemetry.MESSAGE_MAX`."""
        connection = self._broker.connection
        packet_max = None if connection is None else connection.packet_max
        if packet_max is None:
            return telemetry.MESSAGE_MAX
        return max(1, min(telemetry.MESSAGE_MAX, packet_max - _HEADER_SPARE))

    async def _announce(self, layouts: Iterable[Layout]) -> None:
        """Publish the birth of all layouts in force and of `layouts`. Raises SinkUnavailable."""
        known = self._announced | {layout.digest: layout for layout in layouts}
        in_force = {layout.digest: layout for layout in self._directory.layouts()}
        older = [layout for digest, layout in known.items() if digest not in in_force]
        parts = telemetry.birth(self._directory, older, limit=self._payload_max)
        topics = [f"{self._root}/birth" + (f"/{n}" if n else "") for n in range(len(parts))]
        births = zip(topics, parts, strict=True)
        await self._broker.publish([Message(topic, body, retain=True) for topic, body in births])
        self._announced = known | in_force

    def _drop(self) -> None:
        self._broker.drop()
