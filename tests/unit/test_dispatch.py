"""One destination's task: at least once, live first, in order, outages told once, refusals recorded and skipped."""

from __future__ import annotations

import asyncio
import math

import pytest

from gateway.clock import sleep_for
from simulators.virtual import run
from tests.fakes.outbox import FakeOutbox
from tests.unit.dispatch_rig import Rig

DOWN = "destination down; messages wait in the outbox"


def test_messages_go_live_as_they_are_signed() -> None:
    async def main() -> None:
        rig = Rig()
        async with rig.running():
            await rig.signing(10)
            assert rig.destination.seqs(late=False) == list(range(1, 11))
            at_s = [at_s for *_, at_s in rig.destination.taken]
            assert all(at < n + 0.1 for n, at in enumerate(at_s))
        assert rig.dispatcher.figures() == {
            "delivered": 10, "pending": 0, "backlog": 0, "refused": 0, "missed": 0, "resent": 0, "live_seq": 11,
            "refusals": [],
        }  # fmt: skip

    run(main())


def test_after_an_outage_live_goes_first_and_the_backlog_behind_it_at_its_rate_and_marked() -> None:
    async def main() -> None:
        rig = Rig(backlog_rate=2.0)
        async with rig.running() as logs:
            await rig.signing(5)
            rig.destination.away = "no route"
            await rig.signing(100)
            rig.destination.away = ""
            back_s = rig.clock.monotonic()
            await rig.signing(120)
            assert rig.dispatcher.pending == 0
        late, live = rig.destination.seqs(late=True), rig.destination.seqs(late=False)
        assert sorted(late + live) == list(range(1, 226))
        assert late == sorted(late)
        assert live == sorted(live)
        assert late[0] == 6
        assert len(late) > 95
        times = {seq: at_s for seq, _, at_s in rig.destination.taken}
        assert all(times[seq] - (seq - 1) < 0.5 for seq in live if seq > 140), "live waits for no backlog"
        assert times[late[-1]] - back_s > len(late) / 2.0 - 2
        assert [entry["event"] for entry in logs].count(DOWN) == 1

    run(main())


def test_a_short_outage_makes_no_backlog() -> None:
    async def main() -> None:
        rig = Rig()
        async with rig.running():
            await rig.signing(5)
            rig.destination.away = "no route"
            await rig.signing(3)
            rig.destination.away = ""
            await rig.signing(5)
        assert rig.destination.seqs(late=False) == list(range(1, 14))

    run(main())


def test_a_long_lag_is_backlog_however_short_the_outage() -> None:
    async def main() -> None:
        rig = Rig(backlog_rate=1000.0)
        rig.outbox.add(count=600)
        async with rig.running():
            await asyncio.sleep(20)
        assert rig.destination.seqs(late=True) == list(range(1, 601))

    run(main())


def test_what_is_signed_while_retained_messages_are_announced_goes_live() -> None:
    """Else a topic would keep an older birth than there is."""

    async def main() -> None:
        rig = Rig()
        rig.outbox.add("birth")
        async with rig.running():
            await asyncio.sleep(1)
            rig.destination.away = "no route"
            rig.outbox.add(count=3)
            await asyncio.sleep(60)
            rig.destination.away = ""
            rig.destination.opening = lambda: rig.outbox.add("birth")
            await asyncio.sleep(60)
        assert rig.destination.announced[-1][0] == [1]
        assert 5 in rig.destination.seqs(late=False)
        assert rig.destination.seqs(late=True) == [2, 3, 4]

    run(main())


def test_no_topic_gets_a_newer_message_before_an_older_one() -> None:
    """After a moment's outage what waits goes live, so it is not announced before."""

    async def main() -> None:
        rig = Rig()
        rig.outbox.add("birth")
        async with rig.running():
            await asyncio.sleep(1)
            rig.destination.away = "no route"
            rig.outbox.add("birth", count=2)
            await asyncio.sleep(1)
            rig.destination.away = ""
            await asyncio.sleep(2)
        assert rig.destination.announced[-1][0] == [], "not 3, since 2 is still to go to the same topic"
        assert rig.destination.seqs(late=False) == [1, 2, 3]

    run(main())


def test_it_is_told_the_chain_its_newest_message_and_what_is_retained() -> None:
    async def main() -> None:
        rig = Rig()
        for kind, meter in (("birth", ""), ("meter", "m1"), ("meter", "m2"), ("data", ""), ("meter", "m1")):
            rig.outbox.add(kind, meter)  # type: ignore[arg-type]
        async with rig.running():
            await asyncio.sleep(1)
        again = Rig(rig.outbox, body=rig.outbox.saved["reg"])
        async with again.running():
            await asyncio.sleep(1)
        assert again.destination.announced == [([1, 3, 5], rig.outbox.chain, 5)]

    run(main())


