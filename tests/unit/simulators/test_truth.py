"""Both sides of the wire: what the gateway decodes of the demo plant is what the simulated meters show.

The two share no codec, so an agreement on every channel of every meter is an agreement on the profiles.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway import assembly
from gateway.clock import SystemClock
from gateway.config.site_file import load
from gateway.targets import SiteDirectory
from simulators.plan import load_plan
from simulators.run import DEMO_FILE, serve
from simulators.site_file import site_toml

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.interfaces import Poll
    from gateway.model import Sample
    from simulators.site import Site


def disagreements(site: Site, poll: Poll, sample: Sample) -> list[str]:
    """Return every channel whose value is flagged or is not what the meter showed around that time."""
    layout = poll.layout
    flags = sample.flags[:]
    values = layout.decode(sample.raw, flags)
    found = []
    for i, channel in enumerate(layout.channels):
        shown = site.truths(poll.meter, channel.key, sample.time_ns, channel.unit)
        exact = layout.exact(sample.raw, i)
        good = [pytest.approx(truth, rel=1e-6, abs=1e-9) for truth in shown]  # exact() prints a float32 short
        if flags[i] or values[i] not in good or exact is None or float(exact) not in good:
            found.append(
                f"{poll.meter}.{channel.key}: {values[i]} ({exact}, flags {flags[i]}), showed {shown}"
            )
    return found


@pytest.mark.asyncio
async def test_every_value_the_gateway_reads_is_what_the_meter_shows(tmp_path: Path) -> None:
    clock = SystemClock()
    plan = load_plan(DEMO_FILE)
    running = await serve(plan)
    site_file = tmp_path / "site.toml"
    site_file.write_text(site_toml(plan, running.ports, state_dir=str(tmp_path)), encoding="utf-8")
    config = load(site_file)
    directory = SiteDirectory("demo", "test", config.digest, assembly.meter_infos(config))
    targets = assembly.targets(config, assembly.library(config), directory, clock)
    wrong: list[str] = []
    meters: set[str] = set()
    try:
        for link_config in config.links:
            link = assembly.link(link_config, clock)
            await link.open()
            for target in targets[link_config.id]:
                poll = await target.poll(link)
                for sample in await link.read(poll):
                    wrong += disagreements(running.site, poll, sample)
                    meters.add(poll.meter)
            await link.close()
    finally:
        await running.stop()
    assert not wrong
    assert meters == {meter.id for meter in plan.meters}
