"""What the running gateway really sends, against what is published: schemas, AsyncAPI channels, retained or not."""

from __future__ import annotations

import base64
import json
import queue
import re
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from zoneinfo import ZoneInfo

import jsonschema
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from gateway.feed.verify import Verifier
from gateway.inventory.revisions import FOLDER, Revisions
from tests.integration.site import GatewayProcess
from tests.servers import Mosquitto
from tests.unit.inventory_rig import inventory

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.inventory.model import Inventory

SPECS = Path(__file__).resolve().parents[2] / "docs" / "specs"
ROOT = "emc/v1/350100/91350100M000100Y43/plant-1"
WAIT_S = 30.0
SITE = """
[gateway]
id = "plant-1"
state_dir = "state"
[site]
timezone = "Asia/Shanghai"
region = "350100"
enterprise = "91350100M000100Y43"
[intervals]
length = "2s"
grace = "0s"
[[links]]
id = "hall-a"
kind = "modbus-tcp"
host = "127.0.0.1"
port = {0}
[[meters]]
id = "feeder-1"
link = "hall-a"
unit = 1
profile = "eastron-sdm630"
energy_kind = "electricity"
period = "1s"
[[aggregates]]
id = "site-electricity"
terms = [{{ meter = "feeder-1", channel = "energy_active_import_total" }}]
codes = {{ code = "0000000002330001", scope = "1" }}
[[sinks]]
id = "regulator"
kind = "feed"
host = "127.0.0.1"
port = {1}
tls = {{ enabled = false }}
"""


class Received(NamedTuple):
    topic: str
    retain: bool
    payload: bytes

    @property
    def body(self) -> dict[str, Any]:
        text = self.payload if self.payload.startswith(b"{") else _decoded(self.payload.split(b".")[1])
        body: dict[str, Any] = json.loads(text)
        return body

    @property
    def kind(self) -> str:
        return str(self.body.get("kind", "state"))

    @property
    def has_sums(self) -> bool:
        return self.kind == "data" and bool(self.body.get("aggregates"))


def _decoded(part: bytes) -> bytes:
    return base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4))


class Subscriber:
    """Takes everything from a broker."""

    def __init__(self, port: int) -> None:
        self.messages: queue.Queue[Received] = queue.Queue()
        self._paho = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        self._paho.on_connect = lambda client, *_: client.subscribe("#", qos=1)
        self._paho.on_message = lambda _c, _u, m: self.messages.put(
            Received(m.topic, m.retain, bytes(m.payload))
        )
        self._paho.connect("127.0.0.1", port)
        self._paho.loop_start()

    def until(self, kinds: set[str], sums: int = 0) -> list[Received]:
        """Return what came until each kind was among it, and so many messages of kind `data` with aggregates."""
        found: list[Received] = []
        end_s = time.monotonic() + WAIT_S
        while kinds - {one.kind for one in found} or sum(one.has_sums for one in found) < sums:
            found.append(self.messages.get(timeout=max(0.0, end_s - time.monotonic())))
        return found

    def close(self) -> None:
        self._paho.disconnect()
        self._paho.loop_stop()


