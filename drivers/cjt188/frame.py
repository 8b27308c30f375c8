"""CJ/T 188 requests and answers. Pure.

Source: CJ/T 188-2004 as quoted by public articles and code; which, says docs/decisions/0015-own-dlt645-codec.md.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from drivers.failures import Refused, RequestFailed
from drivers.frames import (
    PREAMBLE,
    START,
    WRONG_MAX,
    Telegram,
    cjt188_frame,
    cjt188_head,
    cjt188_telegrams,
    lead_of,
    why_no_answer,
)
from drivers.identifiers import CJT_ADDRESS_DI, CJT_ANY_ADDRESS
from drivers.lines.contract import Found

if TYPE_CHECKING:
    from collections.abc import Hashable

    from drivers.identifiers import CjtSettings

READ = 0x01
VALUES = 0x81
REFUSED = 0xC1
READ_ADDRESS = 0x03
ADDRESS_TOLD = 0x83
ANY_TYPE = 0xAA
"""In place of the meter type in a request to whoever is alone on the line. Source: as `identifiers.CJT_ANY_ADDRESS`."""
DI_BYTES = 2
SER_AT = 2
HEAD_BYTES = 3
"""Identifier and serial number, which begin the data field of request and reply."""
CLOCK_BYTES = 7
_AROUND = 11 + 2  # bytes of a reply beside its data field


class Refusal(Refused):
    """The meter answered that it cannot. What its status bytes mean, no source at hand says."""

    def __init__(self, data: bytes, raw: bytes) -> None:
        """data: the refusal's data field."""
        super().__init__(f"the meter refuses (control C1, data {data.hex(' ') or 'none'})", raw=raw)


class Ask:
    """One request for one identifier of one meter. Implements `LineAsk`.

    swapped: identifier low byte first (1F 90), as meters of the 2018 edition are said to send it; both are taken in the answer.
    """

    __slots__ = ("_head", "_ser", "_wanted", "address", "answer_size", "di", "meter", "request", "signature")

    def __init__(
        self, address: str, di: int, ser: int, settings: CjtSettings, *, swapped: bool = False
    ) -> None:
        """address: 14 digits. ser: serial number 0..255 of the request. Raises ValueError."""
        self.address = address
        self.di = di
        self._ser = ser if settings.echoes_ser else -1
        self._head = cjt188_head(settings.meter_type, address)
        high_first = di.to_bytes(DI_BYTES, "big")
        self._wanted: tuple[bytes, ...] = (high_first, high_first[::-1])
        body = self._wanted[swapped] + bytes((ser,))
        self.request = PREAMBLE * settings.preamble + cjt188_frame(self._head, READ, body)
        self.meter = ("cjt188", address)
        self.answer_size = settings.preamble + _AROUND + max(settings.lengths)
        self.signature: Hashable = (di, self._ser)

    def __str__(self) -> str:
        """Return what is asked, for messages."""
        return f"identifier {self.di:04X}"

    def find(self, received: bytes) -> Found | None:
        """Return where the first answer to this request lies, values or refusal, or None."""
        for telegram in cjt188_telegrams(received, self._head):
            if self._answers(telegram):
                lead = lead_of(received, telegram.start)
                return Found(telegram.start, telegram.end, telegram.control == REFUSED, lead=lead)
        return None

    def why(self, raw: bytes) -> tuple[str, str]:
        """Return what bytes that hold no answer are: kind, and words with the likely cause."""
        return why_no_answer(raw, self.request, self._head)

    def _answers(self, telegram: Telegram) -> bool:
        data = telegram.data
        if telegram.control == REFUSED:
            return True
        if telegram.control != VALUES or len(data) < HEAD_BYTES or data[:DI_BYTES] not in self._wanted:
            return False
        return self._ser < 0 or data[SER_AT] == self._ser

    def data(self, frame: bytes) -> bytes:
        """Return the reply's data field, identifier and serial number included. frame: what `find` found.

        Raises Refusal, RequestFailed.
        """
        telegram = next(cjt188_telegrams(frame, self._head), None)
        if telegram is None or not self._answers(telegram):
            raise RequestFailed("no answer to this request", raw=frame)
        if telegram.control == REFUSED:
            raise Refusal(telegram.data, frame)
        return telegram.data


