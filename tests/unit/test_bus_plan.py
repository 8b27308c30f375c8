"""The budget of links: against figures worked out by hand, and proposals against the plan they lead to."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, cast

import pytest

from drivers.identifiers import CjtSettings, CjtSource, DltSettings, DltSource
from drivers.lines.timing import Timing
from drivers.modbus.plan import line_cost, plan
from drivers.modbus.rtu import RtuAsk
from drivers.registers import ReadLimits
from gateway.assembly import library, targets
from gateway.clock import SystemClock
from gateway.config.links import ModbusTcpConfig, SerialConfig, TcpSerialConfig
from gateway.config.site_file import from_toml
from gateway.errors import ConfigError
from gateway.planning.findings import SitePlan, certain_findings, examine
from gateway.planning.links import Planner
from gateway.planning.wire_time import ESTIMATORS, NOTHING_ASSUMED, Asking, Assumptions, wire_of
from gateway.targets import SiteDirectory
from tests.unit.modbus.polls import holding, make_layout
from tests.unit.plan_sites import HEAD, SERIAL, TCP, site_text

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.interfaces import Link
    from gateway.planning.links import LinkPlan


OPCUA = (
    HEAD
    + """
[[links]]
id = "dcs"
kind = "opcua"
url = "opc.tcp://127.0.0.1:4840"

