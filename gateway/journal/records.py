"""Journal records as bytes: what one commit group holds on disk (docs/specs/journal.md).

Bytes <-> values only; no file, no clock. A group body is records one after another:

    u8 kind | u32 length of the rest | rest                         (little endian)

    kind 1 sample:  u32 layout id | u32 epoch | i64 time_ns | i64 device_time_ns (min = none) | u8 flags form
                    | flags | raw
                    flags form 0: all 0, nothing follows; 1: u16 x channels; 2: one u16 for every channel
    kind 2 event:   JSON    kind 3 gap: JSON

Later versions add kinds and JSON fields and change none: what is not known is passed over.
"""

from __future__ import annotations

import struct
from array import array
from dataclasses import asdict, fields
from typing import TYPE_CHECKING

import orjson

from gateway.model import Event, Frame, Gap

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from gateway.layout import Layout

SAMPLE, EVENT, GAP = 1, 2, 3
NO_FLAGS, FLAGS, ONE_FLAG = 0, 1, 2
NO_TIME = -(1 << 63)

_HEAD = struct.Struct("<BI")
_SAMPLE = struct.Struct("<BIIIqqB")
_SAMPLE_REST = _SAMPLE.size - _HEAD.size
FRAME_BYTES = _SAMPLE.size
"""Bytes of a frame beside its raw ones, if it has no flags."""

Record = Frame | Event | Gap
_KNOWN = {kind: frozenset(entry.name for entry in fields(kind)) for kind in (Event, Gap)}


def pack(records: Iterable[Record], layout_id: Callable[[Layout], int]) -> bytes:
    """Return the records as one group body. layout_id: the id under which the journal knows a layout."""
    chunks: list[bytes] = []
    sample = _SAMPLE.pack
    add = chunks.append
    for record in records:
        if isinstance(record, Frame):
            layout, raw, flags = record.layout, record.raw, b""
            form = NO_FLAGS
            if record.flags != layout.no_flags:
                flags, form = record.flags.tobytes(), FLAGS
                if flags == flags[:2] * len(record.flags):  # the clock's doubt lies on every channel
                    flags, form = flags[:2], ONE_FLAG
            device_ns = record.device_time_ns
            if device_ns is None:
                device_ns = NO_TIME
            length = _SAMPLE_REST + len(flags) + len(raw)
            id_ = layout_id(layout)
            add(sample(SAMPLE, length, id_, record.epoch, record.time_ns, device_ns, form))
            if form:
                add(flags)
            add(raw)
        else:
            add(note(record))
    return b"".join(chunks)


def note(record: Event | Gap) -> bytes:
    """Return an event or a gap as record bytes. Raises TypeError if its detail is no JSON."""
    body = orjson.dumps(asdict(record))
    return _HEAD.pack(EVENT if isinstance(record, Event) else GAP, len(body)) + body


def unpack(body: bytes, layout: Callable[[int], Layout]) -> Iterator[Record]:
    """Yield the records of a group body in the order they were appended; those of kinds not known are left out.

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
            yield _note(Event, body[position + _HEAD.size : following])
        elif kind == GAP:
            yield _note(Gap, body[position + _HEAD.size : following])
        position = following


def notes(body: bytes) -> Iterator[tuple[Event | Gap, int]]:
    """Yield the events and gaps of a group body, each with its length in bytes; samples are passed over undecoded.

    Raises ValueError on a body that is cut or that no writer of ours made.
    """
    position, end = 0, len(body)
    while position < end:
        if end - position < _HEAD.size:
            raise ValueError(f"record head cut at byte {position}")
        kind, length = _HEAD.unpack_from(body, position)
        start = position + _HEAD.size
        position = start + length
        if position > end:
            raise ValueError(f"record of {length} bytes at byte {start} is cut")
        if kind in {EVENT, GAP}:
            yield _note(Event if kind == EVENT else Gap, body[start:position]), length


def _note(kind: type[Event | Gap], body: bytes) -> Event | Gap:
    known = _KNOWN[kind]
    try:
        return kind(**{key: value for key, value in orjson.loads(body).items() if key in known})
    except (AttributeError, TypeError) as error:
        raise ValueError(f"{kind.__name__} record has other fields: {error}") from error


def _sample(body: bytes, position: int, following: int, layout_of: Callable[[int], Layout]) -> Frame:
    if following - position < _SAMPLE.size:
        raise ValueError(f"sample at byte {position} is cut")
    _, _, layout_id, epoch, time_ns, device_ns, form = _SAMPLE.unpack_from(body, position)
    layout = layout_of(layout_id)
    start = position + _SAMPLE.size
    if form == NO_FLAGS:
        flags = layout.no_flags[:]
    else:
        count = len(layout.no_flags)
        size = 2 if form == ONE_FLAG else 2 * count
        if form not in {FLAGS, ONE_FLAG} or start + size > following:
            raise ValueError(f"sample at byte {position} has flags of form {form} that do not fit")
        flags = array("H", body[start : start + size])
        if form == ONE_FLAG:
            flags *= count
        start += size
    raw = body[start:following]
    values = layout.decode(raw, flags)
    return Frame(layout, epoch, time_ns, None if device_ns == NO_TIME else device_ns, raw, values, flags)
