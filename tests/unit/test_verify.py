"""What was changed, put in, taken out or signed by somebody else is found and named."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest

from gateway.feed import jws
from gateway.feed.contract import GENESIS
from tests.fakes.signed_feed import Feed, key_of, stream
from tests.unit.verifying import altered, body, feed_of, forged, found, verified

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from gateway.feed.recording import Message

N = 150  # more than one stretch of messages whose signature is not looked at
WRONG = key_of("wrong")


@pytest.fixture(scope="module", name="good")
def _good() -> list[Message]:
    return feed_of(N)


def test_a_good_feed_has_no_findings() -> None:
    report = verified(stream(500))
    assert report["findings"] == []
    assert report["verified"]
    assert (report["messages"], report["batches"], report["authentic"]) == (501, 500, 500)
    assert report["intervals"] == 3 * 365
    assert report["key"]["source"] == "feed"
    assert report["key"]["fingerprint"] == key_of().fingerprint
    assert (report["chains"][0]["first"], report["chains"][0]["last"]) == ("1", "500")


@pytest.mark.parametrize("options", [{"every_signature": True}, {"schema": True}])
def test_a_good_feed_has_no_findings_either_way(options: dict[str, bool]) -> None:
    report = verified(stream(200), [key_of()], **options)
    assert (report["findings"], report["authentic"], report["key"]["source"]) == ([], 200, "given")


def test_few_signatures_speak_for_all(good: list[Message], monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[int] = []
    real = jws.verify

    def counted(parsed: jws.Parsed, public: Ed25519PublicKey) -> bool:
        looked.append(1)
        return real(parsed, public)

    monkeypatch.setattr(jws, "verify", counted)
    assert verified(good)["authentic"] == N
    assert len(looked) < 8
    looked.clear()
    assert verified(good, every_signature=True)["authentic"] == N
    assert len(looked) >= N


PLACES = [2, 63, 64, 65, 66, 100, N]


@pytest.mark.parametrize("seq", PLACES)
@pytest.mark.parametrize("part", [0, 1, 2])
def test_one_changed_character_is_named(good: list[Message], seq: int, part: int) -> None:
    """Of the header, the payload or the signature; any position of them is the property test's."""
    message = good[seq - 1]
    parts = message.payload.split(b".")
    at = len(parts[part]) // 2
    parts[part] = (
        parts[part][:at] + (b"A" if parts[part][at : at + 1] != b"A" else b"B") + parts[part][at + 1 :]
    )
    report = verified([*good[: seq - 1], message._replace(payload=b".".join(parts)), *good[seq:]])
    lines = [line for _, _, line in found(report)]
    assert seq in lines, report["findings"]
    assert set(lines) <= {seq, seq + 1}
    assert report["authentic"] == N - 1


@pytest.mark.parametrize("seq", PLACES)
def test_a_changed_value_is_named(good: list[Message], seq: int) -> None:
    messages = [*good[: seq - 1], altered(good[seq - 1], config="another"), *good[seq:]]
    report = verified(messages)
    assert found(report) == [("bad_signature", seq, seq)]
    assert report["authentic"] == N - 1


@pytest.mark.parametrize("seq", PLACES)
def test_a_message_signed_with_another_key_is_named(good: list[Message], seq: int) -> None:
    for kid, kind in (("", "unknown_key"), (key_of().kid, "bad_signature")):
        messages = [*good[: seq - 1], forged(good[seq - 1], WRONG, kid), *good[seq:]]
        report = verified(messages)
        assert found(report) == [(kind, seq, seq)]
        assert report["authentic"] == N - 1


def test_everything_signed_anew_with_another_key_is_found() -> None:
    """Whoever writes a whole new feed needs the key: with the one on paper nothing of it counts."""
    report = verified(feed_of(N, Feed(WRONG)), [key_of()])
    assert [kind for kind, *_ in found(report)] == ["unknown_key"]
    assert f"messages 1–{N}" in report["findings"][0]["text"]
    assert report["authentic"] == 0


