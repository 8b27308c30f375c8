"""Order, repeats, backlogs, retained messages, keys that change and chains that begin anew."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from gateway.feed.keys import Key
from gateway.feed.verify import Verifier
from tests.fakes.signed_feed import ENTERPRISE, REGION, Feed, key_of, stream
from tests.unit.verifying import altered, feed_of, forged, found, verified

if TYPE_CHECKING:
    from gateway.feed.recording import Message

NEW, WRONG = key_of("new"), key_of("wrong")


def small() -> Feed:
    return Feed(meters=["m-1"], channels=["energy_active_import"])


def late(messages: list[Message], feed: Feed) -> list[Message]:
    """Return messages as they come on the backfill topic."""
    return [message._replace(topic=feed.backfill) for message in messages]


def test_two_messages_that_changed_places_are_named() -> None:
    messages = feed_of(80)
    messages[39], messages[40] = messages[40], messages[39]
    report = verified(messages)
    assert found(report) == [("reordered", 40, 41)]
    assert report["authentic"] == 80


def test_topics_may_overtake_each_other() -> None:
    feed = small()
    messages = [feed.birth(), feed.intervals(), feed.event("link_up"), feed.intervals()]
    messages[1], messages[2] = messages[2], messages[1]
    assert verified(messages)["findings"] == []


def test_repeats_are_no_findings() -> None:
    messages = feed_of(80)
    report = verified([*messages[:50], *messages[45:80], messages[2]])
    assert report["findings"] == []
    assert (report["repeats"], report["batches"], report["intervals"]) == (6, 80, 79)


def test_live_first_and_the_backlog_behind() -> None:
    feed = small()
    messages = feed_of(300, feed)
    shuffled = [*messages[:100], *messages[200:250], *late(messages[100:200], feed), *messages[250:]]
    report = verified(shuffled)
    assert report["findings"] == []
    assert report["authentic"] == 300
    mixed = [
        *messages[:100],
        *(one for pair in zip(messages[200:], late(messages[100:200], feed), strict=True) for one in pair),
    ]
    assert verified(mixed)["findings"] == []


def test_what_is_sent_again_is_a_notice() -> None:
    feed = small()
    messages = feed_of(60, feed)
    again = [*messages[:10], *messages[20:40], *late(messages[50:], feed), *late(messages[10:20], feed)]
    report = verified([*again, *late(messages[40:50], feed)])
    assert found(report) == []
    assert found(report, "notice") == [("reordered", 11, 41)]


@pytest.mark.parametrize("seed", range(8))
def test_any_order_is_verified_and_a_forgery_found_in_any(seed: int) -> None:
    chance = random.Random(seed)
    feed = small()
    messages = feed_of(120, feed)
    bad = chance.randrange(1, 120)
    shuffled = late(messages[1:], feed)
    chance.shuffle(shuffled)
    assert verified([messages[0], *shuffled])["authentic"] == 120
    assert found(verified([messages[0], *shuffled])) == []
    at = next(place for place, one in enumerate(shuffled) if one.payload == messages[bad].payload)
    shuffled[at] = altered(shuffled[at], config="another")
    report = verified([messages[0], *shuffled])
    assert found(report) == [("bad_signature", bad + 1, at + 2)]


def test_retained_messages_from_before_the_recording_leave_no_holes() -> None:
    feed = small()
    messages = feed_of(20, feed)
    messages += [feed.meter("m-1"), *(feed.intervals() for _ in range(30)), feed.checkpoint()]
    messages += [feed.intervals() for _ in range(30)]
    kept = [messages[20], messages[51], messages[0]]
    report = verified([*(message._replace(retain=True) for message in kept), *messages[60:]])
    assert report["findings"] == []
    assert report["authentic"] == 3 + len(messages) - 60


def test_what_lies_under_the_first_live_message_may_be_from_before() -> None:
    feed = small()
    messages = feed_of(100, feed)
    birth = messages[0]._replace(retain=True)
    report = verified([birth, messages[80], *late(messages[20:50], feed), *messages[81:]])
    assert found(report) == []
    assert found(report, "notice") == [("gap", 51, 2)]
    torn = [birth, messages[80], *late(messages[20:30] + messages[31:50], feed), *messages[81:]]
    assert found(verified(torn)) == [("gap", 31, 13)]


def test_an_old_birth_again_is_found() -> None:
    feed = small()
    messages = [*feed_of(10, feed), feed.birth(), feed.intervals()]
    for retain in (True, False):
        again = messages[0]._replace(retain=retain)
        report = verified([*messages, again])
        assert found(report) == [("replayed", 1, 13)]
    assert verified([*messages, messages[10]._replace(retain=True)])["findings"] == []
    assert verified([*messages, *late([messages[0]], feed)])["findings"] == []


def test_a_rotation_signed_with_the_old_key_goes_on() -> None:
    feed = small()
    messages = [*feed_of(70, feed), *feed.rotate(NEW), *(feed.intervals() for _ in range(70))]
    for keys in ([], [key_of()]):
        report = verified(messages, keys)
        assert report["findings"] == []
        assert report["authentic"] == 142
        assert [one["source"] for one in report["keys"]] == ["given" if keys else "feed", "rotation"]
    assert verified(messages, every_signature=True)["findings"] == []


def test_with_the_new_key_on_paper_the_chain_before_it_is_proved_too() -> None:
    feed = small()
    messages = [*feed_of(70, feed), *feed.rotate(NEW), feed.intervals()]
    report = verified(messages, [NEW])
    assert (found(report), report["authentic"]) == ([], 73)


@pytest.mark.parametrize("signer", [NEW, WRONG])
def test_a_rotation_that_the_old_key_did_not_sign_is_found(signer: object) -> None:
    feed = small()
    messages = feed_of(70, feed)
    messages += feed.rotate(NEW, signed_by=NEW if signer is NEW else WRONG)
    messages += [feed.intervals() for _ in range(70)]
    report = verified(messages)
    assert {kind for kind, *_ in found(report)} == {"unknown_key"}
    assert found(report)[0] == ("unknown_key", 71, 71)
    assert report["authentic"] == 70


def test_the_old_key_signs_nothing_after_its_rotation() -> None:
    feed = small()
    messages = [*feed_of(20, feed), *feed.rotate(NEW), *(feed.intervals() for _ in range(20))]
    messages.append(forged(feed.intervals(), key_of()))
    report = verified(messages)
    assert found(report) == [("unknown_key", 43, 43)]
    assert "replaced" in report["findings"][0]["text"]


def test_nor_where_the_new_key_goes_on_behind_it() -> None:
    feed = small()
    messages = [*feed_of(20, feed), *feed.rotate(NEW), feed.intervals()]
    feed.sealer.key = key_of()
    messages.append(feed.intervals())
    feed.sealer.key = NEW
    messages += [feed.intervals() for _ in range(5)]
    assert found(verified(messages)) == [("unknown_key", 24, 24)]


def test_a_rotation_in_the_backlog_behind_messages_of_the_new_key() -> None:
    feed = small()
    before = feed_of(100, feed)
    rotation = feed.rotate(NEW)
    after = [feed.intervals() for _ in range(200)]
    report = verified([*before[:50], *after, *late([*before[50:], *rotation], feed)])
    assert report["findings"] == []
    assert report["authentic"] == 302


def test_without_any_birth_nothing_is_proved() -> None:
    report = verified(feed_of(40)[1:])
    assert [kind for kind, *_ in found(report)] == ["unknown_key"]
    assert "give --key" in report["findings"][0]["text"]
    assert (report["authentic"], report["key"]) == (0, None)
    assert verified(feed_of(40)[1:], [key_of()])["authentic"] == 39


def test_messages_before_the_first_birth_are_proved_by_it() -> None:
    feed = small()
    messages = [*(feed.intervals() for _ in range(200)), feed.birth()]
    report = verified(messages)
    assert (report["findings"], report["authentic"]) == ([], 201)


def test_a_birth_that_is_not_signed_with_its_own_key_is_not_believed() -> None:
    messages = feed_of(5)
    lie = forged(messages[0], WRONG, key_of().kid)
    report = verified([lie, *messages[1:]])
    assert found(report) == [("bad_signature", 1, 1), ("unknown_key", 2, 2)]
    assert report["authentic"] == 0
    other = verified([forged(messages[0], key_of(), key={"kid": "x"}), *messages[1:]])
    assert found(other)[0] == ("malformed", 1, 1)


def test_a_second_chain_is_a_notice_and_says_why() -> None:
    feed = small()
    again = Feed(chain="c0ffee0000000002", meters=["m-1"], begin=feed.now)
    messages = feed_of(20, feed)
    messages += [again.birth(), again.event("chain_begins", "", {"reason": "history_lost"})]
    report = verified(messages)
    assert found(report) == []
    assert found(report, "notice") == [("new_chain", 1, 21)]
    assert "history_lost" in report["findings"][0]["text"]
    report = verified([*messages, feed.intervals()])
    assert found(report) == [("new_chain", 21, 23)]
    report = verified([*messages, messages[0]._replace(retain=True)])
    assert found(report) == [("replayed", 1, 23)]


def test_two_gateways_in_one_recording() -> None:
    here, there = small(), Feed(gateway="plant-2", meters=["m-1"])
    messages = [one for pair in zip(feed_of(50, here), feed_of(50, there), strict=True) for one in pair]
    report = verified(messages)
    assert (report["findings"], report["authentic"], len(report["keys"])) == ([], 100, 2)


def test_a_key_speaks_for_its_own_gateway_alone() -> None:
    """Whoever holds one gateway's key cannot speak for another one."""
    own, other = key_of(), key_of("two", "plant-2")
    liar = Feed(Key.of(own.private, "plant-2"), gateway="plant-2", meters=["m-1"])
    report = verified(feed_of(10, liar), [own, other])
    assert found(report) == [("unknown_key", 1, 1)]
    named = Feed(own, gateway="plant-2", meters=["m-1"])
    assert found(verified(feed_of(10, named), [own, other])) == [("unknown_key", 1, 1)]
    assert found(verified(feed_of(10, named)))[0] == ("malformed", 11, 1)


