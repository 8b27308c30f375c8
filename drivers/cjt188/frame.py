"""CJ/T 188 requests and answers. Pure.

Source: CJ/T 188-2004 as quoted by public articles and code; which, says docs/decisions/0015-own-dlt645-codec.md.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from drivers.failures import Refused, RequestFailed
from drivers.frames import (
    PREAMBLE,
    Telegram,
    cjt188_frame,
    cjt188_head,
    cjt188_telegrams,
    lead_of,
    why_no_answer,
)
from drivers.lines.contract import Found

if TYPE_CHECKING:
    from drivers.identifiers import CjtSettings

READ = 0x01
VALUES = 0x81
REFUSED = 0xC1
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
        self._wanted = (high_first, high_first[::-1])
        body = self._wanted[swapped] + bytes((ser,))
        self.request = PREAMBLE * settings.preamble + cjt188_frame(self._head, READ, body)
        self.meter = ("cjt188", address)
        self.answer_size = settings.preamble + _AROUND + max(settings.lengths)
        self.signature = (di, self._ser)

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
