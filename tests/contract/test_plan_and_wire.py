"""The plan of a line against the line: what was announced is what the wire carried, to the byte and to the millisecond."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway import assembly
from gateway.clock import SystemClock
from gateway.config.site_file import from_toml
from gateway.planning.links import Planner
from gateway.planning.wire_time import Assumptions, wire_of
from gateway.targets import SiteDirectory
from simulators.plan import load_plan
from simulators.run import serve
from simulators.site_file import site_toml

if TYPE_CHECKING:
    from pathlib import Path

DELAY_S = 0.012
PREAMBLE = 4
PLANT = """
[simulation]
name = "One line"
seed = 1

[[links]]
id = "line"
kind = "serial"
baud = {baud}
parity = "{parity}"

[[meters]]
id = "one"
link = "line"
unit = 1
profile = "eastron-sdm630"
energy_kind = "electricity"
model = "electricity"
delay = "12ms"
parameters = {{ power_kw = 4 }}

[[meters]]
id = "two"
link = "line"
unit = 2
profile = "acrel-adl3000"
energy_kind = "electricity"
model = "electricity"
delay = "12ms"
parameters = {{ power_kw = 4 }}
ratios = {{ ct = 1, pt = 1 }}
"""
BY_IDENTIFIER = """
[[meters]]
id = "three"
link = "line"
address = "000012345678"
profile = "dlt645-2007"
energy_kind = "electricity"
model = "electricity"
delay = "12ms"
parameters = { power_kw = 4 }
ratios = { ct = 1, pt = 1 }

[[meters]]
id = "four"
link = "line"
address = "00000012345678"
profile = "cjt188-water"
energy_kind = "water"
model = "water"
delay = "12ms"
parameters = { flow_m3_h = 3 }
"""


@pytest.mark.parametrize(
    ("baud", "parity", "more"),
    [(19200, "E", ""), (115_200, "N", ""), (19200, "E", BY_IDENTIFIER)],
    ids=["slow", "fast", "mixed"],
)
async def test_r26_a_line_carries_what_its_plan_says(
    tmp_path: Path, baud: int, parity: str, more: str
) -> None:
    file = tmp_path / "plant.toml"
    file.write_text(PLANT.format(baud=baud, parity=parity) + more, encoding="utf-8")
    simulated = load_plan(file)
    running = await serve(simulated)
    site = from_toml(site_toml(simulated, running.ports, period="10s"), tmp_path / "site.toml")
    library = assembly.library(site)
    planned = Planner(library, Assumptions(delay_s=DELAY_S)).site(site)["line"]
    clock = SystemClock()
    directory = SiteDirectory("g", "test", "digest", assembly.meter_infos(site))
    targets = assembly.targets(site, library, directory, clock)["line"]
    link = assembly.link(site.link("line"), clock)
    tally = running.line("line").wire.tally
    try:
        await link.open()
        polls = [await target.poll(link) for target in targets]
        for (
            poll
        ) in polls:  # ratios, units and clocks are read at first and then seldom: the plan leaves them out
            await link.read(poll)
        asked, sent, lawful_s = tally.requests, tally.bytes_sent + tally.bytes_replied, tally.lawful_s
        for poll in polls:
            (sample,) = await link.read(poll)
            assert not any(sample.flags)
    finally:
        await link.close()
        await running.stop()
    # DL/T 645 and CJ/T 188 meters may leave out the FE bytes before an answer, for which the plan keeps time.
    by_identifier = [
        e for target in planned.targets for e in target.exchanges or () if "identifier" in e.what
    ]
    left_out = PREAMBLE * len(by_identifier)
    size = tally.bytes_sent + tally.bytes_replied - sent
    character_s = wire_of(site.link("line"), Assumptions()).character_s
    assert tally.requests - asked == planned.requests
    assert planned.size is not None
    assert planned.busy_s is not None
    assert planned.size - left_out <= size <= planned.size
    spare_s = (planned.size - size) * character_s
    assert planned.busy_s - spare_s == pytest.approx(tally.lawful_s - lawful_s, abs=0.001)