def closed(schema: Any) -> Any:
    """Return a schema that refuses keys it does not name, where it names any."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    whole = {key: closed(part) for key, part in schema.items()}
    return whole | {"additionalProperties": False} if isinstance(schema.get("properties"), dict) else whole


def fit_their_schemas(live: list[Received]) -> None:
    for message in live:
        schema = json.loads((SPECS / "schemas" / f"feed-{message.kind}.schema.json").read_text())
        jsonschema.Draft202012Validator(closed(schema)).validate(message.body)


def go_where_the_document_says(live: list[Received], kept: set[str]) -> None:
    document = json.loads((SPECS / "feed.asyncapi.json").read_text())
    addresses = {
        re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(channel["address"]))): name
        for name, channel in document["channels"].items()
    }
    sends = {op["channel"]["$ref"].rpartition("/")[2]: op for op in document["operations"].values()}
    for message in live:
        (name,) = (name for pattern, name in addresses.items() if pattern.fullmatch(message.topic))
        assert message.kind in document["channels"][name]["messages"]
        assert sends[name]["bindings"]["mqtt"]["retain"] == (message.topic in kept), message.topic
    assert {topic.removeprefix(f"{ROOT}/").partition("/")[0] for topic in kept} == {
        "birth",
        "checkpoint",
        "fitting",
        "state",
    }


def verify(live: list[Received]) -> None:
    verifier = Verifier(every_signature=True, schema=True)
    for message in live:
        verifier.feed(message.topic, message.retain, message.payload)
    report = verifier.report()
    assert [found for found in report["findings"] if found["severity"] == "finding"] == []
    assert report["authentic"] == report["batches"] >= 5


def tell_gaps_and_aggregates(live: list[Received]) -> None:
    """The link was never there: every reading that was due has that reason, and nothing is known."""
    body = next(message.body for message in live if message.kind == "data")
    channels = body["intervals"][0]["channels"]
    for channel in channels.values():
        assert channel["gaps"] == {"link_down": channel["expected"]}
        assert channel["delta"] is None
    (total,) = next(message.body["aggregates"] for message in live if message.has_sums)
    assert (total["aggregate"], total["value"], total["missing"]) == ("site-electricity", None, ["feeder-1"])
    assert total["codes"]["dataCode"] == "0000000002330001"


def apply(state: Path) -> Inventory:
    """Apply an inventory with one instrument, verified a month ago, on the meter of the site."""
    today = datetime.now(ZoneInfo("Asia/Shanghai")).date()
    done = {"on": today - timedelta(days=30), "period_months": 12, "certificate": "C-1", "body": "institute"}
    found = inventory({"meter": "feeder-1", "verifications": [done]})
    state.mkdir()
    Revisions(state / FOLDER).add(found, "zhang", "test", 1)
    return found


def tell_the_inventory(live: list[Received], applied: Inventory) -> None:
    """Intervals and birth are marked, the event names who applied it, and the signed rates are of it."""
    for message in live:
        for interval in message.body.get("intervals", ()):
            assert interval["verification"] == "valid"
    (about,) = (message.body["about"] for message in live if message.kind == "meter")
    assert (about["accuracy_class"], about["verification"]["certificate"]) == ("0.5S", "C-1")
    events = [event for message in live for event in message.body.get("events", ())]
    (event,) = (one["detail"] for one in events if one["kind"] == "inventory_applied")
    assert (event["by"], event["why"], event["digest"]) == ("zhang", "test", applied.digest)
    (rates,) = (message.body for message in live if message.kind == "fitting")
    assert (rates["ruleset"], rates["inventory"]) == ("GB17167-2006", applied.digest)
    (row,) = rates["result"]["rates"]
    assert (row["need"], row["fitted"], row["rate_percent"], row["meets"]) == (1, 1, "100.0000", True)


def test_the_running_gateway_sends_what_is_published(tmp_path: Path, free_port: Callable[[], int]) -> None:
    (tmp_path / "gateway").mkdir()
    applied = apply(tmp_path / "gateway" / "state")
    ports = free_port(), free_port()
    site_file = tmp_path / "gateway" / "site.toml"
    site_file.write_text(SITE.format(*ports))
    gateway = GatewayProcess(tmp_path / "gateway", site_file, tmp_path / "gateway" / "state")
    with Mosquitto(tmp_path / "broker", ports[1]):
        early = Subscriber(ports[1])
        try:
            gateway.start()
            live = early.until({"birth", "meter", "event", "data", "checkpoint", "state", "fitting"}, sums=1)
            late = Subscriber(ports[1])
            retained = late.until({"birth", "meter", "checkpoint", "state", "fitting"})
            late.close()
            assert gateway.end() == 0
        finally:
            early.close()
            gateway.close()
    fit_their_schemas(live)
    go_where_the_document_says(live, {message.topic for message in retained if message.retain})
    verify(live)
    tell_gaps_and_aggregates(live)
    tell_the_inventory(live, applied)
