"""An MQTT subscriber that misses nothing: persistent session, QoS 1, every message kept in order."""

from __future__ import annotations

import threading
from typing import Any

import orjson
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

Identity = tuple[str, int, int]


class Listener:
    """Subscribes to `topics`; survives restarts of the broker."""

    def __init__(self, port: int, topics: list[str], client_id: str = "listener") -> None:
        self.messages: list[tuple[str, bytes]] = []
        self.ready = threading.Event()
        self._topics = topics
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id, protocol=paho.MQTTv5)
        self._client.on_connect = self._connected
        self._client.on_subscribe = lambda *_: self.ready.set()
        self._client.on_message = lambda _c, _u, m: self.messages.append((m.topic, bytes(m.payload)))
        self._client.reconnect_delay_set(1, 1)
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = 3600
        self._client.connect_async("127.0.0.1", port, clean_start=False, properties=properties)
        self._client.loop_start()

    def _connected(self, client: paho.Client, *_: Any) -> None:
        client.subscribe([(topic, 1) for topic in self._topics])

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def frames(self, suffix: str) -> list[dict[str, Any]]:
        """Return the frames of the topics that end so, in the order they came."""
        found = []
        for topic, payload in list(self.messages):
            if topic.endswith(suffix):
                found += orjson.loads(payload)["frames"]
        return found


def identity(frame: dict[str, Any]) -> Identity:
    """Return (meter, epoch, time in ms) of a telemetry frame."""
    return frame["m"], frame["e"], frame["t"]


def firsts(frames: list[dict[str, Any]]) -> list[Identity]:
    """Return the identities in order of their first occurrence."""
    return list(dict.fromkeys(identity(frame) for frame in frames))