[[meters]]
id = "boiler-1"
link = "dcs"
energy_kind = "steam"
period = "10s"
[meters.variables.flow_mass]
id = "ns=2;s=Boiler1.Flow"
quantity = "flow_mass"
unit = "t/h"
"""
)


def planned(text: str, folder: Path, assumed: Assumptions = NOTHING_ASSUMED) -> dict[str, LinkPlan]:
    site = from_toml(text, folder / "site.toml")
    return Planner(library(site), assumed).site(site)


def examined(text: str, folder: Path, assumed: Assumptions | None = None) -> SitePlan:
    site = from_toml(text, folder / "site.toml")
    return examine(site, library(site), assumed or Assumptions())


def serial(**keys: Any) -> SerialConfig:
    return SerialConfig.model_validate({"id": "line", "kind": "serial", "port": "/dev/ttyS0"} | keys)


@pytest.mark.parametrize(
    ("baud", "parity", "registers", "expected_ms"),
    # (8 + 5 + 2 N) characters + 2 x 3.5 characters of silence, 1.75 ms each above 19 200 baud.
    [
        (9600, "N", 2, 25.0),
        (9600, "N", 125, 281.25),
        (9600, "E", 50, 137.5),
        (9600, "E", 60, 160.4),
        (19200, "E", 60, 80.2),
        (19200, "N", 10, 20.8),
        (115_200, "N", 60, 15.0),
        (115_200, "E", 2, 5.1),
    ],
)
def test_a_read_on_a_line_takes_its_wire_time(
    baud: int, parity: str, registers: int, expected_ms: float
) -> None:
    wire = wire_of(serial(baud=baud, parity=parity), NOTHING_ASSUMED)
    assert 1e3 * wire.busy_s(8, 5 + 2 * registers, 0.0, 0.0) == pytest.approx(expected_ms, abs=0.06)


def test_what_a_line_waits_for_comes_on_top_only_beyond_the_silence() -> None:
    wire = wire_of(serial(baud=9600, parity="E"), NOTHING_ASSUMED)
    silence_s = 3.5 * 11 / 9600
    base_s = wire.busy_s(8, 9, 0.0, 0.0)
    assert wire.busy_s(8, 9, 0.002, 0.001) == base_s
    assert wire.busy_s(8, 9, 0.050, 0.0) == pytest.approx(base_s + 0.050 - silence_s)
    assert wire.busy_s(8, 9, 0.0, 0.1) == pytest.approx(base_s + 0.1 - silence_s)


def test_two_stop_bits_are_a_character_of_eleven() -> None:
    assert wire_of(serial(parity="N", stop=2), NOTHING_ASSUMED).character_s == 11 / 9600


def test_a_serial_device_server_adds_the_round_trip_and_tcp_takes_only_that() -> None:
    keys = {"id": "x", "host": "127.0.0.1", "port": 502}
    behind = wire_of(TcpSerialConfig.model_validate(keys | {"kind": "tcp-serial"}), Assumptions(0.0, 0.02))
    alone = wire_of(serial(), Assumptions(0.0, 0.02))
    assert behind.busy_s(8, 9, 0.0, 0.0) == pytest.approx(alone.busy_s(8, 9, 0.0, 0.0) + 0.02)
    tcp = wire_of(ModbusTcpConfig.model_validate(keys | {"kind": "modbus-tcp"}), Assumptions(0.0, 0.02))
    assert tcp.busy_s(101, 200, 0.02, 0.0) == 0.02


def test_a_line_by_hand(tmp_path: Path) -> None:
    """One meter, two voltages of two registers each at address 0: 8 + 5 + 8 characters and two gaps, every 10 s."""
    text = site_text(SERIAL, 1, channels=["voltage_ln_l1", "voltage_ln_l2"])
    (plan,) = planned(text, tmp_path).values()
    (target,) = plan.targets
    assert target.exchanges is not None
    (exchange,) = target.exchanges
    assert exchange.what == {"function": 4, "address": 0, "count": 4}
    assert (plan.requests, plan.size, plan.cycle_s) == (1, 21, 10.0)
    assert plan.busy_s == pytest.approx((21 + 7) * 11 / 9600)
    assert plan.occupancy == pytest.approx((21 + 7) * 11 / 9600 / 10)


def test_every_period_is_counted_as_often_as_it_comes(tmp_path: Path) -> None:
    text = site_text(
        SERIAL,
        1,
        channels=["voltage_ln_l1", "voltage_ln_l2"],
        more='[meters.override.voltage_ln_l2]\nperiod = "15s"',
    )
    (plan,) = planned(text, tmp_path).values()
    one_s = (8 + 5 + 4 + 7) * 11 / 9600
    assert (plan.cycle_s, plan.requests) == (30.0, 3 + 2)
    assert plan.busy_s == pytest.approx(5 * one_s)
    assert plan.occupancy == pytest.approx(one_s / 10 + one_s / 15)
    assert plan.round_s == pytest.approx(2 * one_s)


def test_turnaround_counts_where_meters_follow_each_other(tmp_path: Path) -> None:
    line = SERIAL + 'turnaround = "50ms"\n'
    alone, several = (planned(site_text(line, n), tmp_path)["line"] for n in (1, 3))
    assert alone.busy_s is not None
    assert several.busy_s == pytest.approx(3 * (alone.busy_s + 0.05))


def test_a_measured_delay_is_used_in_place_of_the_assumed(tmp_path: Path) -> None:
    def busy_s(more: str, assumed: Assumptions) -> float:
        return planned(site_text(SERIAL, 1, more=more), tmp_path, assumed)["line"].busy_s or 0.0

    measured = '[meters.read]\ndelay = "40ms"'
    assert busy_s("", Assumptions(delay_s=0.04)) == busy_s(measured, Assumptions(delay_s=0.01))
    assert busy_s(measured, NOTHING_ASSUMED) == busy_s("", NOTHING_ASSUMED)


def test_r6_a_meter_may_be_asked_for_less_than_its_type(tmp_path: Path) -> None:
    usual = planned(site_text(TCP, 1), tmp_path)["hall"]
    fewer = planned(site_text(TCP, 1, more="[meters.read]\nregisters_max = 4"), tmp_path)["hall"]
    counts = [e.what["count"] for target in fewer.targets for e in target.exchanges or ()]
    assert counts
    assert all(isinstance(count, int) and count <= 4 for count in counts)
    assert fewer.requests > usual.requests


def test_r2_a_rest_between_requests_is_part_of_the_budget(tmp_path: Path) -> None:
    text = site_text(TCP, 2, more='[meters.read]\npause = "30ms"')
    resting = planned(text, tmp_path, Assumptions(round_trip_s=0.0))["hall"]
    assert resting.busy_s == pytest.approx(0.03 * resting.requests)
    certain = planned(text, tmp_path)["hall"]  # before a meter's first request others may be asked
    assert certain.busy_s == pytest.approx(0.03 * (resting.requests - 2))


def test_requests_that_are_outstanding_together_wait_once(tmp_path: Path) -> None:
    waits = Assumptions(round_trip_s=0.01)
    for pipeline, rounds in ((1, 3), (2, 2), (4, 1)):
        plan = planned(site_text(TCP + f"pipeline = {pipeline}\n", 1), tmp_path, waits)["hall"]
        assert plan.requests == 3
        assert plan.busy_s == pytest.approx(0.01 * rounds)
    resting = site_text(TCP + "pipeline = 4\n", 1, more='[meters.read]\npause = "1ms"')
    assert planned(resting, tmp_path, waits)["hall"].busy_s == pytest.approx(3 * 0.011)


def test_a_dlt645_meter_is_asked_one_identifier_after_the_other() -> None:
    """Request: FE x 4, 68 A0..A5 68 C L, four bytes of identifier, CS 16; the answer carries the value as well."""
    sources = (DltSource(0x00010000, 4), DltSource(0x02010100, 2))
    wire = wire_of(serial(baud=2400, parity="E"), NOTHING_ASSUMED)
    asking = Asking(sources, make_layout([holding(0, 2), holding(2)]), DltSettings(4), wire, 0.0)
    first, second = ESTIMATORS["dlt645"](asking)
    assert first.what == {"identifier": "00010000"}
    assert (first.size, second.size) == (20 + 20 + 4, 20 + 20 + 2)
    assert second.channels == ("ch_1",)
    assert first.busy_s == pytest.approx((44 + 7) * 11 / 2400)


def test_a_cjt188_meter_answers_everything_at_once() -> None:
    """Request: FE x 4, 68 T A0..A6 C L, identifier and SER, CS 16; the answer's data field has 22 bytes."""
    sources = (CjtSource(0x901F, 3, 4), CjtSource(0x901F, 8, 4))
    wire = wire_of(serial(baud=2400, parity="E"), NOTHING_ASSUMED)
    asking = Asking(sources, make_layout([holding(0, 2), holding(2, 2)]), CjtSettings(0x10, (22,)), wire, 0.0)
    (only,) = ESTIMATORS["cjt188"](asking)
    assert only.channels == ("ch_0", "ch_1")
    assert only.size == (4 + 16) + (4 + 13 + 22)