def test_everything_signed_anew_under_the_name_of_the_right_key_is_found() -> None:
    liar = Feed(WRONG._replace(known=key_of().known), meters=["m-1"])
    report = verified(feed_of(N, liar), [key_of()])
    assert found(report)[0] == ("bad_signature", 1, 1)
    assert report["counts"] == {"bad_signature": N}
    assert report["authentic"] == 0


def test_a_rewritten_rest_is_named_from_its_first_message_on(good: list[Message]) -> None:
    """Whoever has no key writes the messages from 100 on anew, well linked."""
    messages, head = good[:99], jws.digest(good[98].payload)
    for message in good[99:]:
        messages.append(forged(message, WRONG, key_of().kid, prev=head, config="another"))
        head = jws.digest(messages[-1].payload)
    report = verified(messages)
    assert found(report) == [("bad_signature", seq, seq) for seq in range(100, N + 1)]
    assert report["authentic"] == 99


@pytest.mark.parametrize("seq", [3, 64, 65, N - 1])
def test_a_dropped_message_is_named(good: list[Message], seq: int) -> None:
    report = verified([*good[: seq - 1], *good[seq:]])
    assert found(report) == [("gap", seq, seq)]
    assert report["authentic"] == N - 1


def test_a_dropped_stretch_is_named_once(good: list[Message]) -> None:
    report = verified([*good[:40], *good[80:]])
    assert found(report) == [("gap", 41, 41)]
    assert report["findings"][0]["text"] == "messages 41–80 are missing"
    assert report["chains"][0]["holes"] == 40


@pytest.mark.parametrize("seq", [3, 64, 65, N])
def test_an_inserted_message_is_named_and_does_not_take_the_place_of_the_real_one(
    good: list[Message], seq: int
) -> None:
    """It comes first and is well linked, but not signed with the right key."""
    for kid, kind in (("", "unknown_key"), (key_of().kid, "bad_signature")):
        put_in = forged(good[seq - 1], WRONG, kid, config="another")
        report = verified([*good[: seq - 1], put_in, *good[seq - 1 :]])
        assert found(report) == [(kind, seq, seq)]
        assert report["authentic"] == N
        report = verified([*good[:seq], put_in, *good[seq:]])
        assert found(report) == [(kind, seq, seq + 1)]


def test_two_signed_messages_with_one_seq_are_a_fork(good: list[Message]) -> None:
    other = forged(good[99], key_of(), config="another")
    report = verified([*good, other])
    assert found(report) == [("fork", 100, N + 1)]


def test_a_signed_message_that_is_not_linked_breaks_the_chain(good: list[Message]) -> None:
    other = forged(good[99], key_of(), prev="sha256:" + 64 * "a")
    report = verified([*good[:99], other])
    assert found(report) == [("broken_chain", 100, 100)]
    report = verified([forged(good[1], key_of(), prev=GENESIS)])
    assert ("broken_chain", 2, 1) in found(report)


@pytest.mark.parametrize(
    ("changes", "text"),
    [({"covers": "1"}, "covers"), ({"head": "sha256:" + 64 * "0"}, "head is not")],
)
def test_a_checkpoint_that_lies_is_found(changes: dict[str, str], text: str) -> None:
    feed = Feed()
    messages = [*feed_of(3, feed), feed.checkpoint()]
    assert verified(messages)["verified"]
    messages[-1] = forged(messages[-1], key_of(), **changes)
    report = verified(messages)
    assert found(report) == [("bad_checkpoint", 4, 4)]
    assert text in report["findings"][0]["text"]


def test_a_state_is_not_signed_and_everything_else_is() -> None:
    feed = Feed()
    plain = feed.intervals()
    bare = plain._replace(payload=jws.parse(plain.payload).payload)
    assert found(verified([feed.state(), bare])) == [("unsigned", 0, 2)]


