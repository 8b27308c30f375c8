"""One message nobody signed kills no verifier, fills no memory and paints no verdict on a terminal."""

from __future__ import annotations

import gzip
import time
import tracemalloc
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from gateway.commands.verify_text import text
from gateway.feed import foreign, jws
from gateway.feed.contract import GENESIS
from gateway.feed.recording import Message, Reader
from gateway.feed.verify import Verifier
from tests.fakes.signed_feed import ENTERPRISE, GATEWAY, PREFIX, REGION, Feed, key_of
from tests.unit.verifying import feed_of, found, verified

if TYPE_CHECKING:
    from pathlib import Path

THIEF = key_of("thief")
ROOT = f"{PREFIX}/{REGION}/{ENTERPRISE}/{GATEWAY}"
ELSEWHERE = "sha256:" + 64 * "1"


def payload(*, more: bytes = b"", **said: Any) -> bytes:
    first = {"v": 1, "kind": "data", "gateway": GATEWAY, "region": REGION, "enterprise": ENTERPRISE}
    last = {"chain": "x", "seq": "1", "prev": GENESIS, "issued": "", "clock": {}, "config": ""}
    return orjson.dumps(first | last | said)[:-1] + more + b"}"


def message(body: bytes, level: str = "data", kid: str = "") -> Message:
    return Message(f"{ROOT}/{level}", jws.sign(THIEF.private, kid or THIEF.kid, body), False, 0)


def nested(n: int) -> bytes:
    return b"[" * n + b"]" * n


PLACES = [
    ("data", {}, b',"v":%s'),
    ("data", {}, b',"kind":%s'),
    ("data", {}, b',"region":%s'),
    ("data", {}, b',"intervals":[{"meter":"m","epoch":0,"t0":"t","rev":0,"z":%s}]'),
    ("data", {}, b',"intervals":[{"meter":%s,"epoch":0,"t0":"t","rev":0}]'),
    ("event", {"kind": "event"}, b',"events":[{"kind":"key_rotated","detail":{"key":{"alg":%s}}}]'),
    ("checkpoint", {"kind": "checkpoint"}, b',"covers":%s'),
    ("birth/x", {"kind": "meter"}, b',"about":{"id":%s}'),
]


@pytest.mark.parametrize("depth", [28, 300, 900, 5000])
@pytest.mark.parametrize(("level", "said", "more"), PLACES)
def test_nothing_nested_kills_it(level: str, said: dict[str, Any], more: bytes, depth: int) -> None:
    good = feed_of(3)
    report = verified([*good, message(payload(more=more % nested(depth), **said), level)], [key_of()])
    assert {line for _, _, line in found(report)} == {4}
    assert report["authentic"] == 3


@pytest.mark.parametrize("depth", [10, 300, 900, 5000])
def test_nor_a_nested_header_or_state(depth: int) -> None:
    header = jws.encode(b'{"alg":' + nested(depth) + b"}")
    nothing = Message(f"{ROOT}/data", header + b".e30.e30", False, 0)
    state = Message(f"{ROOT}/state", b'{"online":true,"chain":"x","seq":' + nested(depth) + b"}", True, 0)
    report = verified([*feed_of(3), nothing, state], [key_of()])
    assert report["authentic"] == 3
    assert 4 in {line for _, _, line in found(report)}


def test_brackets_in_texts_are_no_depth() -> None:
    feed = Feed()
    odd = feed.seal("data", {"intervals": [], "note": "[" * 100 + "}{" * 100})
    assert verified([odd], [key_of()])["verified"]
    assert foreign.is_deep(b"[" * 33 + b'"]"' + b"]" * 33, orjson.loads(b"[" * 33 + b'"]"' + b"]" * 33))


def test_a_name_that_comes_twice_is_found() -> None:
    """Readers differ in which of both they take."""
    whole = payload(chain="c", intervals=[], more=b',"intervals":[]')
    signed = Message(f"{ROOT}/data", jws.sign(key_of().private, key_of().kid, whole), False, 0)
    assert found(verified([signed], [key_of()])) == [("malformed", 0, 1)]
    other = payload(more=b', "x": {"a": 1}')  # spaces are nothing to find
    signed = Message(f"{ROOT}/data", jws.sign(key_of().private, key_of().kid, other), False, 0)
    assert verified([signed], [key_of()])["verified"]


