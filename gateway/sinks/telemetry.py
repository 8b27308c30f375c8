"""Telemetry messages (docs/specs/telemetry.md): columnar JSON bytes from frames. Pure."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import orjson

from gateway.model import MS_NS, MeterInfo, shared_flag
from gateway.quantity import QUANTITIES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gateway.interfaces import Directory
    from gateway.layout import Layout
    from gateway.model import Channel, Frame

MESSAGE_MAX = 256 * 1024  # bytes
_BIRTH_SPARE = 64  # room for "part" and "parts"


def encode(gateway: str, frames: Iterable[Frame], *, limit: int = MESSAGE_MAX) -> list[bytes]:
    """Return messages that carry `frames` in their order, each at most `limit` bytes.

    A frame is never divided: one that is longer than `limit` by itself is a message by itself.
    """
    room = limit - len(_envelope(gateway, ()))
    return [_envelope(gateway, chunk) for chunk in _chunks(map(_frame, frames), room)]


def encode_meter(
    gateway: str, frames: Iterable[Frame], *, limit: int = MESSAGE_MAX
) -> list[tuple[str, bytes]]:
    """Return (meter, message) pairs, one meter a message; the order within a meter is kept."""
    by_meter: dict[str, list[Frame]] = {}
    for frame in frames:
        by_meter.setdefault(frame.layout.meter, []).append(frame)
    return [
        (meter, message) for meter, own in by_meter.items() for message in encode(gateway, own, limit=limit)
    ]


def birth(directory: Directory, older: Iterable[Layout] = (), *, limit: int = MESSAGE_MAX) -> list[bytes]:
    """Return the birth message, cut by meters into several if it is longer than `limit` bytes.

    older: layouts no longer in force whose frames are still being delivered; a meter that is no longer
    configured is announced with an empty link and energy kind.
    """
    layouts: dict[str, dict[str, Layout]] = {info.id: {} for info in directory.meters}
    for layout in (*directory.layouts(), *older):
        layouts.setdefault(layout.meter, {})[layout.digest] = layout
    known = {info.id: info for info in directory.meters}
    meters = []
    for meter, own in layouts.items():
        info = known.get(meter) or MeterInfo(meter, meter, "", "", "")
        meters.append(orjson.dumps(_meter(info, list(own.values()))))
    head = orjson.dumps(
        {
            "v": 1,
            "gateway": directory.gateway,
            "software": directory.software,
            "config": directory.config_digest,
        }
    )[:-1]
    chunks = _chunks(iter(meters), limit - len(head) - _BIRTH_SPARE) or [[]]
    if len(chunks) == 1:
        return [b'%b,"meters":[%b]}' % (head, b",".join(chunks[0]))]
    return [
        b'%b,"part":%d,"parts":%d,"meters":[%b]}' % (head, part, len(chunks), b",".join(chunk))
        for part, chunk in enumerate(chunks)
    ]


def state(gateway: str, *, online: bool, time_ns: int | None = None) -> bytes:
    """Return the state message; the last will is the offline one without a time."""
    body: dict[str, Any] = {"v": 1, "gateway": gateway, "online": online}
    if time_ns is not None:
        body["t"] = time_ns // MS_NS
    return orjson.dumps(body)


def _frame(frame: Frame) -> bytes:
    """Return one frame as a JSON object; NaN becomes null."""
    layout = frame.layout
    values = orjson.dumps(frame.values.tolist())
    head = _head(layout.meter, layout.digest)
    time_ms = frame.time_ns // MS_NS
    if frame.device_time_ns is None and frame.flags == layout.no_flags:
        return b'%b%d,"t":%d,"x":%b}' % (head, frame.epoch, time_ms, values)
    device = b"" if frame.device_time_ns is None else b',"d":%d' % (frame.device_time_ns // MS_NS)
    return b'%b%d,"t":%d%b,"x":%b%b}' % (head, frame.epoch, time_ms, device, values, _flags(frame))


def _flags(frame: Frame) -> bytes:
    if frame.flags == frame.layout.no_flags:
        return b""
    shared = shared_flag(frame.flags)
    return b',"f":%b' % (b"%d" % shared if shared else orjson.dumps(frame.flags.tolist()))


@lru_cache(maxsize=16_384)
def _head(meter: str, digest: str) -> bytes:
    return b'{"m":%b,"l":%b,"e":' % (orjson.dumps(meter), orjson.dumps(digest))


def _envelope(gateway: str, frames: Sequence[bytes]) -> bytes:
    return b'{"v":1,"gateway":%b,"frames":[%b]}' % (orjson.dumps(gateway), b",".join(frames))


def _chunks(items: Iterable[bytes], room: int) -> list[list[bytes]]:
    """Return `items` in runs whose bytes, joined by commas, fit into `room`; at least one item a run."""
    chunks: list[list[bytes]] = []
    left = -1
    for item in items:
        size = len(item) + 1
        if left < size - 1 or not chunks:
            chunks.append([])
            left = room
        chunks[-1].append(item)
        left -= size
    return chunks


def _meter(info: MeterInfo, layouts: Sequence[Layout]) -> dict[str, Any]:
    return {
        "id": info.id,
        "name": info.name,
        "link": info.link,
        "profile": info.profile,
        "energy_kind": info.energy_kind,
        "labels": dict(info.labels),
        "layouts": [
            {
                "l": layout.digest,
                "period_s": layout.period_s,
                "channels": [_channel(channel) for channel in layout.channels],
            }
            for layout in layouts
        ],
    }


def _channel(channel: Channel) -> dict[str, str]:
    quantity = QUANTITIES.get(channel.quantity)
    body = {
        "key": channel.key,
        "quantity": channel.quantity,
        "unit": channel.unit,
        "ucum": quantity.ucum if quantity is not None else "",
        "kind": channel.kind,
    }
    if channel.reference:
        body["reference"] = channel.reference
    return body
