"""The site of a simulated plant: a site file and a profile as a user would write them, as large as a plan asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway import assembly
from gateway.config.site_file import from_toml

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from drivers.profiles import Library
    from gateway.config.models import Site
    from tests.sim.plant import Plan

CT = 40  # what the ratio register of every meter holds

PROFILE = """
schema = 1
id = "fake-meter"
maker = "Fake"
model = "Meter"
medium = "electricity"
protocol = "modbus"
confidence = "one-source"
sources = ["made up for simulations"]
no_probe = "it is a fake"
[read]
function = 3
doc_offset = 0
order = "ABCD"
type = "f32"
[ratios.ct]
address = 900
type = "u16"
"""
GAUGE = """
[channels.power_active_{i}]
quantity = "power_active"
address = {address}
order = "{order}"
factor = "{factor}"
unit = "kW"
multiply = ["ct"]
low = -1e9
high = 1e9
"""
COUNTER = """
[channels.energy_active_import_{i}]
quantity = "energy_active_import"
address = {address}
type = "u32"
factor = "0.1"
unit = "kWh"
modulus_raw = "4294967296"
multiply = ["ct"]
"""
GOLDEN = """
[[golden]]
name = "constructed"
constructed = true
source = "made up"
ratios = { ct = "1" }
blocks = [{ function = 3, address = 0, hex = "42c80000" }]
expect = { power_active_0 = "100" }
"""
SITE = """
[gateway]
id = "plant-1"
state_dir = "."
profile_dirs = ["profiles"]
[site]
timezone = "Asia/Shanghai"
region = "350100"
enterprise = "91350100M000100Y43"
[journal]
free_min = "0KiB"
"""
LINK = """
[[links]]
id = "{id}"
kind = "modbus-tcp"
host = "127.0.0.1"
port = {port}
timeout = "500ms"
"""
METER = """
[[meters]]
id = "{id}"
link = "{link}"
unit = {unit}
profile = "fake-meter"
energy_kind = "electricity"
period = "{period_s:g}s"
channels = ["*"]
"""
SINK = """
[[sinks]]
id = "{id}"
kind = "mqtt"
host = "127.0.0.1"
port = {port}
backlog_rate = {backlog_rate:d}
"""

FEED = """
[[sinks]]
id = "{id}"
kind = "feed"
host = "127.0.0.1"
port = {port}
backlog_rate = 200
"""
INTERVALS = """
[intervals]
length = "{length}"
"""


def profile(channels: int) -> str:
    """Return a profile whose every third channel is a counter, half of the others with their words swapped."""
    text = PROFILE
    for i in range(channels):
        if i % 3 == 2:
            text += COUNTER.format(i=i, address=2 * i)
        else:
            order, factor = "CDAB" if i % 2 else "ABCD", "1000" if i % 4 == 3 else "1"
            text += GAUGE.format(i=i, address=2 * i, order=order, factor=factor)
    return text + GOLDEN


def write(plan: Plan, folder: Path, edit: Callable[[str], str] = str) -> tuple[Site, Library]:
    """Return the checked site of a plan and its profiles; meters are dealt to links in turn. edit: of the site file."""
    (folder / "profiles").mkdir(parents=True, exist_ok=True)
    (folder / "profiles" / "fake-meter.toml").write_text(profile(plan.channels))
    text = SITE
    for n in range(plan.links):
        text += LINK.format(id=f"link-{n + 1}", port=1502 + n)
    for n in range(plan.meters):
        link, unit = f"link-{n % plan.links + 1}", n // plan.links + 1
        text += METER.format(id=f"m-{n + 1:03d}", link=link, unit=unit, period_s=plan.period_s)
    for n, id_ in enumerate(plan.sink_troubles):
        text += SINK.format(id=id_, port=1883 + n, backlog_rate=round(plan.backlog_rate))
    for n, id_ in enumerate(plan.feed_troubles):
        text += FEED.format(id=id_, port=2883 + n)
    if plan.interval:
        text += INTERVALS.format(length=plan.interval)
    site = from_toml(edit(text), folder / "site.toml")
    journal = site.journal.model_copy(update={"size_max_bytes": plan.size_max})  # smaller than a file may say
    site = site.model_copy(update={"journal": journal})
    return site, assembly.library(site)
