"""The bytes of a commit group."""

from __future__ import annotations

import struct
from array import array

import pytest

from gateway.journal.records import note, pack, unpack
from gateway.layout import Layout
from gateway.model import Event, Flag, Frame, Gap
from tests.unit.journal_rig import START_NS, frame, small_layout

LAYOUT = small_layout(channels=3)
HEAD = 5 + 25  # kind, length; layout id, epoch, two times, flags form


def packed(*records: Frame | Event | Gap) -> bytes:
    return pack(records, lambda _: 7)


def unpacked(body: bytes) -> list[Frame | Event | Gap]:
    return list(unpack(body, {7: LAYOUT}.__getitem__))


def test_a_sample_has_the_bytes_the_specification_says() -> None:
    sample = Frame(LAYOUT, 2, 3, None, b"\0\1\0\2\0\3", array("d", [0.1, 0.2, 0.3]), array("H", [0, 4, 0]))
    expected = (
        "01" "25000000" "07000000" "02000000" "0300000000000000" "0000000000000080" "01" "000004000000" "000100020003"
    )  # fmt: skip
    assert packed(sample).hex() == expected


@pytest.mark.parametrize(
    ("flags", "size"),
    [((0, 0, 0), 0), ((512, 512, 512), 2), ((512, 0, 512), 6), ((512, 512, 544), 6)],
)
def test_flags_take_the_least_room_and_come_back(flags: tuple[int, ...], size: int) -> None:
    body = packed(frame(LAYOUT, 5, flags=flags))
    assert len(body) == HEAD + size + LAYOUT.size
    (back,) = unpacked(body)
    assert isinstance(back, Frame)
    assert tuple(back.flags) == flags


def test_everything_comes_back_as_it_was() -> None:
    whole = frame(LAYOUT, 9, epoch=3)
    whole.device_time_ns = -5
    records: list[Frame | Event | Gap] = [
        whole,
        Event(START_NS, "meter_off", "m-1", {"reason": "timeout", "deep": [1, None]}),
        Gap(START_NS, "journal_dropped", 1, 2, 300),
        frame(LAYOUT, 10),
    ]
    assert unpacked(packed(*records)) == records


def test_flags_of_a_frame_read_back_are_its_own() -> None:
    first, _ = unpacked(packed(frame(LAYOUT, 1), frame(LAYOUT, 2)))
    assert isinstance(first, Frame)
    first.flags[0] = Flag.RANGE
    assert not any(LAYOUT.no_flags)


@pytest.mark.parametrize("cut", range(1, HEAD + 12))
def test_a_body_cut_anywhere_is_refused(cut: int) -> None:
    body = packed(frame(LAYOUT, 1, flags=(1, 2, 4)))
    with pytest.raises(ValueError, match=r"cut|length|fit"):
        unpacked(body[:-cut])


@pytest.mark.parametrize(
    "body",
    [
        b"\x09\x01\x00\x00\x00",
        b"\x02\x01\x00\x00\x00{",
        b"\x02\x02\x00\x00\x00{}",
        b"\x03\x02\x00\x00\x00[]",
        b"\x01\x00\x00\x00\x00",
        packed(frame(LAYOUT, 1))[:29] + b"\x03" + packed(frame(LAYOUT, 1))[30:],
    ],
)
def test_bytes_no_writer_of_ours_made_are_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        unpacked(body)


def test_what_a_later_version_adds_is_passed_over() -> None:
    event = b'{"time_ns":1,"kind":"start","subject":"g","detail":{},"added":{"x":1}}'
    gap = b'{"time_ns":1,"reason":"journal_dropped","first_ns":2,"last_ns":3,"readings":4,"added":5}'
    body = b"".join(
        struct.pack("<BI", kind, len(rest)) + rest
        for kind, rest in ((9, b"?"), (2, event), (200, b""), (3, gap))
    )
    whole = frame(LAYOUT, 1)
    assert unpacked(packed(whole) + body + packed(whole)) == [
        whole,
        Event(1, "start", "g", {}),
        Gap(1, "journal_dropped", 2, 3, 4),
        whole,
    ]


def test_a_layout_of_a_later_version_is_read() -> None:
    body = LAYOUT.to_dict()
    for entry in (body, *body["channels"], *body["slots"], *body["slots"][0]["parts"]):
        entry["added"] = [1]
    again = Layout.from_dict(body)
    assert (again.to_dict(), again.digest) == (LAYOUT.to_dict(), LAYOUT.digest)


def test_an_unknown_layout_is_named() -> None:
    with pytest.raises(KeyError):
        list(unpack(packed(frame(LAYOUT, 1)), {1: LAYOUT}.__getitem__))


def test_a_note_that_is_no_json_is_refused_before_it_is_journaled() -> None:
    with pytest.raises(TypeError):
        note(Event(0, "start", "g", {"x": object()}))
