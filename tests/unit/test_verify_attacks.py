"""What somebody tried who wanted to hear VERIFIED although something was wrong, without touching a signature."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.feed.verify import Verifier
from tests.fakes.signed_feed import BEGIN, GATEWAY, METERS, Feed, key_of, stream, text
from tests.unit.verifying import body, feed_of, forged, found, verified

if TYPE_CHECKING:
    from gateway.feed.recording import Message

OLD, NEW, THIEF = key_of(), key_of("new"), key_of("thief")
AGAIN = "c0ffee0000000002"


def small(chain: str = "", key: object = None) -> Feed:
    return Feed(key or OLD, meters=["m-1"], channels=["e"], **({"chain": chain} if chain else {}))  # type: ignore[arg-type]


def signed(n: int) -> list[Message]:
    return [message for message in stream(n) if not message.topic.endswith("/state")]


def retained(messages: list[Message], flag: bool = True) -> list[Message]:
    return [message._replace(retain=flag) for message in messages]


def late(messages: list[Message], feed: Feed) -> list[Message]:
    return [message._replace(topic=feed.backfill) for message in messages]


@pytest.mark.parametrize("upto", [50, 100])
def test_the_retain_flag_hides_no_hole(upto: int) -> None:
    """Nobody signed it."""
    messages = signed(100)
    messages = retained(messages[:upto]) + messages[upto:]
    report = verified(messages[:50] + messages[59:], [OLD])
    assert ("gap", 51, 51) in found(report)
    assert report["missing"] == 9


def test_a_retained_measurement_is_a_finding() -> None:
    messages = feed_of(10)
    messages[4] = messages[4]._replace(retain=True)
    assert found(verified(messages)) == [("replayed", 5, 5)]


@pytest.mark.parametrize("is_late", [False, True])
def test_a_replaced_key_begins_no_other_chain(is_late: bool) -> None:
    feed, other = small(), small(AGAIN)
    messages = [*feed_of(6, feed), *feed.rotate(NEW), feed.intervals(), other.intervals(late=is_late)]
    assert found(verified(messages, [OLD])) == [("unknown_key", 1, 10)]


@pytest.mark.parametrize("is_first", [False, True])
def test_a_replaced_key_announces_none_for_the_real_chain(is_first: bool) -> None:
    """A thief of the old key has a chain of his own in which it announces his; then he goes on with the real one."""
    feed, other = small(), small(AGAIN)
    before, rotation = feed_of(6, feed), [*feed.rotate(NEW), feed.intervals()]
    theft = [other.event("key_rotated", GATEWAY, {"key": THIEF.body}, late=True)]
    feed.sealer.key = THIEF
    after = [feed.intervals() for _ in range(5)]
    messages = [*before, *theft, *rotation, *after] if is_first else [*before, *rotation, *theft, *after]
    report = verified(messages, [OLD])
    assert not report["verified"]
    assert ("unknown_key", 10, 11) in found(report)
    assert report["authentic"] <= 10


def test_a_key_replaced_twice_by_different_keys_is_a_fork() -> None:
    feed, other = small(), small(AGAIN)
    messages = [*feed_of(6, feed), other.event("key_rotated", GATEWAY, {"key": THIEF.body}, late=True)]
    report = verified([*messages, *feed.rotate(NEW)], [OLD])
    assert {"fork", "new_chain"} <= {kind for kind, *_ in found(report)}


@pytest.mark.parametrize("every", [False, True])
@pytest.mark.parametrize("n", [1, 5, 80])
def test_a_replaced_key_is_found_though_its_messages_came_first(n: int, every: bool) -> None:
    feed = small()
    before = [*feed_of(6, feed), *feed.rotate(NEW)]
    feed.sealer.key = OLD
    first = [feed.intervals() for _ in range(n)]
    report = verified([*first, *late(before, feed)], [OLD], every_signature=every)
    assert not report["verified"]
    assert ("unknown_key", 9, 1) in found(report)
    assert report["authentic"] <= 8


def test_a_chain_with_the_new_key_may_begin_when_history_is_lost() -> None:
    feed, again = small(), small(AGAIN, NEW)
    messages = [*feed_of(6, feed), *feed.rotate(NEW), again.birth()]
    messages += [again.event("chain_begins", GATEWAY, {"reason": "history_lost"}), again.intervals()]
    report = verified(messages, [OLD])
    assert (found(report), report["authentic"]) == ([], 11)


@pytest.mark.parametrize("is_late", [False, True])
def test_a_second_chain_is_told_wherever_it_comes(is_late: bool) -> None:
    feed, again = small(), small(AGAIN)
    messages = [*feed_of(6, feed), again.intervals(late=is_late), again.intervals(late=is_late)]
    report = verified(messages)
    assert (found(report), found(report, "notice")[-1][0]) == ([], "new_chain")


def test_a_chain_that_begins_while_listened_to_begins_with_its_first_message() -> None:
    feed, again = small(), small(AGAIN)
    there = feed_of(12, again)
    report = verified([*feed_of(6, feed), *there[9:]])
    assert found(report) == [("gap", 1, 7)]
    assert report["missing"] == 9


def test_what_is_announced_again_after_a_reconnection_leaves_no_finding() -> None:
    """A recorder that came in the middle: the newest retained messages come again without the flag."""
    feed = Feed()
    kept = [feed.birth(), *(feed.meter(meter) for meter in METERS)]
    for _ in range(50):
        feed.intervals()
    kept.append(feed.checkpoint())
    for _ in range(20):
        feed.intervals()
    live = [feed.intervals() for _ in range(5)]
    after = feed.intervals()
    for messages in ([*retained(kept), *live, *kept, after], [*kept, *live, after], [*live, *kept, after]):
        report = verified(messages)
        assert found(report) == []
        assert report["verified"]
        assert report["chains"][0]["speaks_for"]["first"] == "76"


def test_a_repeat_of_qos_1_is_a_notice() -> None:
    feed = small()
    messages = [*feed_of(4, feed), feed.birth(), feed.birth()]
    first, second = messages[-2:]
    report = verified([*messages, first, second])
    assert (found(report), found(report, "notice")) == ([], [("replayed", 5, 7)])
    assert found(verified([*messages, first])) == [("replayed", 5, 7)]


def test_a_broker_that_lost_a_day_is_a_notice_once_the_newest_comes() -> None:
    feed = small()
    first = [*feed_of(3, feed), feed.checkpoint()]
    rest = [feed.intervals(), feed.checkpoint()]
    report = verified([*first, *rest, *retained(first[-1:]), rest[-1], feed.intervals()])
    assert (found(report), found(report, "notice")) == ([], [("replayed", 4, 7)])


def test_an_identity_is_an_instant_and_no_text() -> None:
    feed = small()
    one = feed.interval("m-1", BEGIN)
    other = one | {"t0": "2026-08-01T00:00:00+08:00", "cause": "late"}
    same = one | {"t0": "2026-07-31T16:00:00.000+00:00"}
    messages = [feed.birth(), feed.values([one]), feed.values([same])]
    assert verified(messages)["verified"]
    assert found(verified([*messages, feed.values([other])])) == [("bad_revision", 4, 4)]


def test_a_summary_and_a_reading_have_an_identity_too() -> None:
    feed = small()
    birth, told = feed.birth(), feed.summary()
    keys = ("period", "t0", "t1", "rev", "site", "meters", "totals", "consistency", "part", "parts")
    kept = {key: body(told)[key] for key in keys}
    extra = {"aggregate": "a", "period": "month", "t0": kept["t0"], "rev": 0, "value": "1"}
    more = feed.seal("summary", kept | {"aggregates": [extra]})
    assert found(verified([birth, told, more])) == [("bad_revision", 3, 3)]
    feed = small()
    reading = {"meter": "m-1", "channel": "e", "at": text(BEGIN), "entered": text(BEGIN), "unit": "kWh"}
    messages = [feed.birth()]
    messages += [feed.seal("data", {"readings": [reading | {"value": value}]}) for value in ("1", "1", "2")]
    assert found(verified(messages)) == [("bad_revision", 4, 4)]


def test_what_another_chain_said_otherwise_is_told() -> None:
    """A notice: what is made anew after a loss may have less to go by."""
    feed, again = small(), small(AGAIN)
    messages = [feed.birth(), feed.values([feed.interval("m-1", BEGIN)]), again.birth()]
    other = feed.interval("m-1", BEGIN) | {"verification": "other"}
    report = verified([*messages, again.values([other])])
    assert ("bad_revision", 2, 4) in found(report, "notice")
    assert (
        found(verified([*messages, again.values([feed.interval("m-1", BEGIN)])]), "notice")[0][0]
        == "new_chain"
    )


def test_an_old_birth_of_a_meter_beside_a_new_index_is_found() -> None:
    feed = small()
    _, old = feed.birth(), feed.meter("m-1")
    about = body(old)["about"] | {"name": "another"}
    feed._about = lambda meter: about  # type: ignore[method-assign]
    index, new = feed.birth(), feed.meter("m-1")
    live = [feed.intervals() for _ in range(3)]
    report = verified([*retained([index, old]), *live])
    assert [kind for kind, *_ in found(report)] == ["replayed"]
    assert verified([*retained([index, new]), *live])["verified"]
    assert verified([*retained([old]), index])["verified"], "the new one may be on its way"


def test_a_birth_names_the_key_that_signs_it() -> None:
    feed = small()
    birth = forged(feed.birth(), OLD, key=THIEF.body)
    assert found(verified([birth], [OLD])) == [("unknown_key", 1, 1)]


def test_a_state_says_how_far_it_was_before_anything_came_and_offline_too() -> None:
    feed = small()
    messages = feed_of(60, feed)
    for state in (feed.state(), feed.state(online=False)):
        for order in ([state, *messages[:10]], [*messages[:10], state]):
            report = verified(order)
            assert found(report, "notice")[0][:2] == ("truncated", 60)
        assert verified([state, *messages])["notices"] == 0


def test_a_key_that_signed_nothing_here_is_told() -> None:
    other = key_of("two", "plant-2")
    report = verified(feed_of(3), [OLD, other])
    assert [key["kid"] for key in report["unused_keys"]] == [other.kid]
    assert Verifier([OLD.known]).report()["unused_keys"][0]["fingerprint"] == OLD.fingerprint


def test_a_report_names_the_site_of_a_finding_and_counts_by_chain() -> None:
    """Two sites may have the same chain id."""
    here, there = small(), Feed(gateway="plant-2", meters=["m-1"])
    messages = [*feed_of(10, here), *feed_of(10, there)]
    del messages[14]
    report = verified(messages)
    chains = {one["gateway"].rpartition("/")[2]: one for one in report["chains"]}
    assert (chains["plant-1"]["findings"], chains["plant-2"]["kinds"]) == (0, {"gap": 1})
    assert report["findings"][0]["gateway"].endswith("plant-2")
