"""DL/T 645-2007 requests and answers. Pure.

Source: DL/T 645-2007 as quoted by public articles and code; which, says docs/decisions/0015-own-dlt645-codec.md.
"""

from __future__ import annotations

from drivers.failures import Refused, RequestFailed
from drivers.frames import (
    PREAMBLE,
    START,
    WRONG_MAX,
    Telegram,
    dlt645_frame,
    dlt645_head,
    dlt645_telegrams,
    lead_of,
    why_no_answer,
)
from drivers.identifiers import ADDRESS_BYTES, ANY_ADDRESS
from drivers.lines.contract import Found

READ = 0x11
VALUES = 0x91
CONTINUED = 0xB1
"""Values of which more follow (后续帧); never so for a single value."""
REFUSED = 0xD1
READ_ADDRESS = 0x13
ADDRESS_TOLD = 0x93
DI_BYTES = 4
NO_SUCH_VALUE = 0x02

_ERRORS = (
    "other error",
    "no such value (无请求数据)",
    "wrong password or not authorised (密码错/未授权)",
    "baud rate cannot be changed",
    "too many time zones of the year",
    "too many time slots of the day",
    "too many tariffs",
    "reserved bit 7",
)
"""What each bit of the error byte means, lowest first. Source: DL/T 645-2007 annex C, 错误信息字 ERR, by three public codes."""


class Refusal(Refused):
    """The meter answered with an error byte."""

    def __init__(self, code: int, raw: bytes) -> None:
        """code: the error byte."""
        super().__init__(f"the meter refuses: {error_words(code)}", raw=raw)
        self.code = code


def error_words(code: int) -> str:
    """Return what an error byte says, in words."""
    words = [text for bit, text in enumerate(_ERRORS) if code >> bit & 1]
    return f"{', '.join(words) or 'no reason given'} (error byte {code:02X})"


class Ask:
    """A request for one identifier of one meter. Implements `LineAsk`."""

    __slots__ = ("_head", "_wanted", "address", "answer_size", "di", "meter", "request", "signature")

    def __init__(self, address: str, di: int, size: int, preamble: int = 4) -> None:
        """address: 12 digits; size: bytes of the value; preamble: bytes FE before the frame. Raises ValueError."""
        self.address = address
        self.di = di
        self._head = dlt645_head(address)
        self._wanted = di.to_bytes(DI_BYTES, "little")
        self.request = PREAMBLE * preamble + dlt645_frame(self._head, READ, self._wanted)
        self.meter = ("dlt645", address)
        self.answer_size = preamble + len(self._head) + 2 + DI_BYTES + size + 2
        self.signature = di

    def __str__(self) -> str:
        """Return what is asked, for messages."""
        return f"identifier {self.di:08X}"

    def find(self, received: bytes) -> Found | None:
        """Return where the first answer to this request lies, values or refusal, or None."""
        for telegram in dlt645_telegrams(received, self._head):
            if self._answers(telegram):
                lead = lead_of(received, telegram.start)
                return Found(telegram.start, telegram.end, telegram.control == REFUSED, lead=lead)
        return None

    def why(self, raw: bytes) -> tuple[str, str]:
        """Return what bytes that hold no answer are: kind, and words with the likely cause."""
        return why_no_answer(raw, self.request, self._head)

    def _answers(self, telegram: Telegram) -> bool:
        if telegram.control == REFUSED:
            return len(telegram.data) == 1
        return telegram.control in (VALUES, CONTINUED) and telegram.data[:DI_BYTES] == self._wanted

    def value(self, frame: bytes, size: int) -> bytes:
        """Return the value's bytes, as the wire carries them less 33H. frame: what `find` found.

        Raises Refusal, RequestFailed on an answer of another size.
        """
        telegram = next(dlt645_telegrams(frame, self._head), None)
        if telegram is None or not self._answers(telegram):
            raise RequestFailed("no answer to this request", raw=frame)
        if telegram.control == REFUSED:
            raise Refusal(telegram.data[0], frame)
        if telegram.control == CONTINUED:
            raise RequestFailed(
                "the answer goes on in further frames, which a single value never does", raw=frame
            )
        value = telegram.data[DI_BYTES:]
        if size >= 0 and len(value) != size:
            raise RequestFailed(
                f"a value of {len(value)} bytes where the profile's format has {size}", raw=frame
            )
        return value


class AddressAsk(Ask):
    """A request for the address (通信地址) of the one meter on a line. Implements `LineAsk`."""

    __slots__ = ()

    def __init__(self, preamble: int = 4) -> None:
        """preamble: bytes FE before the frame."""
        self.address = ANY_ADDRESS
        self.di = READ_ADDRESS
        self._head = bytes((START,)) + bytes.fromhex(ANY_ADDRESS) + bytes((START,))
        self._wanted = b""
        self.request = PREAMBLE * preamble + dlt645_frame(self._head, READ_ADDRESS, b"")
        self.meter = ("dlt645", ANY_ADDRESS)
        self.answer_size = preamble + len(self._head) + 2 + ADDRESS_BYTES + 2
        self.signature = READ_ADDRESS

    def __str__(self) -> str:
        """Return what is asked, for messages."""
        return "the address"

    def find(self, received: bytes) -> Found | None:
        """Return where the first meter's answer lies, or None."""
        size = len(self._head)
        start, wrong = received.find(START), 0
        while start >= 0 and wrong < WRONG_MAX:
            head = received[start : start + size]
            end = start + size + 2 + ADDRESS_BYTES + 2
            if head[size - 1 :] == self._head[:1] and received[start + size : start + size + 1] == _TOLD:
                found = next(dlt645_telegrams(received[start:end], head), None)
                if found is not None and found.start == 0 and len(found.data) == ADDRESS_BYTES:
                    return Found(start, end, lead=lead_of(received, start))
                wrong += 1
            start = received.find(START, start + 1)
        return None

    def value(self, frame: bytes, size: int) -> bytes:
        """Return the six bytes of the address, the last two digits first. Raises RequestFailed."""
        telegram = next(dlt645_telegrams(frame, frame[: len(self._head)]), None)
        if telegram is None or not size == len(telegram.data) == ADDRESS_BYTES:
            raise RequestFailed("no address in this answer", raw=frame)
        return telegram.data


_TOLD = bytes((ADDRESS_TOLD,))
