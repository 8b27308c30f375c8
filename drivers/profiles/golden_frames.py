"""Captures of DL/T 645 and CJ/T 188: whole answers, taken apart as a driver would."""

from __future__ import annotations

from typing import TYPE_CHECKING

from drivers.frames import (
    cjt188_frame,
    cjt188_head,
    cut_cjt188,
    cut_dlt645,
    dlt645_frame,
    dlt645_head,
)
from drivers.identifiers import CjtSource, DltSource
from drivers.profiles.identified import meter_types
from gateway.errors import ConfigError, Finding

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

    from drivers.profiles.model import GoldenTable, Profile

DLT_VALUES, CJT_VALUES = 0x91, 0x81
DLT_DI, CJT_DI = 4, 2


def gather_frames(profile: Profile, golden: GoldenTable, sources: Iterable[Hashable]) -> bytes:
    """Return the slots of a sample, in channel order. Raises ConfigError on a frame that is none or a value not there."""
    answers = dict(_answer(profile, golden, i) for i in range(len(golden.frames)))
    raw = bytearray()
    for source in sources:
        assert isinstance(source, DltSource | CjtSource)
        body = answers.get(source.di, b"")
        value = body[source.at : source.at + source.size] if isinstance(source, CjtSource) else body
        if len(value) != source.size:
            found = f"{len(value)} bytes for identifier {source.di:X}"
            raise _wrong(golden, "frames", found, f"the {source.size} bytes of every expected value")
        raw += value
    return bytes(raw)


def dlt645_answer(address: str, di: int, value: bytes) -> str:
    """Return the frame in which a meter gave this value, as hexadecimal digits, preamble aside: nothing else fits. Raises ValueError."""
    return dlt645_frame(dlt645_head(address), DLT_VALUES, di.to_bytes(DLT_DI, "little") + value).hex()


def cjt188_answer(meter_type: int, address: str, field: bytes) -> str:
    """Return the frame in which a meter gave this data field, as hexadecimal digits, preamble aside. Raises ValueError."""
    return cjt188_frame(cjt188_head(meter_type, address), CJT_VALUES, field).hex()


def _answer(profile: Profile, golden: GoldenTable, i: int) -> tuple[int, bytes]:
    """Return (identifier, bytes its sources count from) of one frame."""
    frame, path = bytes.fromhex(golden.frames[i]), f"frames[{i + 1}]"
    is_dlt = profile.protocol == "dlt645"
    try:
        telegram = (cut_dlt645 if is_dlt else cut_cjt188)(frame)
    except ValueError as error:
        raise _wrong(golden, path, str(error), "one whole answer, its sum right") from None
    if telegram.control != (DLT_VALUES if is_dlt else CJT_VALUES):
        raise _wrong(golden, path, f"control {telegram.control:02X}", "an answer with values")
    if is_dlt:
        return int.from_bytes(telegram.data[:DLT_DI], "little"), telegram.data[DLT_DI:]
    if telegram.head[1] not in meter_types(profile):
        raise _wrong(
            golden, path, f"meter type {telegram.head[1]:02X}", "one of read.meter_type, meter_types"
        )
    if len(telegram.data) not in profile.read.lengths:
        raise _wrong(golden, path, f"a data field of {len(telegram.data)} bytes", "one of read.lengths")
    di = profile.read.di or 0
    if telegram.data[:CJT_DI] not in (di.to_bytes(CJT_DI, "big"), di.to_bytes(CJT_DI, "little")):
        raise _wrong(golden, path, f"identifier {telegram.data[:CJT_DI].hex()}", f"{di:04X}, in either order")
    return di, telegram.data


def _wrong(golden: GoldenTable, path: str, found: str, expected: str) -> ConfigError:
    return ConfigError([Finding(f'golden "{golden.name}".{path}', found, expected)])
