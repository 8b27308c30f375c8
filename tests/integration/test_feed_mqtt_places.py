"""The feed after the gateway got another region, against real mosquitto: the place of before is left, and holds nothing up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
import pytest

from gateway.errors import SinkUnavailable
from gateway.feed.entries import Entry, Former
from tests.fakes.feed import START_NS, entry, head, interval_payload, seal
from tests.integration.test_feed_mqtt import ROOT, USERS, make_feed, opened, watching
from tests.servers import Mosquitto

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from gateway.feed.contract import Kind

    Port = Callable[[], int]


def at_place(region: str, seqs: Iterable[int], kind: Kind = "data") -> list[Entry]:
    payload = interval_payload if kind == "data" else lambda seq: head(kind, seq)
    return [Entry(seq, kind, "", START_NS, seal(payload(seq) | {"region": region})) for seq in seqs]


async def test_a_former_place_is_left_and_what_was_signed_there_goes_there(
    tmp_path: Path, free_port: Port
) -> None:
    """Its retained messages go, its state says offline; a message of before goes where it says it is from."""
    former = ROOT.replace("330100", "330200")
    with Mosquitto(tmp_path, free_port()) as broker:
        async with watching(broker.port, f"{former}/#") as watch, opened(make_feed(broker.port)) as feed:
            await feed.write(at_place("330200", [1], "birth"), late=False)
            await feed.write(at_place("330200", [2]), late=True)
            await feed.leave_place(Former(1, former.removeprefix("emc/v1/"), ["birth", "checkpoint"]))
            places = [(await watch.next())[0].removeprefix(former + "/") for _ in range(5)]
        assert places == ["birth", "backfill", "birth", "checkpoint", "state"]
        async with watching(broker.port, f"{former}/#") as newcomer:
            (topic, body, is_retained) = await newcomer.next()
            assert (topic.removeprefix(former + "/"), is_retained) == ("state", True)
            assert orjson.loads(body)["online"] is False


async def test_a_former_place_that_may_not_be_written_holds_nothing_up(
    tmp_path: Path, free_port: Port
) -> None:
    former = ROOT.replace("330100", "330200")
    acl = ["user gate", f"topic write {ROOT}/#"]
    with Mosquitto(tmp_path, free_port(), users=USERS, acl=acl) as broker:
        feed = make_feed(broker.port, user="gate", password=USERS["gate"])
        async with opened(feed):
            with pytest.raises(SinkUnavailable, match="0x87"):
                await feed.write([*at_place("330200", [1]), entry(2)], late=True)
        async with opened(feed):
            await feed.leave_place(Former(1, former.removeprefix("emc/v1/"), ["birth"]))
            refused = await feed.write([*at_place("330200", [1]), entry(2)], late=True)
            assert [(one.index, "former place" in one.reason) for one in refused] == [(0, True)]
