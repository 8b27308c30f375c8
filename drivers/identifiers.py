"""Where a value lies in a meter that is asked by identifier, and how that meter type may be asked. Pure: no I/O, no library."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

ANY_ADDRESS = "AAAAAAAAAAAA"
"""In place of a DL/T 645 address: whoever is alone on the line. It answers with its address and nothing else is asked so.

Source: DL/T 645-2007, wildcard AA and control code 13H (读通信地址), as quoted by public articles and code.
"""
ADDRESS_BYTES = 6
CJT_ANY_ADDRESS = "AAAAAAAAAAAAAA"
"""In place of a CJ/T 188 address: whoever is alone on the line. Its meter type and address are asked so and nothing else.

Source: CJ/T 188-2004, broadcast address AA x 7 "only in point-to-point communication" (只能应用于点对点的通讯中) and control
code 03H (读地址), as quoted by public articles (cnblogs cj94 18534595 and 18534598, csdn xuehu96 112055510).
"""
CJT_ADDRESS_DI = 0x810A
CJT_TOLD_BYTES = 8
"""Meter type, then the seven bytes of the address, the last two digits first."""


class FrozenPlace(NamedTuple):
    """Where the last daily frozen total (日冻结) of a counter lies: identifier and byte offset in its answer."""

    di: int
    at: int


@dataclass(frozen=True, slots=True, order=True)
class DltSource:
    """One DL/T 645 value: its identifier (DI3 DI2 DI1 DI0 as a number) and its size in bytes.

    frozen: where its last daily frozen total lies, None if there is none.
    A channel's entry in `Poll.sources` is one of these.
    """

    di: int
    size: int
    frozen: FrozenPlace | None = None


@dataclass(frozen=True, slots=True, order=True)
class CjtSource:
    """One CJ/T 188 value: identifier, and where it lies in the reply's data field, DI and SER counted.

    unit_at, unit_code: where the unit byte beside it lies and what it must hold; -1: there is none to compare.
    A channel's entry in `Poll.sources` is one of these.
    """

    di: int
    at: int
    size: int
    unit_at: int = -1
    unit_code: int = -1


@dataclass(frozen=True, slots=True)
class DltSettings:
    """How a DL/T 645 meter may be asked; goes into `Poll.settings`.

    preamble: bytes FE before each request, which wake the receiver.
    utc_offset_min: what the meter's own clock keeps.
    """

    preamble: int = 4
    utc_offset_min: int = 480


@dataclass(frozen=True, slots=True)
class CjtSettings:
    """How a CJ/T 188 meter may be asked; goes into `Poll.settings`.

    meter_type: the byte T of request and reply. lengths: byte counts a reply's data field may have, DI and SER counted.
    echoes_ser: the reply carries the request's serial number; if not, it is not looked at. preamble, utc_offset_min: as above.
    clock_at: where the meter's own time lies in the data field (7 bytes BCD, seconds first), -1: nowhere.
    """

    meter_type: int
    lengths: tuple[int, ...]
    echoes_ser: bool = True
    preamble: int = 4
    clock_at: int = -1
    utc_offset_min: int = 480
