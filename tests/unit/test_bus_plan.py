"""The budget of links: against figures worked out by hand, and proposals against the plan they lead to."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from gateway.assembly import library
from gateway.bus_estimates import NOTHING_ASSUMED, Assumptions, wire_of
from gateway.bus_findings import SitePlan, certain_findings, examine
from gateway.bus_plan import Planner
from gateway.config.links import ModbusTcpConfig, SerialConfig, TcpSerialConfig
from gateway.config.site_file import from_toml
from tests.unit.plan_sites import SERIAL, TCP, site_text

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.bus_plan import LinkPlan


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
    usual = planned(site_text(TCP, 1), tmp_path)["hall"]
    resting = planned(site_text(TCP, 1, more='[meters.read]\npause = "30ms"'), tmp_path)["hall"]
    assert usual.busy_s == 0
    assert resting.busy_s == pytest.approx(0.03 * resting.requests)


def test_opc_ua_is_one_request_without_a_time(tmp_path: Path) -> None:
    text = (
        site_text('[[links]]\nid = "dcs"\nkind = "opcua"\nurl = "opc.tcp://127.0.0.1:4840"\n', 0)
        + """
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
    plan = planned(text, tmp_path)["dcs"]
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
