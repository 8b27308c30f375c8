"""DL/T 645 and CJ/T 188 frames as bytes: building, cutting out, and nothing accepted that is not whole. Pure.

Both: start 68, address, control, length, data, the sum of all bytes before it modulo 256, end 16; any number of
FE before the start. Source: DL/T 645-2007 part 5 and CJ/T 188-2004 part 6 as quoted by public articles and code
(docs/decisions/0015-own-dlt645-codec.md names them); the standards themselves were not at hand.

What a sum of bytes guarantees: it sees every change of a single byte, so every flipped bit, and every burst within
one byte. Two changes that cancel each other modulo 256 go unseen; even parity on the line is the second guard.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

START = 0x68
END = 0x16
PREAMBLE = b"\xfe"
LEAD_MAX = 16  # FE before a frame taken for its own: four by the standard, some meters send more
FRAME_MAX = 4 + 12 + 255
"""Bytes of the longest frame, a preamble of four counted."""
WRONG_MAX = 32
"""Beginnings of the right meter without a right end that one search looks at; its work stays small whatever has come."""
JUDGED_MAX = 512  # bytes of what came instead of an answer; more is noise anyway
DLT_ADDRESS = 6
CJT_ADDRESS = 7
_OFFSET = 0x33
_ADDED = bytes((byte + _OFFSET) & 0xFF for byte in range(256))
_TAKEN = bytes((byte - _OFFSET) & 0xFF for byte in range(256))


class Telegram(NamedTuple):
    """One whole frame, its sum right, in received[start:end]. data: without the 33H that DL/T 645 adds.

    head: what stands before the control byte (CJ/T 188: with the meter type).
    """

    start: int
    end: int
    head: bytes
    control: int
    data: bytes


def address_bytes(digits: str) -> bytes:
    """Return an address as the wire carries it: two digits a byte, the last two first. Raises ValueError."""
    if not digits.isdecimal() or not digits.isascii():
        raise ValueError(f"address {digits!r} is not made of digits")
    return bytes.fromhex(digits)[::-1]


def dlt645_head(address: str) -> bytes:
    """Return what begins every DL/T 645 frame of this meter. Raises ValueError."""
    raw = address_bytes(address)
    if len(raw) != DLT_ADDRESS:
        raise ValueError(f"address {address!r} does not have {2 * DLT_ADDRESS} digits")
    return bytes((START,)) + raw + bytes((START,))


def cjt188_head(meter_type: int, address: str) -> bytes:
    """Return what begins every CJ/T 188 frame of this meter. Raises ValueError."""
    raw = address_bytes(address)
    if len(raw) != CJT_ADDRESS:
        raise ValueError(f"address {address!r} does not have {2 * CJT_ADDRESS} digits")
    return bytes((START, meter_type)) + raw


def dlt645_frame(head: bytes, control: int, data: bytes) -> bytes:
    """Return a whole DL/T 645 frame without preamble."""
    return _closed(head + bytes((control, len(data))) + data.translate(_ADDED))


def cjt188_frame(head: bytes, control: int, data: bytes) -> bytes:
    """Return a whole CJ/T 188 frame without preamble."""
    return _closed(head + bytes((control, len(data))) + data)


def _closed(body: bytes) -> bytes:
    return body + bytes((sum(body) & 0xFF, END))


def dlt645_telegrams(received: bytes, head: bytes) -> Iterator[Telegram]:
    """Yield the whole frames of one meter in order, each begun at its own start byte."""
    for telegram in _telegrams(received, head):
        yield telegram._replace(data=telegram.data.translate(_TAKEN))


def cjt188_telegrams(received: bytes, head: bytes) -> Iterator[Telegram]:
    """Yield the whole frames of one meter in order, each begun at its own start byte."""
    return _telegrams(received, head)


def _telegrams(received: bytes, head: bytes) -> Iterator[Telegram]:
    """Yield what is whole. A head found inside a whole frame is that frame's own affair."""
    start, wrong = received.find(head), 0
    while start >= 0 and wrong < WRONG_MAX:
        place = start + len(head)
        end = _whole_end(received, start, place)
        if end:
            yield Telegram(start, end, head, received[place], received[place + 2 : end - 2])
            start = received.find(head, end)
        else:
            wrong += 1
            start = received.find(head, start + 1)


def _whole_end(received: bytes, start: int, place: int) -> int:
    """Return where the frame ends that begins at `start` and has its control byte at `place`, 0 if it is not whole."""
    if place + 1 >= len(received):
        return 0
    end = place + 2 + received[place + 1] + 2
    if end > len(received) or received[end - 1] != END:
        return 0
    return end if sum(received[start : end - 2]) & 0xFF == received[end - 2] else 0


def lead_of(received: bytes, start: int) -> int:
    """Return how many wake-up bytes FE stand right before a frame."""
    before = received[max(0, start - LEAD_MAX) : start]
    return len(before) - len(before.rstrip(PREAMBLE))


def why_no_answer(received: bytes, request: bytes, head: bytes) -> tuple[str, str]:
    """Return what bytes that hold no answer of the meter with this head are: see `LineAsk.why`."""
    if request.lstrip(PREAMBLE) in received:
        return "echo", "the request itself: the adapter hears what it sends (echo = true)"
    if next(_telegrams(received, head), None) is not None:
        return "foreign", "an answer to something else"
    start = received.find(START, 0, JUDGED_MAX)
    while start >= 0:
        if _whole_end(received, start, start + len(head)):
            return "foreign", "a frame of another address: a second master, or another meter answers"
        start = received.find(START, start + 1, JUDGED_MAX)
    if head in received:
        return "crc", (
            "an answer with a wrong sum or cut short: check wiring, termination and bias, or two meters have one address"
        )
    return "noise", "no frame: check baud rate, parity and stop bits"


def cut_dlt645(frame: bytes) -> Telegram:
    """Return the one frame that `frame` is, preamble aside. Raises ValueError if it is not exactly one."""
    start = _unwrapped(frame)
    if len(frame) < start + 12 or frame[start + 7] != START:
        raise ValueError("no DL/T 645 frame: the second 68 is missing")
    return _sole(frame, frame[start : start + 8], dlt645_telegrams)


def cut_cjt188(frame: bytes) -> Telegram:
    """Return the one frame that `frame` is, preamble aside. Raises ValueError if it is not exactly one."""
    start = _unwrapped(frame)
    if len(frame) < start + 13:
        raise ValueError("no CJ/T 188 frame: too short")
    return _sole(frame, frame[start : start + 9], cjt188_telegrams)


def _unwrapped(frame: bytes) -> int:
    start = len(frame) - len(frame.lstrip(PREAMBLE))
    if frame[start : start + 1] != bytes((START,)):
        raise ValueError("no frame: it does not begin with 68")
    return start


def _sole(frame: bytes, head: bytes, telegrams: Callable[[bytes, bytes], Iterator[Telegram]]) -> Telegram:
    found = next(telegrams(frame, head), None)
    if found is None or found.end != len(frame):
        raise ValueError("no whole frame: length, sum or end byte is wrong")
    return found
