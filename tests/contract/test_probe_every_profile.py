"""Every Modbus meter type, served with its physics, is found by probing it over a socket, or said to be beyond proof."""

from __future__ import annotations

from dataclasses import replace

import pytest

from drivers.profiles import Library, shipped_dir
from gateway.clock import SystemClock
from gateway.commissioning.bus import standalone
from gateway.commissioning.neighbours import probe_check, telling_checks
from gateway.commissioning.probe import candidates, diagnose, rank, verdict
from gateway.commissioning.reads import MeterReads
from gateway.config.links import ModbusTcpConfig
from simulators.plan import LinkPlan, Plan
from simulators.run import serve
from tests.contract.test_every_profile import meters_of

LIBRARY = Library([shipped_dir()])
TYPES = candidates(LIBRARY)
BEYOND = {"sick-gm32", "sick-marsic300", "siemens-siprocess-ga700"}
"""Nothing but concentrations, which may be anything."""


def plan_of(name: str) -> Plan:
    first = next(iter(meters_of(name)))
    meter = replace(
        first, id="m", unit=1, link="x", shows={}, ratios=dict.fromkeys(first.ratios, "1"), channels=()
    )
    return Plan("one", 1, (LinkPlan(id="x", kind="modbus-tcp"),), (meter,), (), 3600.0, "1s")


@pytest.mark.parametrize("name", [profile.id for profile in TYPES])
async def test_a_meter_is_told_by_its_registers(name: str) -> None:
    profile = LIBRARY.get(name)
    running = await serve(plan_of(name))
    try:
        body = {"id": "x", "kind": "modbus-tcp", "host": "127.0.0.1", "port": running.ports["x"]}
        async with standalone(ModbusTcpConfig.model_validate(body), SystemClock()) as bus:
            reads = MeterReads(bus, 1, SystemClock(), timeout_s=2.0)
            ranked, _ = await rank(reads, TYPES)
            in_place, _ = await diagnose(reads, profile)
    finally:
        await running.stop()
    said = verdict(ranked, reads)
    provable = probe_check(profile) is not None or bool(profile.detect) or len(telling_checks(profile)) > 1
    if name in BEYOND:
        assert said.outcome == "none"
    else:
        assert name in said.best
        assert said.outcome in ({"one", "several"} if provable else {"one", "maybe"})
    assert len(said.best) <= 3, "who reads alike are kin"
    assert in_place is not False
    assert reads.asked <= 150