def test_a_lost_acknowledgement_repeats_the_same_bytes_and_counts_once() -> None:
    async def main() -> None:
        rig = Rig()
        async with rig.running():
            rig.destination.doubtful = True
            await rig.signing(2)
            rig.destination.doubtful = False
            await rig.signing(20)
        assert len(rig.destination.seqs()) > 22
        assert set(rig.destination.seqs()) == set(range(1, 23))
        assert all(len(kept) == 1 for kept in rig.destination.bytes.values())
        assert rig.dispatcher.figures()["delivered"] == 22

    run(main())


def test_a_refused_message_is_recorded_told_and_skipped() -> None:
    async def main() -> None:
        rig = Rig()
        rig.destination.refuse = lambda one: "too large" if one.seq in {3, 4} else ""
        rig.outbox.add(count=6)
        async with rig.running() as logs:
            await asyncio.sleep(1)
            assert rig.health.state == "up"
            rig.destination.refuse = lambda one: "too large" if one.seq == 7 else ""
            rig.outbox.add(count=2)
            await asyncio.sleep(2)
        figures = rig.dispatcher.figures()
        assert (figures["delivered"], figures["refused"], figures["pending"]) == (5, 3, 0)
        assert figures["refusals"][0] == {"seq": 3, "reason": "too large"}
        detail = {"seq": "4", "message": "data", "count": 2, "reason": "too large"}
        assert rig.told == [("message_refused", "reg", detail)], "once an hour: an event is a message itself"
        assert [entry["seq"] for entry in logs if "refuses" in entry["event"]] == [4, 7]
        assert rig.outbox.saved["reg"]["refusals"][-1] == [7, "too large"]

    run(main())


def test_positions_are_saved_once_a_second_and_at_the_end_and_nothing_goes_twice_after() -> None:
    async def main() -> None:
        rig = Rig()
        async with rig.running():
            for _ in range(100):
                rig.outbox.add()
                await asyncio.sleep(0.1)
            assert 8 <= rig.outbox.saves <= 12
            rig.outbox.add()
            await asyncio.sleep(0.01)
        assert rig.outbox.saved["reg"]["live"] == 102
        saves = rig.outbox.saves
        again = Rig(rig.outbox, body=rig.outbox.saved["reg"])
        async with again.running():
            await asyncio.sleep(10)
        assert again.destination.seqs() == []
        assert again.outbox.saves == saves, "nothing to save"

    run(main())


def test_an_idle_dispatcher_saves_what_it_did() -> None:
    async def main() -> None:
        rig = Rig()
        async with rig.running():
            rig.outbox.add(count=2)
            await asyncio.sleep(0.5)
            rig.outbox.add()
            await asyncio.sleep(1.5)
            assert rig.outbox.saved["reg"]["live"] == 4

    run(main())


def test_what_waited_for_the_gateway_is_late() -> None:
    async def main() -> None:
        rig = Rig()
        rig.outbox.add(count=2)
        async with rig.running():
            await asyncio.sleep(2)
        rig.outbox.add(count=3)
        again = Rig(rig.outbox, body=rig.outbox.saved["reg"])
        async with again.running():
            await asyncio.sleep(2)
        assert again.destination.seqs(late=True) == [3, 4, 5]

    run(main())


def test_a_new_destination_begins_at_what_is_signed_next_unless_told_otherwise() -> None:
    async def main() -> None:
        outbox = FakeOutbox()
        outbox.add(count=5)
        outbox.drop(3)
        new, first = Rig(outbox, first=None), Rig(outbox, first=1)
        async with new.running(), first.running():
            outbox.add()
            await asyncio.sleep(1)
        assert new.destination.seqs() == [6]
        assert first.destination.seqs() == [3, 4, 5, 6]

    run(main())


def test_a_disk_that_cannot_be_read_is_an_outage_and_one_that_cannot_be_written_none() -> None:
    async def main() -> None:
        rig = Rig()
        async with rig.running() as logs:
            await rig.signing(3)
            rig.outbox.fails_saving = "disk full"
            await rig.signing(100)
            assert rig.destination.seqs(late=False) == list(range(1, 104))
            assert rig.health.state == "up"
            assert 3 <= len([entry for entry in logs if "cannot be saved" in entry["event"]]) <= 8
            rig.outbox.fails = "disk gone"
            await rig.signing(60)
            assert (rig.health.state, rig.health.error) == ("down", "disk gone")
            rig.outbox.fails = rig.outbox.fails_saving = ""
            await rig.signing(60)
            assert rig.dispatcher.pending == 0
            assert sorted(rig.destination.seqs()) == list(range(1, 224))
            await asyncio.sleep(70)
            assert rig.outbox.saved["reg"]["delivered"] == 223

    run(main())


