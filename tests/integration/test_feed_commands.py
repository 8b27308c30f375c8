"""Commands that ask a running gateway about its feed: the key on paper, a new key, messages once more, readings by hand."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from gateway.feed.keys import Key, load_public
from gateway.feed.verify import Verifier
from gateway.history.read import ReadOnlyHistory
from tests.integration.site import GatewayProcess, wait_until
from tests.integration.test_feed_messages import ROOT, SITE, Received, Subscriber
from tests.servers import Mosquitto

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


class Rig:
    """A gateway whose only meter never answers, its broker, and somebody who listens to everything."""

    def __init__(self, folder: Path, free_port: Callable[[], int]) -> None:
        self.broker = Mosquitto(folder / "broker", free_port())
        self.site = folder / "site.toml"
        self.site.write_text(SITE.format(free_port(), self.broker.port))
        self.gateway = GatewayProcess(folder, self.site, folder / "state")
        self.state = folder / "state"

    def start(self) -> None:
        self.broker.start()
        self.listener = Subscriber(self.broker.port)
        self.gateway.start()
        self.gateway.status()

    def close(self) -> None:
        self.gateway.close()
        self.listener.close()
        self.broker.stop()

    def metergate(self, *words: str, code: int = 0) -> Any:
        command = [sys.executable, "-m", "gateway", *words, "--config", str(self.site), "--json"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == code, done.stderr
        return json.loads(done.stdout) if not code else done.stderr


@pytest.fixture
def rig(tmp_path: Path, free_port: Callable[[], int]) -> Iterator[Rig]:
    rig = Rig(tmp_path, free_port)
    try:
        rig.start()
        yield rig
    finally:
        rig.close()


def upto(rig: Rig, found: list[Received], ready: Callable[[], bool], what: str) -> None:
    """Take messages until it is ready."""

    def look() -> bool:
        while not rig.listener.messages.empty():
            found.append(rig.listener.messages.get())
        return ready()

    wait_until(look, what)


def bodies(found: list[Received], kind: str) -> list[dict[str, Any]]:
    return [one.body for one in found if one.kind == kind]


def test_a_new_key_is_announced_by_the_old_one_and_the_chain_goes_on(rig: Rig) -> None:
    found: list[Received] = []
    paper = rig.metergate("feed", "key")
    upto(rig, found, lambda: bool(bodies(found, "data")), "intervals come")
    answer = rig.metergate("feed", "rotate", "--why", "yearly")
    after = rig.metergate("feed", "key")
    assert answer["before"] == paper["kid"]
    assert answer["fingerprint"] == after["fingerprint"] != paper["fingerprint"]

    def by_new_key() -> bool:
        births = [body["key"]["kid"] for body in bodies(found, "birth")]
        newest = max(int(body["seq"]) for body in bodies(found, "birth"))
        return births[-1] == after["kid"] and any(int(b["seq"]) > newest for b in bodies(found, "data"))

    upto(rig, found, by_new_key, "intervals signed by the new key come")
    verifier = Verifier(load_public(json.dumps(paper["jwk"]).encode()), every_signature=True)
    for one in found:
        verifier.feed(one.topic, one.retain, one.payload)
    report = verifier.report()
    assert report["verified"], report["findings"]
    assert {key["source"] for key in report["keys"]} == {"given", "rotation"}
    other = Verifier([Key.make("plant-1").known])
    for one in found:
        other.feed(one.topic, one.retain, one.payload)
    assert not other.report()["verified"], "a key that signed nothing vouches for nothing"


def test_messages_go_again_as_they_were(rig: Rig) -> None:
    found: list[Received] = []
    upto(rig, found, lambda: len(bodies(found, "data")) >= 2, "intervals come")
    answer = rig.metergate("feed", "resend", "1", "3")
    assert answer["messages"] == {"regulator": 3}
    upto(rig, found, lambda: len([o for o in found if o.topic == f"{ROOT}/backfill"]) >= 3, "they come again")
    again = {one.body["seq"]: one for one in found if one.topic == f"{ROOT}/backfill"}
    first = {one.body["seq"]: one for one in found if one.topic != f"{ROOT}/backfill" and one.kind != "state"}
    assert all(again[seq].payload == first[seq].payload and not again[seq].retain for seq in ("1", "2", "3"))
    assert "no sink of the feed" in rig.metergate("feed", "resend", "1", "3", "--sink", "other", code=1)
    refused = rig.metergate("feed", "resend", "1000000", "1000001", code=1)
    assert "none of the messages 1000000 to 1000001: there are 1 to " in refused


def test_a_reading_entered_by_hand_is_its_own_source_everywhere(rig: Rig) -> None:
    found: list[Received] = []
    key = "energy_active_import_total"
    words = ("reading", "feeder-1", f"{key}=12345.6 kWh", "--why", "line is cut", "--by", "Li Wei")
    answer = rig.metergate(*words)
    assert (answer["durable"], answer["readings"][0]["reading"]) == (True, "12345.6")
    assert not answer["warnings"], "none before it"
    upto(rig, found, lambda: any(b.get("readings") for b in bodies(found, "data")), "the reading comes")
    (told,) = next(b["readings"] for b in bodies(found, "data") if b.get("readings"))
    assert {k: told[k] for k in ("meter", "channel", "value", "unit", "by", "why")} == {
        "meter": "feeder-1", "channel": key, "value": "12345.6", "unit": "kW·h", "by": "Li Wei", "why": "line is cut",
    }  # fmt: skip
    with ReadOnlyHistory(rig.state / "history.db") as history:
        (kept,) = history.manual()
        assert (kept.meter, str(kept.reading), kept.by) == ("feeder-1", "12345.6", "Li Wei")
    assert "no counter" in rig.metergate("reading", "feeder-1", "voltage_ln_l1=230", "--why", "x", code=1)
    (doubt,) = rig.metergate("reading", "feeder-1", f"{key}=1234.56", "--why", "x")["warnings"]
    assert f"{key} 1234.56 kW·h is less than the last reading known, 12345.6 kW·h at 20" in doubt
    assert ", by hand" in doubt
    events = rig.metergate("status")
    assert events["feed"]["kid"].startswith("plant-1-")


def test_a_damaged_key_stops_neither_reading_nor_the_gateway_and_nothing_is_left_out(rig: Rig) -> None:
    found: list[Received] = []
    upto(rig, found, lambda: bool(bodies(found, "data")), "intervals come")
    assert rig.gateway.end() == 0
    key = rig.state / "feed.key"
    whole = key.read_bytes()
    key.write_bytes(b"spoilt")
    rig.gateway.start()
    figures = rig.gateway.status()
    assert "feed.key" in figures["intervals"]["held"]
    assert figures["sinks"]["regulator"]["state"] == "down"
    assert "feed.key" in rig.metergate("feed", "resend", "1", "2", code=1)
    assert rig.gateway.end() == 0
    key.write_bytes(whole)
    rig.gateway.start()
    assert rig.gateway.status()["intervals"]["held"] == ""
    before = len(bodies(found, "data"))
    upto(rig, found, lambda: len(bodies(found, "data")) > before + 3, "intervals come again")
    told = sorted({one["t0"] for body in bodies(found, "data") for one in body.get("intervals", [])})
    starts = [datetime.fromisoformat(t0) for t0 in told]
    assert {(b - a).total_seconds() for a, b in pairwise(starts)} == {2.0}, "an interval is missing"
