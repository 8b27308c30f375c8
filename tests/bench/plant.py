"""The benchmark's plant: one meter type of 30 float32 channels in 60 registers, and the site file that reads it."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GATEWAY = "bench"
PROFILE = "bench-f32x30"
CLOCK_KEY = "code_clock"
CLOCK_MODULUS_MS = 1 << 23
"""Channel 0 is the machine's monotonic time in ms, modulo this: whole numbers up to 2^24 are exact in a float32."""
UNIT = 1
MQTT_SINK, INFLUX_SINK, FEED_SINK = "mqtt", "influx", "feed"
REGION, ENTERPRISE = "350100", "91350100M000100Y43"

CHANNELS: tuple[tuple[str, str, str, float], ...] = (
    # key, quantity, unit on the wire, a usual value
    (CLOCK_KEY, "code", "1", 0.0),
    *((f"voltage_ln_l{n}", "voltage_ln", "V", 230.4) for n in (1, 2, 3)),
    *((f"current_l{n}", "current", "A", 41.7) for n in (1, 2, 3)),
    *((f"power_active_l{n}", "power_active", "W", 8120.3) for n in (1, 2, 3)),
    *((f"power_apparent_l{n}", "power_apparent", "VA", 9480.9) for n in (1, 2, 3)),
    *((f"power_reactive_l{n}", "power_reactive", "var", 2210.6) for n in (1, 2, 3)),
    *((f"power_factor_l{n}", "power_factor", "1", 0.871) for n in (1, 2, 3)),
    *((f"voltage_ll_l{n}", "voltage_ll", "V", 399.1) for n in (1, 2, 3)),
    *((f"thd_current_l{n}", "thd_current", "%", 7.43) for n in (1, 2, 3)),
    ("power_active_total", "power_active", "W", 24360.9),
    ("frequency", "frequency", "Hz", 50.013),
    ("energy_active_import_total", "energy_active_import", "kWh", 184213.7),
    ("energy_reactive_import_total", "energy_reactive_import", "kvarh", 51837.2),
    ("temperature_case", "temperature", "°C", 36.62),
)
REGISTERS = 2 * len(CHANNELS)
COUNTERS = tuple(i for i, (key, *_) in enumerate(CHANNELS) if key.startswith("energy_"))


def host(n: int) -> str:
    """Return the loopback address of meter `n`: two links may not share host and port."""
    return f"127.0.{1 + n // 200}.{1 + n % 200}"


def meter_id(n: int) -> str:
    """Return the id of meter `n`."""
    return f"meter-{n:05d}"


def _golden() -> str:
    """Return a capture of values that are exact in a float32."""
    values = [Decimal(n) + Decimal("0.5") for n in range(len(CHANNELS))]
    body = struct.pack(f">{len(values)}f", *map(float, values)).hex()
    i = [key for key, *_ in CHANNELS].index("voltage_ln_l1")
    return f'''
[[golden]]
name = "constructed: halves"
constructed = true
source = "none: this meter type exists only in the benchmark"
blocks = [{{ function = 3, address = 0, hex = "{body}" }}]
expect = {{ voltage_ln_l1 = "{values[i]}" }}
'''


def profile_toml() -> str:
    """Return the meter type: 60 consecutive holding registers, read in one request."""
    channels = "".join(
        f'[channels.{key}]\nquantity = "{quantity}"\naddress = {2 * i}\nunit = "{unit}"\n'
        for i, (key, quantity, unit, _) in enumerate(CHANNELS)
    )
    return f'''schema = 1
id = "{PROFILE}"
maker = "Metergate"
model = "benchmark meter"
medium = "electricity"
protocol = "modbus"
confidence = "one-source"
sources = ["tests/bench/plant.py"]
no_probe = "exists only in the benchmark"

[read]
function = 3
order = "ABCD"
type = "f32"
registers_max = 125
holes = "error"

{channels}{_golden()}'''


@dataclass(frozen=True)
class SitePlan:
    """What the benchmark's site file says. mqtt_group: "commit" or "meter"; influx_url: "" without that sink.

    backlog_rate: readings/s, 0 for the default. feed_rate: messages/s of the feed's backlog, 0 without a feed.
    """

    meters: int
    period_ms: int
    meter_port: int
    mqtt_port: int
    mqtt_group: str = "commit"
    influx_url: str = ""
    backlog_rate: int = 0
    feed_rate: int = 0


def _tables(plan: SitePlan, folder: Path) -> Iterator[str]:
    yield f'''[gateway]
id = "{GATEWAY}"
state_dir = "{folder / "state"}"
profile_dirs = ["{folder / "profiles"}"]
log_level = "warning"

[site]
timezone = "Asia/Shanghai"
'''
    if plan.feed_rate:
        yield f'''region = "{REGION}"
enterprise = "{ENTERPRISE}"

[intervals]
length = "10s"
grace = "2s"
'''
    for n in range(plan.meters):
        yield f'''[[links]]
id = "link-{n:05d}"
kind = "modbus-tcp"
host = "{host(n)}"
port = {plan.meter_port}

[[meters]]
id = "{meter_id(n)}"
link = "link-{n:05d}"
unit = {UNIT}
profile = "{PROFILE}"
energy_kind = "electricity"
period = "{plan.period_ms}ms"
channels = ["*"]
'''
    yield f'''[[sinks]]
id = "{MQTT_SINK}"
kind = "mqtt"
host = "127.0.0.1"
port = {plan.mqtt_port}
group = "{plan.mqtt_group}"
'''
    rate = f"backlog_rate = {plan.backlog_rate}\n" if plan.backlog_rate else ""
    yield rate
    if plan.influx_url:
        yield f'''[[sinks]]
id = "{INFLUX_SINK}"
kind = "influx"
url = "{plan.influx_url}"
org = "{GATEWAY}"
bucket = "{GATEWAY}"
{rate}'''
    if plan.feed_rate:
        yield f'''[[sinks]]
id = "{FEED_SINK}"
kind = "feed"
host = "127.0.0.1"
port = {plan.mqtt_port}
backlog_rate = {plan.feed_rate}
'''


def write_site(plan: SitePlan, folder: Path) -> Path:
    """Write profile and site file into `folder` and return the site file."""
    profiles = folder / "profiles"
    profiles.mkdir(parents=True, exist_ok=True)
    (profiles / f"{PROFILE}.toml").write_text(profile_toml(), encoding="utf-8")
    path = folder / "site.toml"
    path.write_text("\n".join(_tables(plan, folder)), encoding="utf-8")
    return path