def test_another_algorithm_is_a_finding(good: list[Message]) -> None:
    _, payload, signature = good[1].payload.split(b".")
    for header in (b'{"alg":"none","kid":"k"}', b'{"alg":"HS256","kid":"k"}', b'{"kid":"k"}'):
        made = base64.urlsafe_b64encode(header).rstrip(b"=") + b"." + payload + b"." + signature
        report = verified([good[0], good[1]._replace(payload=made)])
        assert found(report) == [("unknown_algorithm", 0, 2)]


def test_a_message_on_the_topic_of_another_gateway_is_found(good: list[Message]) -> None:
    elsewhere = good[1]._replace(topic=good[1].topic.replace("plant-1", "plant-2"))
    assert found(verified([good[0], elsewhere])) == [("wrong_topic", 2, 2)]
    elsewhere = good[1]._replace(topic=good[1].topic.replace("/data", "/summary"))
    assert found(verified([good[0], elsewhere])) == [("wrong_topic", 2, 2)]


def test_what_is_not_of_the_contract_is_found_when_asked_for() -> None:
    feed = Feed()
    bad = feed.interval("m-1", feed.now)
    bad["channels"]["energy_active_import"]["delta"] = 12.4  # a number, not text
    messages = [feed.birth(), feed.values([bad])]
    assert verified(messages)["verified"]
    report = verified(messages, schema=True)
    assert found(report) == [("wrong_schema", 2, 2)]
    assert "delta" in report["findings"][0]["text"]


def test_payloads_without_what_the_chain_needs_are_malformed(good: list[Message]) -> None:
    for changes in ({"seq": 2}, {"seq": "02"}, {"seq": "0"}, {"prev": "none"}, {"chain": None}, {"v": 2}):
        report = verified([good[0], forged(good[1], key_of(), **changes)])
        assert found(report) == [("malformed", 0, 2)], changes


def test_the_newest_revision_needs_the_ones_before_it() -> None:
    feed = Feed(meters=["m-1"])
    start = feed.now
    messages = feed_of(3, feed)
    late = feed.values([feed.interval("m-1", start, 1, "late")])
    assert verified([*messages, late])["verified"]
    assert verified([*messages, late])["revisions"] == 1
    skipped = feed.values([feed.interval("m-1", start, 3, "late")])
    report = verified([*messages, late, skipped])
    assert [kind for kind, *_ in found(report)] == ["bad_revision"]
    assert "rev 3 of interval m-1" in report["findings"][0]["text"]


def test_a_revision_with_other_content_is_found() -> None:
    feed = Feed(meters=["m-1"])
    messages = feed_of(3, feed)
    first = body(messages[1])["intervals"][0]
    again = feed.values([first])
    assert verified([*messages, again])["verified"]  # the same again says nothing else
    other = feed.values([first | {"cause": "late"}])
    report = verified([*messages, again, other])
    assert [kind for kind, *_ in found(report)] == ["bad_revision"]
    assert "rev 0 of interval m-1" in report["findings"][0]["text"]


def test_payloads_of_any_shape_are_taken() -> None:
    """What they lack is said with --schema; they are signed, so they count."""
    shapes: list[Any] = [
        None,
        5,
        [],
        [5],
        [{}],
        [{"meter": [], "rev": 0}],
        [{"meter": {}, "rev": "x"}],
        "text",
    ]
    for intervals in shapes:
        feed = Feed()
        odd = feed.seal("data", {"intervals": intervals, "aggregates": intervals})
        assert verified([odd], [key_of()])["verified"]
        assert verified([odd], [key_of()], schema=True)["verified"] == (intervals == [])


def test_a_forged_interval_does_not_speak_against_the_real_one(good: list[Message]) -> None:
    """What it said is forgotten when its signature turns out to be bad."""
    lie = body(good[100])["intervals"]
    lie[0]["cause"] = "late"
    put_in = forged(good[100], WRONG, key_of().kid, intervals=lie)
    report = verified([*good[:100], put_in, *good[100:]])
    assert found(report) == [("bad_signature", 101, 101)]
    assert report["intervals"] == N - 1
