"""Tables at 80 columns: what one copies is never cut, a meter is one line, errors and what is left out stand beneath."""

from __future__ import annotations

import io
import re
import struct
from typing import TYPE_CHECKING, Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from drivers import profiles
from gateway.commands import bus_tables, tables
from gateway.commands.grid import Col, Grid, count, figures, words
from gateway.health import Health, LinkHealth, MeterHealth, SinkHealth
from gateway.model import Flag
from gateway.wire import UA_CODE

if TYPE_CHECKING:
    from collections.abc import Callable

WIDTH = 80
ZONE = "Asia/Shanghai"
NOON_NS = 1_780_027_200_000_000_000
LIBRARY = profiles.Library([profiles.shipped_dir()])
PROFILE = max(LIBRARY.ids(), key=len)
KEY = max((key for name in LIBRARY.ids() for key in LIBRARY.get(name).channels), key=len)
NODE_ID = "ns=2;s=Boiler1.Steam.TemperatureAfterSuperheater"
DEAD = "link hall-a, meter feeder-12: exception 11 (gateway target device failed to respond); the meter is silent"


@pytest.fixture(autouse=True)
def _narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(WIDTH))


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]) -> Callable[[], str]:
    """What was printed; nothing of it is cut, and no line is wider than the terminal."""

    def out() -> str:
        text = capsys.readouterr().out
        assert "…" not in text
        assert max(map(cell_len, text.splitlines())) <= WIDTH
        return text

    return out


def status() -> dict[str, Any]:
    meters = {f"feeder-{n}": MeterHealth("power-house", last_ns=NOON_NS) for n in range(1, 13)}
    for meter in meters.values():
        meter.state, meter.readings, meter.flagged = "on", 1_234_567, 12_345
    meters["feeder-12"].error, meters["feeder-12"].state = DEAD, "off"
    health = Health(
        links={"power-house": LinkHealth("modbus-tcp", error="no connection within 5 s; " * 4)},
        meters=meters,
        sinks={"plant-influxdb": SinkHealth("influxdb", error="HTTP 401; " * 9)},
    )
    health.channels(
        "feeder-1", off=True, channels=[KEY], reason="bad_node", where=NODE_ID, error="BadNodeIdUnknown"
    )
    found = health.figures() | {
        "gateway": {"id": "g", "software": "1", "time_ns": NOON_NS, "clock_synchronised": True},
        "journal": {"readings": 0, "bytes": 0, "epoch": 1, "error": ""},
        "lost": 0,
        "history": {"bytes": 1_000_000, "error": None},
        "intervals": {"closed_until_ns": NOON_NS, "waiting": 0, "behind": 0, "held": ""},
        "feed": {"chain": "c29456762f2b464f", "seq": 1234, "kid": "g-e06432d726afc0d0"},
        "maintenance": [{"subject": "feeder-1", "until_ns": NOON_NS, "why": "CT exchanged", "by": "Li Wei"}],
        "values": {"feeder-1": {KEY: (231.21780395507812, "kvar·h", int(Flag.STALE), NOON_NS)}},
    }
    for sink in found["sinks"].values():
        sink |= {"delivered": 123_456_789, "pending": 1_234_567, "refused": 0, "missed": 0}
    return found


def test_status_is_a_line_a_meter_and_its_error_stands_beneath(printed: Callable[[], str]) -> None:
    tables.print_status(status(), ZONE)
    out = printed()
    lines = out.splitlines()
    assert len([line for line in lines if line.startswith("feeder-12 ")]) == 1
    begin = next(n for n, line in enumerate(lines) if line.startswith("  feeder-12: "))
    assert " ".join(" ".join(lines[begin : begin + 2]).split()).startswith(f"feeder-12: {DEAD}"[:120])
    assert all(text in out for text in (KEY, "231.2178 ", "2026-05-29 12:00:00+08:00", "STALE"))
    assert "".join(NODE_ID.split()) in "".join(out.split())
    assert "intervals closed until 2026-05-29 12:00:00+08:00, history 1.0 MB" in " ".join(out.split())
    assert "message 1,234 of chain c2945676, key g-e06432d726afc0d0" in " ".join(out.split())


