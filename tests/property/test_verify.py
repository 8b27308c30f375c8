"""One changed, dropped, moved or repeated message, anywhere: found at the right place, or harmless and not found."""

from __future__ import annotations

import base64
from functools import cache
from typing import TYPE_CHECKING

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.fakes.signed_feed import Feed, key_of
from tests.unit.verifying import body, feed_of, found, verified

if TYPE_CHECKING:
    from gateway.feed.recording import Message

N = 80
ALPHABET = base64.urlsafe_b64encode(bytes(range(256))) + b"."


@cache
def good() -> tuple[Message, ...]:
    return tuple(feed_of(N, Feed(meters=["m-1"], channels=["e"])))


SEQS = st.integers(1, N)


@settings(max_examples=300, deadline=None)
@given(SEQS, st.floats(0, 1, exclude_max=True), st.one_of(st.integers(0, 255), st.sampled_from(ALPHABET)))
@example(N, 0.9999, ord("B"))  # the last character of a signature has bits that mean nothing
def test_any_byte_changed_anywhere(seq: int, where: float, byte: int) -> None:
    message = good()[seq - 1]
    at = int(where * len(message.payload))
    payload = bytearray(message.payload)
    payload[at] = byte
    changed = message._replace(payload=bytes(payload))
    report = verified([*good()[: seq - 1], changed, *good()[seq:]], [key_of()])
    if changed == message:
        assert report["findings"] == []
        return
    named = found(report)
    assert named
    assert any(line == seq for _, _, line in named) or ("gap", seq, seq + 1) in named
    assert {line for _, _, line in named} <= {seq, seq + 1}
    assert report["authentic"] == N - 1


@settings(max_examples=60, deadline=None)
@given(SEQS, st.integers(0, 63), st.booleans())
def test_every_character_of_the_end_of_a_signature(seq: int, value: int, only_last: bool) -> None:
    """Also those that would stand for the same bytes."""
    message = good()[seq - 1]
    last = ALPHABET[4 * value : 4 * value + 1] if not only_last else ALPHABET[value : value + 1]
    changed = message._replace(payload=message.payload[:-1] + last)
    report = verified([*good()[: seq - 1], changed, *good()[seq:]], [key_of()])
    assert bool(report["findings"]) == (changed != message)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(SEQS, st.sampled_from(["drop", "repeat", "swap"])), min_size=1, max_size=4))
def test_drops_repeats_and_swaps(changes: list[tuple[int, str]]) -> None:
    messages = list(good())
    for seq, change in changes:
        at = min(seq, len(messages) - 2)
        if change == "drop":
            del messages[at]
        elif change == "repeat":
            messages.insert(at, messages[at])
        else:
            messages[at - 1], messages[at] = messages[at], messages[at - 1]
    report = verified(messages, [key_of()])
    seqs = [int(body(one)["seq"]) for one in messages]
    first: dict[int, int] = {}
    for line, seq in enumerate(seqs, 1):
        first.setdefault(seq, line)
    missing = set(range(min(first), max(first))) - first.keys()
    holes = {
        seq
        for one in report["findings"]
        if one["kind"] == "gap"
        for seq in range(int(one["seq"]), min(s for s in first if s > int(one["seq"])))
    }
    assert holes == missing, "every hole, and nothing else"
    order = [seq for seq in first if seq > 1]  # the birth goes on another topic
    behind = {seq for at, seq in enumerate(order) if at and seq < max(order[:at])}
    assert {int(one["seq"]) for one in report["findings"] if one["kind"] == "reordered"} == behind
    assert report["authentic"] == len(first)
    assert {one["kind"] for one in report["findings"]} <= {"gap", "reordered"}
