"""Signed messages on their way from the outbox to destinations."""

from __future__ import annotations

import binascii
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

import orjson

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.feed.contract import Kind
    from gateway.model import Refusal


class Entry(NamedTuple):
    """One signed message. subject: the meter of a `meter` message, else "". time_ns: when it was signed. jws: the bytes, ASCII."""

    seq: int
    kind: Kind
    subject: str
    time_ns: int
    jws: bytes


class Former(NamedTuple):
    """A place the gateway had before: `region/enterprise/gateway`. number: rises with each. topics: retained there, below it."""

    number: int
    place: str
    topics: list[str]


class Destination(Protocol):
    """Where signed messages go. Taking one twice has the effect of once."""

    async def open(self, retained: Sequence[Entry], *, chain: str, seq: int) -> None:
        """Connect; announce state and the newest message of each retained topic. Raises SinkUnavailable."""

    async def write(self, entries: Sequence[Entry], *, late: bool) -> list[Refusal]:
        """Return the entries refused for good, once every other one is acknowledged. Raises SinkUnavailable: none may be taken for sent."""

    async def close(self) -> None:
        """Say goodbye and disconnect; never raises, may be called twice."""


@runtime_checkable
class Board(Protocol):
    """A destination where what is retained stays until it is taken away."""

    async def leave_place(self, former: Former) -> None:
        """Take away what is retained at a former place, and say offline there, as far as it may. Raises SinkUnavailable."""


_HEAD_BYTES = 1024
"""So much of a payload has the place in it, which `chain.Sealer` writes first."""


def place_of(jws: bytes) -> str:
    """Return the place a signed message names, `region/enterprise/gateway`; "": it names none."""
    begin = jws.find(b".") + 1
    text = jws[begin : begin + _HEAD_BYTES].partition(b".")[0]
    try:
        head = binascii.a2b_base64(text.translate(_URL_SAFE)[: len(text) // 4 * 4])
        body = orjson.loads(head.partition(b',"chain":')[0] + b"}")
        return "/".join((body["region"], body["enterprise"], body["gateway"]))
    except (ValueError, KeyError, TypeError):
        return ""


_URL_SAFE = bytes.maketrans(b"-_", b"+/")