def test_the_sizes_of_modbus_are_those_of_the_frames(tmp_path: Path) -> None:
    text = site_text(SERIAL, 1, channels=["voltage_ln_l1", "voltage_ln_l2"])
    (exchange,) = planned(text, tmp_path)["line"].targets[0].exchanges or ()
    ask = RtuAsk(1, 4, 0, 4)
    assert exchange.size == len(ask.request) + ask.answer_size


async def test_r2_r6_what_the_site_file_says_reaches_the_driver(tmp_path: Path) -> None:
    """The limits of `[meters.read]` are those of the poll, so the plan is what will be asked."""
    text = site_text(SERIAL, 1, more='[meters.read]\nregisters_max = 4\nhole_max = 2\npause = "30ms"')
    site = from_toml(text, tmp_path / "site.toml")
    directory = SiteDirectory("g", "s", "d", ())
    (target,) = targets(site, library(site), directory, SystemClock())["line"]
    poll = await target.poll(cast("Link", None))
    assert isinstance(poll.settings, ReadLimits)
    assert (poll.settings.registers_max, poll.settings.hole_max, poll.settings.pause_ms) == (4, 2, 30)
    timing = Timing(9600, "E", 1)
    cost = line_cost(timing.character_s, timing.silence_s)
    driven = [
        (b.function, b.address, b.count)
        for b in plan(poll.sources, poll.settings, poll.layout, cost=cost).blocks
    ]
    shown = planned(text, tmp_path)["line"].targets[0].exchanges or ()
    assert [tuple(exchange.what.values()) for exchange in shown] == driven


def test_opc_ua_has_no_use_for_limits(tmp_path: Path) -> None:
    text = OPCUA + "[meters.read]\nregisters_max = 4\n"
    with pytest.raises(ConfigError, match=r"meters\.boiler-1\.read\.registers_max"):
        from_toml(text, tmp_path / "site.toml")


def test_opc_ua_is_one_request_without_a_time(tmp_path: Path) -> None:
    plan = planned(OPCUA, tmp_path)["dcs"]
    assert (plan.requests, plan.size, plan.busy_s, plan.occupancy) == (1, None, None, None)


def test_channels_no_request_can_read_are_one_finding_for_the_type(tmp_path: Path) -> None:
    site = from_toml(site_text(TCP, 3, more="[meters.read]\nregisters_max = 1"), tmp_path / "site.toml")
    (finding,) = certain_findings(site, library(site))
    assert finding.path == "meters.m-1.channels"
    assert "2 more meters of eastron-sdm630" in finding.found
    assert "lawful" in finding.found


def test_a_tight_line_is_a_warning_and_a_full_one_a_finding(tmp_path: Path) -> None:
    found = {n: examined(site_text(SERIAL, n), tmp_path) for n in (20, 36, 60)}
    assert not found[20].warnings
    assert not found[20].findings
    assert len(found[36].warnings) == 1
    assert not found[36].findings
    assert len(found[60].findings) == 1
    assert found[60].findings[0].path == "links.line"


def test_a_long_round_is_told_although_the_line_has_time(tmp_path: Path) -> None:
    """A minute's worth of registers once an hour: two per cent of the time, but the ten seconds' polls wait."""
    often = site_text(SERIAL, 1, channels=["voltage_ln_l1"])
    seldom = site_text(SERIAL, 120, period="1h", first=2).partition("[[meters]]")
    found = examined(often + seldom[1] + seldom[2], tmp_path)
    occupancy = found.links["line"].occupancy
    assert occupancy is not None
    assert occupancy < 0.1
    (warning,) = found.warnings
    assert "skipped" in warning


def test_only_what_is_certain_refuses_a_start(tmp_path: Path) -> None:
    """60 meters fill the line by assumption as well as without; 39 only because meters take time to think."""
    for meters, assumed_full, certain in ((60, True, True), (39, True, False)):
        site = from_toml(site_text(SERIAL, meters), tmp_path / "site.toml")
        assert bool(examine(site, library(site), Assumptions()).findings) is assumed_full
        assert bool(certain_findings(site, library(site))) is certain


def test_r26_two_hundred_meters_are_planned_at_once(tmp_path: Path) -> None:
    """3000 channels on one serial server, with proposals for what does not fit."""
    site = from_toml(site_text(TCP, 200, period="1s", channels="*"), tmp_path / "site.toml")
    start_s = time.process_time()
    found = examine(site, library(site), Assumptions())
    assert time.process_time() - start_s < 5
    plan = found.links["hall"]
    assert len(plan.targets) == 200
    assert sum(len(target.keys) for target in plan.targets) > 3000
    assert found.findings
    assert found.proposed["hall"]
