"""Journal records as bytes: what one commit group holds on disk (docs/specs/journal.md).

Bytes <-> values only; no file, no clock. A group body is records one after another:

    u8 kind | u32 length of the rest | rest                         (little endian)

    kind 1 sample:  u32 layout id | u32 epoch | i64 time_ns | i64 device_time_ns (min = none) | u8 has flags
                    | u16 flags x channels, only if has flags | raw
    kind 2 event:   JSON    kind 3 gap: JSON
"""

from __future__ import annotations

import struct
from array import array
from dataclasses import asdict
from typing import TYPE_CHECKING

import orjson

from gateway.model import Event, Frame, Gap

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from gateway.layout import Layout

SAMPLE, EVENT, GAP = 1, 2, 3
NO_TIME = -(1 << 63)

_HEAD = struct.Struct("<BI")
_SAMPLE = struct.Struct("<BIIIqqB")
_SAMPLE_REST = _SAMPLE.size - _HEAD.size

Record = Frame | Event | Gap


def pack(records: Iterable[Record], layout_id: Callable[[Layout], int]) -> bytes:
    """Return the records as one group body. layout_id: the id under which the journal knows a layout."""
    chunks: list[bytes] = []
    for record in records:
        if isinstance(record, Frame):
            flags = record.flags.tobytes() if any(record.flags) else b""
            device_time_ns = NO_TIME if record.device_time_ns is None else record.device_time_ns
            chunks.append(
                _SAMPLE.pack(
                    SAMPLE,
                    _SAMPLE_REST + len(flags) + len(record.raw),
                    layout_id(record.layout),
                    record.epoch,
                    record.time_ns,
                    device_time_ns,
                    bool(flags),
                )
            )
            if flags:
                chunks.append(flags)
            chunks.append(record.raw)
        else:
            body = orjson.dumps(asdict(record))
            chunks.append(_HEAD.pack(EVENT if isinstance(record, Event) else GAP, len(body)))
            chunks.append(body)
    return b"".join(chunks)


def unpack(body: bytes, layout: Callable[[int], Layout]) -> Iterator[Record]:
    """Yield the records of a group body in the order they were appended.

    layout: looks an id up. Raises ValueError on a body that is cut or that no writer of ours made,
    KeyError on an unknown layout.
    """
    position, end = 0, len(body)
    while position < end:
        if end - position < _HEAD.size:
            raise ValueError(f"record head cut at byte {position}")
        kind, length = _HEAD.unpack_from(body, position)
        following = position + _HEAD.size + length
        if following > end:
            raise ValueError(f"record of {length} bytes at byte {position} is cut")
        if kind == SAMPLE:
            yield _sample(body, position, following, layout)
        elif kind == EVENT:
            yield Event(**orjson.loads(body[position + _HEAD.size : following]))
        elif kind == GAP:
            yield Gap(**orjson.loads(body[position + _HEAD.size : following]))
        else:
            raise ValueError(f"unknown record kind {kind} at byte {position}")
        position = following


def _sample(body: bytes, position: int, following: int, layout_of: Callable[[int], Layout]) -> Frame:
    if following - position < _SAMPLE.size:
        raise ValueError(f"sample at byte {position} is cut")
    _, _, layout_id, epoch, time_ns, device_time_ns, has_flags = _SAMPLE.unpack_from(body, position)
    layout = layout_of(layout_id)
    start = position + _SAMPLE.size
    flags = array("H", layout.no_flags)
    if has_flags:
        size = 2 * len(flags)
        flags = array("H", body[start : start + size])
        start += size
    raw = body[start:following]
    values = layout.decode(raw, flags)
    device = None if device_time_ns == NO_TIME else device_time_ns
    return Frame(layout, epoch, time_ns, device, raw, values, flags)