@pytest.mark.parametrize("seq", [str(2**63 - 1), str(2**63), "99999999999999999999"])
def test_a_seq_far_away_harms_nothing_that_follows(seq: str) -> None:
    feed = Feed(meters=["m-1"])
    before, after = feed_of(4, feed), [feed.intervals() for _ in range(100)]
    for chain in ("x", feed.sealer.chain):
        forged = message(payload(seq=seq, prev=ELSEWHERE, chain=chain))
        report = verified([*before, forged, *after], [key_of()])
        assert report["authentic"] == 104
        assert {kind for kind, *_ in found(report)} <= {"malformed", "unknown_key", "gap"}
        assert report["count"] <= 2
        assert orjson.dumps(report)


@pytest.mark.parametrize("rev", [-1, 10**7, 2**62])
def test_a_great_rev_is_counted_and_not_listed(rev: int) -> None:
    for signer in (THIEF, key_of()):
        one = {"meter": "m", "epoch": 0, "t0": "t", "rev": rev}
        sent = Message(
            f"{ROOT}/data", jws.sign(signer.private, signer.kid, payload(intervals=[one])), False, 0
        )
        begin = time.process_time()
        assert verified([*feed_of(3), sent], [key_of()])["count"] >= 1
        assert time.process_time() - begin < 2


def test_what_nobody_can_prove_is_not_kept() -> None:
    verifier = Verifier([key_of().known])
    filler = "y" * 150_000
    tracemalloc.start()
    for n in range(150):
        sent = message(payload(chain=f"c{n}", filler=filler))
        verifier.feed(sent.topic, False, sent.payload)
        again = message(payload(seq=str(2 * n + 3), prev=ELSEWHERE, chain="c0", filler=filler))
        verifier.feed(again.topic, False, again.payload)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 60e6
    assert verifier.report()["authentic"] == 0


def test_strange_chains_leave_room_for_the_real_one() -> None:
    feed = Feed(meters=["m-1"])
    strange = [message(payload(chain=f"c{n}")) for n in range(1200)]
    messages = feed_of(20, feed)
    report = verified([*strange, *messages, *strange], [key_of()])
    assert report["authentic"] == 20
    assert len(report["chains"]) <= 1001


@pytest.mark.parametrize(("count", "proved"), [(40, 81), (300, 0)])
def test_rotations_that_come_backwards_end_nothing(count: int, proved: int) -> None:
    """The plant's operator holds the key, and may not end the verifier either; some are followed."""
    feed = Feed(meters=["m-1"])
    messages = [feed.birth()]
    for n in range(count):
        messages += feed.rotate(key_of(str(n)))
    sent = [one._replace(topic=feed.backfill) for one in reversed(messages)]
    report = verified(sent, [key_of()])
    assert report["verified"] == bool(proved)
    assert report["authentic"] >= proved


def test_what_came_before_its_key_is_looked_into_once_the_key_comes() -> None:
    feed = Feed(meters=["m-1"])
    lie = feed.seal("checkpoint", {"covers": "7", "head": ELSEWHERE})
    assert ("bad_checkpoint", 1, 1) in found(verified([lie, feed.birth()]))
    assert verified([feed.intervals(), feed.birth()])["intervals"] == 1


@pytest.mark.parametrize("name", ["blank.jsonl", "blank.jsonl.gz"])
def test_blank_lines_are_passed_over_quickly_and_counted(tmp_path: Path, name: str) -> None:
    lines = (
        b'\n\n{"topic": "a", "payload": "1"}\n' + b"\n" * 5_000_000 + b'{"topic": "b", "payload": "2"}\n\n'
    )
    (tmp_path / name).write_bytes(gzip.compress(lines) if name.endswith("gz") else lines)
    begin = time.process_time()
    with Reader(tmp_path / name) as reader:
        numbers = [number for number, _ in reader]
    assert numbers == [3, 5_000_004]
    assert time.process_time() - begin < 1


LIE = "k\x1b[2J\x1b[H\x1b[32mVERIFIED\x1b[8m\u202e\x9b"


def test_nothing_that_came_moves_the_cursor() -> None:
    feed = Feed()
    messages = feed_of(3, feed)
    messages += [message(payload(chain=LIE)), message(payload(), kid=LIE), message(payload(region=LIE))]
    messages.append(messages[1]._replace(topic=f"{ROOT.replace(REGION, LIE)}/data"))
    messages.append(feed.event("chain_begins", "", {"reason": LIE}))
    bad = feed.interval("m-1", feed.now) | {"meter": LIE, "rev": 5}
    messages.append(feed.values([bad, bad | {"cause": "late"}]))
    again = Feed(chain="c0ffee0000000002")
    messages += [again.birth(), again.event("chain_begins", "", {"reason": LIE})]
    for schema in (False, True):
        report = verified(messages, [key_of()], schema=schema)
        shown = text(report, 40)
        assert shown.replace("\n", "").isprintable()
        assert "\\x1b" in shown
        assert all(one["text"].isprintable() for one in report["findings"])