@pytest.mark.parametrize(
    ("asked_s", "waited_s"), [(40, 40), (1e9, 300), (math.inf, 300), (-5, 0.25), (0, 0.25)]
)
def test_what_the_destination_asks_to_wait_is_waited_within_reason(asked_s: float, waited_s: float) -> None:
    async def main() -> None:
        rig = Rig()
        rig.destination.away, rig.destination.retry_after_s = "429", asked_s
        rig.outbox.add()
        async with rig.running():
            await asyncio.sleep(0.1)
            rig.destination.away = ""
            await asyncio.sleep(310)
            assert waited_s <= rig.destination.taken[0][2] < waited_s + 0.1

    run(main())


def test_sent_again_on_request_late_and_once() -> None:
    async def main() -> None:
        rig = Rig(backlog_rate=10.0)
        rig.outbox.add(count=50)
        async with rig.running():
            await asyncio.sleep(1)
            rig.outbox.drop(5)
            assert rig.dispatcher.resend(1, 11) == 6
            assert rig.dispatcher.resend(8, 13) == 2
            assert rig.dispatcher.resend(45, 900) == 6
            await asyncio.sleep(10)
            assert rig.dispatcher.resend(60, 900) == 0
        assert rig.destination.seqs(late=True) == [*range(5, 13), *range(45, 51)]
        assert rig.dispatcher.figures()["delivered"] == 64
        assert rig.dispatcher.figures()["resent"] == 14

    run(main())


def test_messages_that_are_gone_are_missed_and_hold_nothing_up() -> None:
    async def main() -> None:
        rig = Rig()
        async with rig.running() as logs:
            rig.destination.away = "no route"
            rig.outbox.add(count=20)
            await asyncio.sleep(60)
            rig.outbox.drop(11)
            del rig.outbox.kept[15]
            rig.destination.away = ""
            await asyncio.sleep(60)
            rig.outbox.following += 5  # five that nobody can read
            rig.outbox.add()
            await asyncio.sleep(5)
        assert rig.destination.seqs() == [11, 12, 13, 14, 16, 17, 18, 19, 20, 26]
        figures = rig.dispatcher.figures()
        assert (figures["missed"], figures["pending"]) == (16, 0)
        assert sum(entry.get("messages", 0) for entry in logs) == 16

    run(main())


def test_a_slow_destination_holds_up_no_other_and_neither_starves() -> None:
    async def main() -> None:
        outbox = FakeOutbox()
        slow, fast = Rig(outbox), Rig(outbox)
        slow.destination.away = "no route"
        async with slow.running(), fast.running():
            outbox.add(count=250)
            await asyncio.sleep(60)
            slow.destination.away, slow.destination.slow_s = "", 3.0
            for _ in range(120):
                outbox.add()
                await asyncio.sleep(1)
            assert slow.dispatcher.positions.waiting == 0, "its backlog went in between"
            assert slow.dispatcher.pending < 10
        times = {seq: at_s for seq, _, at_s in fast.destination.taken}
        assert fast.destination.seqs() == list(range(1, 371))
        assert max(at_s - (seq - 251 + 60) for seq, at_s in times.items() if seq > 250) < 0.1

    run(main())


def test_a_stop_waits_for_no_rate() -> None:
    async def main() -> None:
        rig = Rig(backlog_rate=1.0)
        rig.destination.away = "no route"
        async with rig.running():
            rig.outbox.add(count=90)
            await asyncio.sleep(60)
            rig.destination.away = ""
            await asyncio.sleep(31)
            assert rig.dispatcher.pending > 5
            rig.dispatcher.drain()
            await asyncio.sleep(0.2)
            assert rig.dispatcher.pending == 0

    run(main())


def test_a_chain_that_begins_anew_is_announced_and_goes_from_its_first_message() -> None:
    async def main() -> None:
        rig = Rig()
        async with rig.running():
            rig.outbox.add(count=10)
            await asyncio.sleep(2)
            rig.outbox.begin("another")
            rig.outbox.add("event")
            rig.outbox.add("birth")
            await asyncio.sleep(2)
        assert rig.destination.announced[-1] == ([], "another", 2), "its birth is still to go live"
        assert rig.destination.seqs() == [*range(1, 11), 1, 2]
        assert rig.outbox.saved["reg"]["chain"] == "another"
        assert rig.health.downs == 0

    run(main())


def test_a_destination_that_flaps_is_told_seldom() -> None:
    async def main() -> None:
        rig = Rig()
        async with rig.running() as logs:
            for _ in range(200):
                rig.destination.away = "" if rig.destination.away else "closed"
                rig.outbox.add()
                await sleep_for(rig.clock, 3)
        told = [entry["event"] for entry in logs if entry["event"] in {DOWN, "destination up"}]
        assert rig.health.downs >= 90
        assert len(told) <= 4 + 2 * 11

    run(main())