def test_status_without_sinks_says_so(printed: Callable[[], str]) -> None:
    tables.print_status(status() | {"sinks": {}}, ZONE)
    assert "no sinks" in printed()


def test_a_live_view_keeps_the_ids_whole() -> None:
    out = Console(width=WIDTH, height=20, record=True, file=io.StringIO())
    out.print(tables.live_view(status(), WIDTH, 20))
    text = out.export_text()
    assert re.search(r"^feeder-12 ", text, re.MULTILINE)
    assert len(text.splitlines()) <= 20, "it fits the terminal"
    assert "power-house" in text
    assert "plant-influxdb" in text


@pytest.mark.parametrize(("value", "text"), [(1_157_331.26, "1,157,331"), (999_999.7, "1,000,000")])
def test_a_live_counter_has_all_its_whole_digits(value: float, text: str) -> None:
    """A plant engineer holds it against the display: 1.15733e+06 is no help."""
    found = status()
    found["meters"]["feeder-1"]["error"] = ""
    found["values"]["feeder-1"] = {"energy_active_import_total": (value, "kW·h", 0, NOON_NS)}
    out = Console(width=200, record=True, file=io.StringIO())
    out.print(tables.live_view(found, 200, 60))
    assert f" {text} kW·h" in out.export_text()


def test_every_profile_is_listed_with_its_whole_id(printed: Callable[[], str]) -> None:
    tables.print_profiles([profiles.describe(LIBRARY.get(name)) for name in LIBRARY.ids()])
    listed = {line.split(" ")[0] for line in printed().splitlines()}
    assert set(LIBRARY.ids()) <= listed


@pytest.mark.parametrize("name", LIBRARY.ids())
def test_every_channel_of_a_profile_is_shown_whole(
    name: str, printed: Callable[[], str], capsys: pytest.CaptureFixture[str]
) -> None:
    described: dict[str, Any] = dict(profiles.describe_whole(LIBRARY.get(name)))
    tables.print_profile(described | {"channel_list": []})
    capsys.readouterr()  # prose of the sources, which may have an ellipsis of its own
    tables.print_profile(
        {"confidence": "", "one_source_channels": [], "channel_list": described["channel_list"]}
    )
    shown = {word for line in printed().splitlines() for word in line.split()}
    for channel in described["channel_list"]:
        assert channel["key"] in shown
        assert set(str(channel["address"]).split()) <= shown


def reading(**more: Any) -> dict[str, Any]:
    channel = {"key": KEY, "value": 231.21780395507812, "unit": "V", "flags": 0, "raw": "4366d48f" * 6}
    return channel | {"time_ns": NOON_NS, "round_trip_ms": 12.34} | more


def test_read_has_the_time_it_took_once(printed: Callable[[], str]) -> None:
    found = {"meter": "feeder-1", "channels": [reading(), reading(key="frequency")], "errors": []}
    bus_tables.print_reading(found, ZONE, NOON_NS)
    out = printed()
    assert out.count("12.3 ms") == 1
    assert f"{KEY}  231.2178 " in " ".join(out.split(" "))


def test_a_read_that_brought_nothing_has_its_time(printed: Callable[[], str]) -> None:
    error = {"keys": [KEY] * 6, "text": DEAD, "raw": ""}
    bus_tables.print_reading({"meter": "feeder-1", "channels": [], "errors": [error]}, ZONE, NOON_NS)
    out = " ".join(printed().split())
    assert out.startswith("2026-05-29 12:00:00+08:00 not read: ")
    assert "and 2 more" in out


