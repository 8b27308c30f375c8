"""DL/T 645 and CJ/T 188 frames: what is whole comes back, what was changed in one byte is never accepted."""

from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st

from drivers import frames
from drivers.cjt188 import frame as cjt188
from drivers.dlt645 import frame as dlt645
from drivers.identifiers import CjtSettings

ADDRESSES = st.integers(0, 10**12 - 1).map(lambda n: f"{n:012d}")
IDENTIFIERS = st.integers(0, 2**32 - 1)
SETTINGS = CjtSettings(0x10, (22,))
FIELDS = st.binary(min_size=19, max_size=19)


def dlt645_answer(address: str, di: int, value: bytes) -> bytes:
    return frames.dlt645_frame(frames.dlt645_head(address), dlt645.VALUES, di.to_bytes(4, "little") + value)


def cjt188_answer(address: str, ser: int, field: bytes) -> bytes:
    head = frames.cjt188_head(SETTINGS.meter_type, address)
    return frames.cjt188_frame(head, cjt188.VALUES, b"\x90\x1f" + bytes((ser,)) + field)


@given(
    ADDRESSES,
    IDENTIFIERS,
    st.binary(min_size=1, max_size=8),
    st.binary(max_size=20).map(lambda b: b.replace(b"\x68", b"")),
)
def test_dlt645_round_trip(address: str, di: int, value: bytes, noise: bytes) -> None:
    ask = dlt645.Ask(address, di, len(value))
    frame = dlt645_answer(address, di, value)
    found = ask.find(noise + b"\xfe" + frame + noise)
    assert found is not None
    assert (noise + b"\xfe" + frame)[found.start : found.end] == frame
    assert ask.value(frame, len(value)) == value
    assert frames.cut_dlt645(b"\xfe\xfe" + frame).data[4:] == value


@given(ADDRESSES.map(lambda a: "00" + a), st.integers(0, 255), FIELDS)
def test_cjt188_round_trip(address: str, ser: int, field: bytes) -> None:
    frame = cjt188_answer(address, ser, field)
    ask = cjt188.Ask(address, 0x901F, ser, SETTINGS)
    assert ask.find(frame) is not None
    assert ask.data(frame)[3:] == field
    assert cjt188.Ask(address, 0x901F, (ser + 1) % 256, SETTINGS).find(frame) is None, (
        "another request's answer"
    )
    assert frames.cut_cjt188(frame).data[3:] == field


@given(ADDRESSES, IDENTIFIERS, st.binary(min_size=1, max_size=4), st.data())
def test_a_change_within_one_byte_is_never_accepted(
    address: str, di: int, value: bytes, data: st.DataObject
) -> None:
    """What a sum modulo 256 guarantees. Two bytes that change by +n and -n are not seen; parity is for that."""
    ask = dlt645.Ask(address, di, len(value))
    frame = bytearray(dlt645_answer(address, di, value))
    place = data.draw(st.integers(0, len(frame) - 1))
    frame[place] ^= data.draw(st.integers(1, 255))
    assert ask.find(bytes(frame)) is None


@given(st.binary(max_size=400), ADDRESSES, IDENTIFIERS)
def test_hostile_bytes_do_no_harm(received: bytes, address: str, di: int) -> None:
    assert dlt645.Ask(address, di, 4).find(received) is None
    cjt188.Ask("00" + address, di & 0xFFFF, 1, SETTINGS).find(received)
    for cut in (frames.cut_dlt645, frames.cut_cjt188):
        try:
            cut(received)
        except ValueError:
            continue


@given(ADDRESSES, st.binary(max_size=60), st.integers(0, 80))
def test_broken_frames_of_the_right_meter_do_no_harm(address: str, tail: bytes, end: int) -> None:
    ask = dlt645.Ask(address, 0x00010000, 4)
    received = (frames.dlt645_head(address) + tail + dlt645_answer(address, 0x00010000, b"\x01\x02\x03\x04"))[
        :end
    ]
    found = ask.find(received)
    if found is not None:
        assert sum(received[found.start : found.end - 2]) & 0xFF == received[found.end - 2]
        assert found.end <= len(received)


def test_a_flood_of_heads_takes_no_time() -> None:
    ask = dlt645.Ask("123456789012", 0x00010000, 4)
    flood = (frames.dlt645_head("123456789012") + b"\x91\xff") * 400
    begun_s = time.monotonic()
    assert ask.find(flood) is None
    assert time.monotonic() - begun_s < 0.1
