"""A simulation that is started twice, or again: what is refused, what stays, what is told, what is shown whole."""

from __future__ import annotations

import io
import os
import socket
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from rich.console import Console

from drivers.opcua import certificates
from gateway.errors import ConfigError, MetergateError
from simulators.plan import LinkPlan, load_plan
from simulators.run import serve
from simulators.site import Site
from simulators.stage import cause
from simulators.tables import print_tables

if TYPE_CHECKING:
    from pathlib import Path

    from simulators.plan import Plan

YEAR_NS = 365 * 86_400 * 10**9
NOW_NS = 1_795_000_000 * 10**9


def on_a_line(plan: Plan, path: Path) -> Plan:
    """Return the plan with its meters on a serial port at a path, in place of a TCP port."""
    link = LinkPlan(plan.links[0].id, "serial", baud=19_200, path=str(path))
    return replace(plan, links=(link,))


async def test_a_second_one_is_refused_and_leaves_the_link_of_the_first(
    modbus_plan: Plan, tmp_path: Path
) -> None:
    port = tmp_path / "ttyHALL"
    plan = on_a_line(modbus_plan, port)
    first = await serve(plan)
    led_to = os.readlink(port)
    try:
        with pytest.raises(MetergateError, match=r"ttyHALL cannot be served: .* remove it"):
            await serve(plan)
        assert os.readlink(port) == led_to
    finally:
        await first.stop()
    assert port.name not in os.listdir(tmp_path)


async def test_a_link_that_leads_nowhere_is_taken_over_and_a_file_is_not(
    modbus_plan: Plan, tmp_path: Path
) -> None:
    port = tmp_path / "ttyHALL"
    plan = on_a_line(modbus_plan, port)
    port.symlink_to(tmp_path / "gone")
    running = await serve(plan)
    other = tmp_path / "other"
    other.touch()
    port.unlink()
    port.symlink_to(other)
    await running.stop()
    assert os.readlink(port) == str(other), "only who made a link removes it"
    port.unlink()
    port.write_text("mine")
    with pytest.raises(MetergateError, match="ttyHALL"):
        await serve(plan)
    assert port.read_text() == "mine"
    with pytest.raises(MetergateError, match="No such file"):
        await serve(on_a_line(modbus_plan, tmp_path / "nowhere" / "ttyHALL"))


def test_counters_follow_from_time_and_seed_alone(modbus_plan: Plan) -> None:
    channel = ("strict", "energy_active_import_total", NOW_NS + 5 * 10**9, "kWh")
    first, again = Site(modbus_plan, NOW_NS), Site(modbus_plan, NOW_NS + 10**9)
    assert first.truth(*channel) == again.truth(*channel)
    assert first.truth("strict", channel[1], NOW_NS + 3600 * 10**9, "kWh") > first.truth(*channel)
    assert Site(replace(modbus_plan, seed=8), NOW_NS).truth(*channel) != first.truth(*channel)


def test_a_plant_can_be_served_for_years() -> None:
    from simulators.run import DEMO_FILE

    plan = load_plan(DEMO_FILE)
    for years in (0, 1, 10):
        at_ns = NOW_NS + years * YEAR_NS
        site = Site(plan, at_ns)
        for meter in site.meters.values():
            meter.check(site.seconds(at_ns))


async def made_by(plan: Plan) -> bytes:
    """Return the certificate that is kept once the plan is served."""
    running = await serve(plan)
    await running.stop()
    assert plan.state_dir is not None
    return (plan.state_dir / "opcua" / "dcs.der").read_bytes()


async def test_the_certificate_is_kept_and_names_the_host(
    plant_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plan = load_plan(plant_file)
    plan = replace(
        plan,
        links=tuple(replace(link, secure=True) for link in plan.links if link.id == "dcs"),
        meters=tuple(meter for meter in plan.meters if meter.link == "dcs"),
    )
    assert plan.state_dir == plant_file.parent / f"{plant_file.stem}.state"
    first = await made_by(plan)
    assert await made_by(plan) == first
    facts = certificates.facts(first)
    assert socket.gethostname() in facts.hosts
    assert facts.end_ns > NOW_NS + YEAR_NS
    assert isinstance(x509.load_der_x509_certificate(first), x509.Certificate)
    assert not [record for record in caplog.records if "hostname" in record.getMessage()]
    key = plan.state_dir / "opcua" / "dcs.pem"
    assert key.stat().st_mode & 0o077 == 0
    key.write_text("half of one")
    assert await made_by(plan) != first


def test_unknown_profiles_are_told_beside_the_other_mistakes(plant_file: Path) -> None:
    text = plant_file.read_text()
    for right, wrong in (
        ('profile = "toy-electric"', 'profile = "toy-electrik"'),
        ('model = "steam"', 'model = "steem"'),
        ("unit = 2", 'unit = "two"'),
    ):
        assert right in text
        text = text.replace(right, wrong, 1)
    plant_file.write_text(text + '\n[[faults]]\nkind = "ded"\nlink = "hal"\n')
    with pytest.raises(ConfigError) as caught:
        load_plan(plant_file)
    found = {finding.path: finding for finding in caught.value.findings}
    assert "did you mean toy-electric?" in found["meters[1].profile"].suggestion
    assert {"meters[2].unit", "meters[3].model", "faults[1].link", "faults[1].kind"} <= found.keys()
    kinds = found["faults[1].kind"].expected.removeprefix("one of ").split(", ")
    assert len(kinds) == len(set(kinds))
    assert "dead" in kinds


def test_meters_that_cannot_be_simulated_are_told_with_the_mistakes(plant_file: Path) -> None:
    text = plant_file.read_text().replace("ct = 40", "ct = 100000", 1)
    plant_file.write_text(text.replace('model = "steam"', 'model = "steem"', 1))
    with pytest.raises(ConfigError) as caught:
        load_plan(plant_file)
    assert [finding.path for finding in caught.value.findings] == ["meters[3].model", "meters[1] (feeder)"]


@pytest.mark.parametrize("width", [40, 80, 200])
async def test_ids_and_addresses_are_shown_whole(modbus_plan: Plan, width: int) -> None:
    meter = replace(
        modbus_plan.meters[0], id="a-meter-with-an-id-of-32-letters", name="Eine Einspeisung mit Namen 进线柜"
    )
    running = await serve(replace(modbus_plan, meters=(meter, *modbus_plan.meters[1:])))
    out = io.StringIO()
    print_tables(running, Console(file=out, width=width))
    url = running.links["hall"].url
    await running.stop()
    shown = out.getvalue()
    for whole in (meter.id, meter.profile, url, "electricity"):
        assert whole in shown


def test_why_a_child_ended() -> None:
    traceback = "INFO started\nTraceback (most recent call last):\n  File x\n    await y\nOSError: [Errno 98] in use\n"
    assert cause(traceback) == "OSError: [Errno 98] in use"
    lines = [f"line {i} " + "x" * 90 for i in range(20)]
    said = cause("\n".join(lines)).splitlines()
    assert said == lines[-len(said) :]
    assert 5 < len(said) < 10
    assert cause("one\n\ntwo\n") == "one\ntwo"
    assert cause("y" * 2000) == "y" * 2000
    assert cause("") == ""