@pytest.mark.parametrize(
    ("status_code", "flags", "says"),
    [
        (0x80340000, Flag.MISSING | Flag.DEVICE, f"{KEY}: no value: BadNodeIdUnknown, node id {NODE_ID}"),
        (0, Flag.MISSING | Flag.DEVICE, f"{KEY}: no number, node id {NODE_ID}"),
        (0x40000000, Flag.STALE, f"{KEY}: doubted: Uncertain, node id {NODE_ID}"),
        (0, Flag.MISSING | Flag.COMMS, "no value, no answer"),
    ],
)
def test_read_says_what_an_opcua_server_says_of_a_node(
    status_code: int, flags: int, says: str, printed: Callable[[], str]
) -> None:
    raw = UA_CODE.pack(b"\0", 0, status_code, 0).hex()
    value = 1.0 if flags == Flag.STALE else None
    found = {"meter": "boiler-1", "errors": [], "channels": [reading(value=value, flags=int(flags), raw=raw)]}
    bus_tables.print_reading(found, ZONE, NOON_NS, {KEY: NODE_ID})
    assert says in " ".join(printed().split())


def candidate(profile: str, score: float) -> dict[str, Any]:
    reasons = [f"+ {KEY} is 229 °C, which may be"]
    return {"profile": profile, "maker": "M", "model": "x", "score": score, "reasons": reasons, "variant": ""}


def probed(*candidates: dict[str, Any], best: tuple[str, ...] = (), expected: str = "") -> dict[str, Any]:
    more = {"diagnosis": [], "verdict": "It reads like none.", "is_whole": True, "expected": expected}
    return {"candidates": list(candidates), "best": best} | more


def test_probe_lists_what_comes_near_the_best_and_counts_the_rest(printed: Callable[[], str]) -> None:
    rows = candidate(PROFILE, 8), candidate("near-by", 7), candidate("far-away", 2), candidate("absurd", -3)
    bus_tables.print_probe(probed(*rows, best=(PROFILE,)))
    out = printed()
    assert PROFILE in out
    assert "near-by" in out
    assert "far-away" not in out
    assert "2 other types come less near" in out
    bus_tables.print_probe(probed(*rows, best=(PROFILE,), expected="absurd"))
    assert "absurd" in printed(), "the type the site file has is shown, however badly it fits"


def test_scan_and_browse_keep_ids_whole(printed: Callable[[], str]) -> None:
    row = {
        "address": "33780011223344",
        "text": "tells its address 通信地址 and its type",
        "round_trip_ms": 31.0,
    }
    row |= {
        "settings": "38400 E1",
        "meter": "canteen-water",
        "profiles": [PROFILE, "near-by"],
        "how": "values",
    }
    bus_tables.print_scan({"found": [row], "asked": 1, "is_whole": True, "remarks": [], "proposal": ""})
    out = printed()
    assert "33780011223344" in out
    assert PROFILE in out
    assert "1 meter answered 1 request." in out
    variable = {"path": ("Plant", "Boiler1", "Steam"), "id": NODE_ID, "type": "Double", "value": 1 / 3}
    variable |= {"unit": "t/h", "status": "Good"}
    bus_tables.print_variables({"variables": [variable], "is_whole": True, "proposal": ""})
    out = printed()
    assert NODE_ID in out
    assert "0.3333333333 " in out


def f32(value: float) -> float:
    found: float = struct.unpack("f", struct.pack("f", value))[0]
    return found


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (f32(231.2178), "231.2178"),
        (f32(23343.748), "23343.748"),
        (f32(49981.973) / 1000, "49.981973"),
        (17179869184.0, "17179869184"),
        (1234567890.123, "1234567890.123"),
        (0.1 + 0.2, "0.3"),
        (-0.5, "-0.5"),
        (0.0, "0"),
        (1e-7 / 3, "0.00000003333333333"),
        (5e22, "50000000000000000000000"),
        (None, "absent"),
    ],
)
def test_a_value_has_the_digits_that_mean_something(value: float | None, text: str) -> None:
    assert tables.number_text(value) == text


def test_ids_fold_when_even_they_do_not_fit() -> None:
    grid = Grid("id", words("why"), figures("n"), Col("raw", drop=1))
    grid.add_row("x" * 50, "because of this", "12", "ff")
    out = Console(width=40, file=io.StringIO(), record=True)
    out.print(grid)
    text = out.export_text()
    assert text.count("x") == 50
    assert max(map(len, text.splitlines())) <= 40
    assert "a wider terminal also shows: raw" in text


def test_one_is_singular() -> None:
    assert [count(n, "meter") for n in (0, 1, 2)] == ["0 meters", "1 meter", "2 meters"]