def test_with_keys_from_paper_no_birth_is_believed() -> None:
    there = Feed(key_of("two", "plant-2"), gateway="plant-2", meters=["m-1"])
    report = verified([*feed_of(5), *feed_of(5, there)], [key_of()])
    assert found(report) == [("unknown_key", 1, 6)]
    assert report["authentic"] == 5


def test_a_key_bound_to_a_site_speaks_for_no_other_enterprise() -> None:
    """Two enterprises may both have a gateway plant-1."""
    own, other = key_of(), key_of("two")
    site, there = f"{REGION}/{ENTERPRISE}/plant-1", f"{REGION}/ANOTHER/plant-1"
    messages = feed_of(5)
    for keys, authentic in (
        ({site: [own.known], there: [other.known]}, 5),
        ({site: [other.known], there: [own.known]}, 0),
        ({"plant-1": [own.known]}, 5),
        ({site: [other.known], "plant-1": [own.known]}, 0),
        ({}, 0),
    ):
        verifier = Verifier(keys)
        for message in messages:
            verifier.feed(message.topic, message.retain, message.payload)
        assert verifier.report()["authentic"] == authentic


def test_the_report_may_be_asked_for_at_any_time() -> None:
    messages = list(stream(150))
    verifier = Verifier()
    for number, message in enumerate(messages):
        verifier.feed(message.topic, message.retain, message.payload)
        if number % 10 == 0:
            assert verifier.report() == verifier.report()
            assert verifier.report()["authentic"] == number
    verifier.feed(messages[-1].topic, False, b"spoiled")
    assert verifier.report()["count"] == verifier.report()["count"] == 1


def test_memory_does_not_grow_with_findings() -> None:
    verifier = Verifier()
    message = feed_of(2)[1]
    for _ in range(1000):
        verifier.feed(message.topic, False, b"nonsense")
    report = verifier.report()
    assert (len(report["findings"]), report["counts"]) == (200, {"malformed": 1000})
