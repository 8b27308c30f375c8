"""Sealing and recording: what is sealed is of the contract and linked, what is not committed never was; recordings keep every byte."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from gateway.feed import contract, jws
from gateway.feed.chain import Place, Sealer, TooLong
from gateway.feed.recording import LINE_BYTES_MAX, Message, Reader, Spoiled, Writer
from tests.fakes.signed_feed import CONFIG, Feed, key_of, recording, stream
from tests.unit.verifying import verified

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.feed.entries import Entry

MORE: dict[str, Any] = {
    "time_ns": 1,
    "issued": "2026-08-01T00:00:00.000+08:00",
    "clock": {"synchronised": True},
    "config": CONFIG,
}


def sealer(place: Place | None = None) -> Sealer:
    return Sealer(key_of(), gateway="plant-1", region="440300", enterprise="x", place=place or Place("c1"))


def event(one: Sealer) -> Entry:
    return one.seal("event", "", {"events": []}, **MORE)


def test_messages_are_linked_signed_and_of_the_contract() -> None:
    prev = contract.GENESIS
    for seq, message in enumerate(list(stream(60))[1:], 1):
        parsed = jws.parse(message.payload)
        assert jws.verify(parsed, key_of().public)
        body = orjson.loads(parsed.payload)
        model = contract.MESSAGES[body["kind"]]
        model.model_validate(body, strict=True)
        assert list(body) == list(model.model_fields), "in the order of the model"
        assert (body["seq"], body["prev"]) == (str(seq), prev)
        prev = jws.digest(message.payload)


def test_a_fork_that_is_not_kept_never_was() -> None:
    one = sealer()
    event(one)
    place = one.place
    draft = one.fork()
    first = event(draft)
    assert one.place == place
    assert event(one) == first, "the same again, to the byte: Ed25519 is deterministic"
    assert one.place == draft.place


def test_it_goes_on_where_it_was() -> None:
    one = sealer()
    event(one)
    again = sealer(Place(one.chain, one.seq, one.head))
    assert event(again) == event(one)
    assert one.seq == 2


def test_what_is_too_long_is_not_sealed() -> None:
    one = sealer()
    with pytest.raises(TooLong, match="event message"):
        one.seal("event", "", {"events": [], "x": "y" * 200_000}, **MORE)
    assert one.place == Place("c1")


def test_a_body_may_not_speak_for_the_chain() -> None:
    with pytest.raises(ValueError, match="seq"):
        sealer().seal("event", "", {"seq": "9"}, **MORE)


@pytest.mark.parametrize("name", ["feed.jsonl", "feed.jsonl.gz"])
def test_a_recording_keeps_every_message(tmp_path: Path, name: str) -> None:
    messages = list(stream(30))
    for half in (messages[:10], messages[10:]):  # appended to
        with Writer(tmp_path / name) as file:
            for message in half:
                file.write(message)
            file.flush()
    with Reader(tmp_path / name) as found:
        assert list(found) == list(enumerate(messages, 1))
        assert 0 < found.size == found.bytes_read


def read(path: Path) -> list[tuple[int, Message | Spoiled]]:
    with Reader(path) as found:
        return list(found)


@pytest.mark.parametrize("cut", [1, 100, 5000])
def test_a_cut_recording_says_where(tmp_path: Path, cut: int) -> None:
    recording(tmp_path / "a.jsonl", 20)
    whole = (tmp_path / "a.jsonl").read_bytes()
    (tmp_path / "b.jsonl").write_bytes(whole[: -cut - 1])
    assert read(tmp_path / "b.jsonl")[-1] == (
        21,
        Spoiled("the file ends in the middle of this line", is_cut=True),
    )
    (tmp_path / "c.jsonl.gz").write_bytes(gzip.compress(whole)[:-cut])
    number, last = read(tmp_path / "c.jsonl.gz")[-1]
    assert isinstance(last, Spoiled)
    assert last.is_cut
    assert number <= 22


def test_lines_that_are_no_messages_are_passed_over(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    bad = [b"no json", b"[]", b'{"topic":1}', b"x" * (3 * LINE_BYTES_MAX), b"\xff\xfe", b""]
    good = b'{"t":1,"topic":"a","retain":false,"payload":"b"}'
    file.write_bytes(b"\n".join([*bad, good]) + b"\n")
    found = read(file)
    assert [number for number, one in found if isinstance(one, Spoiled)] == [1, 2, 3, 4, 5]
    assert found[-1] == (7, Message("a", b"b", False, 1))


def test_a_feed_from_the_fake_goes_on_after_its_recording(tmp_path: Path) -> None:
    feed = recording(tmp_path / "a.jsonl", 20)
    messages = [one for _, one in read(tmp_path / "a.jsonl") if isinstance(one, Message)]
    assert verified([*messages, feed.intervals()])["authentic"] == 21
    assert isinstance(feed, Feed)