class AddressAsk(Ask):
    """A request for type and address (读地址) of the one meter on a line. Implements `LineAsk`.

    An answer must have the identifier in the order asked and the request's serial number, so that none is mistaken for
    that of another request: all public frames of this answer have both.
    """

    __slots__ = ("_type",)

    def __init__(self, ser: int, meter_type: int, preamble: int = 4, *, swapped: bool = False) -> None:
        """ser: serial number 0..255. meter_type: `ANY_TYPE`, or the only one that shall answer."""
        self.address = CJT_ANY_ADDRESS
        self.di = CJT_ADDRESS_DI
        self._type = meter_type
        self._ser = ser
        self._head = bytes((START, meter_type)) + bytes.fromhex(CJT_ANY_ADDRESS)
        high_first = CJT_ADDRESS_DI.to_bytes(DI_BYTES, "big")
        self._wanted = (high_first[::-1] if swapped else high_first,)
        body = self._wanted[0] + bytes((ser,))
        self.request = PREAMBLE * preamble + cjt188_frame(self._head, READ_ADDRESS, body)
        self.meter = ("cjt188", CJT_ANY_ADDRESS)
        self.answer_size = preamble + _AROUND + HEAD_BYTES
        self.signature = (self._wanted[0], ser)

    def __str__(self) -> str:
        """Return what is asked, for messages."""
        return "the address"

    def find(self, received: bytes) -> Found | None:
        """Return where the first meter's answer lies, or None."""
        size, told = len(self._head), bytes((ADDRESS_TOLD,))
        start, wrong = received.find(START), 0
        while start >= 0 and wrong < WRONG_MAX:
            end = start + _AROUND + HEAD_BYTES
            if received[start + size : start + size + 1] == told:
                if self._told(received[start:end]):
                    return Found(start, end, lead=lead_of(received, start))
                wrong += 1
            start = received.find(START, start + 1)
        return None

    def data(self, frame: bytes) -> bytes:
        """Return the meter's type and the seven bytes of its address, the last two digits first. Raises RequestFailed."""
        if not self._told(frame):
            raise RequestFailed("no address in this answer", raw=frame)
        return frame[1 : len(self._head)]

    def _told(self, frame: bytes) -> bool:
        head = frame[: len(self._head)]
        if self._type not in (ANY_TYPE, *head[1:2]) or not head[2:].hex().isdecimal():
            return False
        telegram = next(cjt188_telegrams(frame, head), None)
        return (
            telegram is not None
            and (telegram.start, telegram.end) == (0, len(frame))
            and telegram.control == ADDRESS_TOLD
            and telegram.data == self._wanted[0] + bytes((self._ser,))
        )


def clock_s(raw: bytes, utc_offset_min: int) -> float | None:
    """Return a meter's own time (7 bytes BCD: ss mm hh DD MM, year low byte first) in seconds since the Unix epoch.

    None if it is no time. Source: CJ/T 188 water example (2015-05-11 22:01:31 as 31 01 22 11 05 15 20).
    """
    text = raw.hex()
    if len(raw) != CLOCK_BYTES or not text.isdecimal():
        return None
    second, minute, hour, day, month, low, high = (int(text[i : i + 2]) for i in range(0, len(text), 2))
    try:
        local = datetime(100 * high + low, month, day, hour, minute, second, tzinfo=UTC)
        return (local - timedelta(minutes=utc_offset_min)).timestamp()
    except (ValueError, OverflowError):  # a lost clock may show the first hours of the year 1
        return None
