"""What the tests of the verifier have in common: verify messages, forge them, say what was found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from gateway.feed import jws
from gateway.feed.verify import Verifier
from tests.fakes.signed_feed import Feed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.feed.keys import Key
    from gateway.feed.recording import Message


def verified(messages: Iterable[Message], keys: Iterable[Key] = (), **options: bool) -> dict[str, Any]:
    """Return the report on messages. keys: given on paper."""
    verifier = Verifier([key.known for key in keys], **options)
    for message in messages:
        verifier.feed(message.topic, message.retain, message.payload)
    return verifier.report()


def found(report: dict[str, Any], severity: str = "finding") -> list[tuple[str, int, int]]:
    """Return (kind, seq, line) of what was found."""
    return [
        (one["kind"], int(one["seq"] or 0), one["line"])
        for one in report["findings"]
        if one["severity"] == severity
    ]


def body(message: Message) -> dict[str, Any]:
    """Return the payload of a signed message."""
    return dict(orjson.loads(jws.parse(message.payload).payload))


def forged(message: Message, signer: Key, kid: str = "", **changes: Any) -> Message:
    """Return a message with another payload, signed by `signer`."""
    payload = orjson.dumps(body(message) | changes)
    return message._replace(payload=jws.sign(signer.private, kid or signer.kid, payload))


def altered(message: Message, **changes: Any) -> Message:
    """Return a message with another payload under the old signature."""
    first, _, last = message.payload.split(b".")
    payload = jws.encode(orjson.dumps(body(message) | changes))
    return message._replace(payload=b".".join((first, payload, last)))


def feed_of(n: int, feed: Feed | None = None) -> list[Message]:
    """Return a birth (seq 1) and intervals (seq 2 … n): line and seq are the same."""
    feed = feed or Feed(meters=["m-1"], channels=["energy_active_import"])
    return [feed.birth(), *(feed.intervals() for _ in range(n - 1))]
