"""Telemetry messages against their JSON Schemas and against a decoder of their own."""

from __future__ import annotations

import json
import math
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from gateway.model import Channel, Flag
from gateway.sinks import telemetry
from tests.fakes.frames import START_NS, make_batch, make_frame, make_layout, make_site

SCHEMAS = Path(__file__).resolve().parents[3] / "docs" / "specs" / "schemas"


@cache
def validator(schema: str) -> jsonschema.Draft202012Validator:
    rules = json.loads((SCHEMAS / schema).read_text())
    jsonschema.Draft202012Validator.check_schema(rules)
    return jsonschema.Draft202012Validator(rules)


def valid(message: bytes, schema: str) -> Any:
    """Return a message's content after checking it against its published schema."""
    body = json.loads(message)
    validator(schema).validate(body)
    return body


def test_the_example_of_the_specification() -> None:
    layout = make_layout("feeder-1")
    frame = make_frame(
        layout,
        [230.1, math.nan],
        flags=[0, Flag.SENTINEL],
        time_ns=1795316400012 * 10**6,
        device_time_ns=1795316400000 * 10**6,
    )
    (message,) = telemetry.encode("plant-1", [frame])
    assert valid(message, "telemetry.schema.json") == {
        "v": 1,
        "gateway": "plant-1",
        "frames": [
            {
                "m": "feeder-1",
                "l": layout.digest,
                "e": 0,
                "t": 1795316400012,
                "d": 1795316400000,
                "x": [230.1, None],
                "f": [0, 128],
            }
        ],
    }


def test_what_is_not_there_is_left_out() -> None:
    layout = make_layout("feeder-1")
    (message,) = telemetry.encode("plant-1", [make_frame(layout, [1.0, 2.5], epoch=3)])
    (frame,) = valid(message, "telemetry.schema.json")["frames"]
    assert frame == {"m": "feeder-1", "l": layout.digest, "e": 3, "t": START_NS // 10**6, "x": [1.0, 2.5]}


def test_flags_that_all_channels_share_are_one_number() -> None:
    layout = make_layout("feeder-1")
    frames = [make_frame(layout, [1.0, 2.0], flags=[Flag.CLOCK, Flag.CLOCK])]
    (message,) = telemetry.encode("plant-1", frames)
    assert valid(message, "telemetry.schema.json")["frames"][0]["f"] == Flag.CLOCK


def test_device_time_without_flags_and_flags_without_device_time() -> None:
    layout = make_layout("feeder-1")
    frames = [
        make_frame(layout, [1.0, 2.0], device_time_ns=5_000_000),
        make_frame(layout, [1.0, 2.0], flags=[0, Flag.RANGE]),
    ]
    (message,) = telemetry.encode("plant-1", frames)
    first, second = valid(message, "telemetry.schema.json")["frames"]
    assert (first["d"], "f" in first) == (5, False)
    assert (second["f"], "d" in second, second["x"]) == ([0, 16], False, [1.0, 2.0])


@pytest.mark.parametrize("limit", [1_000, 4_096, telemetry.MESSAGE_MAX])
def test_cut_under_the_limit_never_inside_a_frame(limit: int) -> None:
    site = make_site(meters=40, channels=10)
    batch = make_batch(site, polls=50)
    messages = telemetry.encode("plant-1", batch.frames, limit=limit)
    assert all(len(message) <= limit for message in messages)
    frames = [frame for message in messages for frame in valid(message, "telemetry.schema.json")["frames"]]
    assert [(f["m"], f["t"]) for f in frames] == [(f.layout.meter, f.time_ns // 10**6) for f in batch.frames]
    assert [f["x"] for f in frames] == [list(f.values) for f in batch.frames]
    fullest = max(len(message) for message in messages)
    assert fullest > limit - 400, "messages are not filled"


def test_exactly_full_is_not_cut() -> None:
    batch = make_batch(make_site(meters=3, channels=4))
    (whole,) = telemetry.encode("plant-1", batch.frames)
    assert telemetry.encode("plant-1", batch.frames, limit=len(whole)) == [whole]
    assert len(telemetry.encode("plant-1", batch.frames, limit=len(whole) - 1)) == 2


def test_a_frame_over_the_limit_is_a_message_by_itself() -> None:
    site = make_site(meters=2, channels=30)
    messages = telemetry.encode("plant-1", make_batch(site).frames, limit=100)
    assert [len(valid(m, "telemetry.schema.json")["frames"]) for m in messages] == [1, 1]


def test_no_frames_no_message() -> None:
    assert telemetry.encode("plant-1", []) == []
    assert telemetry.encode_meter("plant-1", []) == []


def test_one_meter_a_message_keeps_its_order() -> None:
    site = make_site(meters=3, channels=2)
    batch = make_batch(site, polls=4)
    messages = telemetry.encode_meter("plant-1", batch.frames)
    assert [meter for meter, _ in messages] == ["m-001", "m-002", "m-003"]
    for meter, message in messages:
        frames = valid(message, "telemetry.schema.json")["frames"]
        assert {frame["m"] for frame in frames} == {meter}
        times = [frame["t"] for frame in frames]
        assert times == sorted(times)
        assert len(times) == 4


def test_birth_names_meters_layouts_and_channels() -> None:
    site = make_site(meters=2, channels=3)
    (message,) = telemetry.birth(site)
    body = valid(message, "telemetry-birth.schema.json")
    assert body["config"] == "c0ffee"
    assert "part" not in body
    assert [meter["id"] for meter in body["meters"]] == ["m-001", "m-002"]
    first = body["meters"][0]
    assert (first["name"], first["link"], first["energy_kind"]) == ("m-001 号", "hall-a", "electricity")
    assert first["layouts"][0]["l"] == site.in_force[0].digest
    assert [channel["kind"] for channel in first["layouts"][0]["channels"]] == ["counter"] * 3


def test_birth_keeps_layouts_whose_frames_are_still_on_their_way() -> None:
    site = make_site(meters=1, channels=2)
    older = make_layout("m-001", ("power_active",))
    gone = make_layout("taken-out", ("power_active",))
    (message,) = telemetry.birth(site, [older, gone])
    first, second = valid(message, "telemetry-birth.schema.json")["meters"]
    assert [layout["l"] for layout in first["layouts"]] == [site.in_force[0].digest, older.digest]
    assert (second["id"], second["link"], second["energy_kind"]) == ("taken-out", "", "")


def test_a_long_birth_is_cut_by_meters() -> None:
    site = make_site(meters=30, channels=10)
    parts = telemetry.birth(site, limit=8_192)
    bodies = [valid(part, "telemetry-birth.schema.json") for part in parts]
    assert all(len(part) <= 8_192 for part in parts)
    assert len(parts) > 1
    assert [(body["part"], body["parts"]) for body in bodies] == [(n, len(parts)) for n in range(len(parts))]
    assert [m["id"] for body in bodies for m in body["meters"]] == [info.id for info in site.meters]


def test_a_gateway_without_meters_has_a_birth() -> None:
    (message,) = telemetry.birth(make_site(meters=0, channels=1))
    assert valid(message, "telemetry-birth.schema.json")["meters"] == []


def test_reference_condition_only_where_there_is_one() -> None:
    layout = make_layout("gas-1", ("volume",))
    channel = layout.channels[0]
    gas = Channel("volume", "volume", "m³", "counter", reference="0 °C, 101.325 kPa")
    assert "reference" not in telemetry._channel(channel)
    assert telemetry._channel(gas)["reference"] == "0 °C, 101.325 kPa"


def test_state_and_last_will() -> None:
    online = telemetry.state("plant-1", online=True, time_ns=START_NS)
    assert valid(online, "telemetry-state.schema.json") == {
        "v": 1, "gateway": "plant-1", "online": True, "t": START_NS // 10**6,
    }  # fmt: skip
    will = telemetry.state("plant-1", online=False)
    assert valid(will, "telemetry-state.schema.json") == {"v": 1, "gateway": "plant-1", "online": False}


@pytest.mark.parametrize(
    "spoil",
    [
        {"v": 2},
        {"gateway": "Plant 1"},
        {"frames": []},
        {"frames": [{"m": "a", "l": "0" * 16, "e": 0, "t": 1, "x": ["1"]}]},
        {"frames": [{"m": "a", "l": "0" * 16, "e": 0, "t": 1}]},
    ],
)
def test_the_schema_refuses_what_is_wrong(spoil: dict[str, Any]) -> None:
    (message,) = telemetry.encode("plant-1", make_batch(make_site(1, 2)).frames)
    body = json.loads(message) | spoil
    with pytest.raises(jsonschema.ValidationError):
        valid(json.dumps(body).encode(), "telemetry.schema.json")
