"""Certificates of sinks that end are events, once each."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from gateway.certificate_watch import watch_certificates
from gateway.config.site_file import from_toml
from simulators.virtual import VirtualClock, run
from tests.fakes.certificates import make_certificates

if TYPE_CHECKING:
    from pathlib import Path

DAY_S = 86_400.0
SITE = """
[gateway]
id = "plant-1"
state_dir = "."
[site]
timezone = "Asia/Shanghai"
[[sinks]]
id = "cloud"
kind = "mqtt"
host = "broker.example"
port = 8883
tls = {{ enabled = true, ca_file = "{ca}", cert_file = "{cert}", key_file = "{key}" }}
"""


class Told:
    """Events, as they are noted."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str, dict[str, object]]] = []

    def note(self, kind: str, subject: str, /, **detail: object) -> None:
        self.events.append((kind, subject, detail))


def test_a_certificate_that_ends_is_told_once_thirty_days_ahead(tmp_path: Path) -> None:
    made = make_certificates(tmp_path / "tls", days={"ca": (-1, 400), "client": (-1, 33)})
    text = SITE.format(ca=made.ca, cert=made.client, key=made.client_key)
    site, told = from_toml(text, tmp_path / "site.toml"), Told()
    now_ns = round(datetime.now(UTC).timestamp()) * 10**9

    async def main() -> None:
        clock = VirtualClock(now_ns)
        task = asyncio.create_task(watch_certificates(site, told, clock))  # type: ignore[arg-type]
        await clock.sleep_until(clock.monotonic() + 2.5 * DAY_S)
        assert not told.events
        await clock.sleep_until(clock.monotonic() + 10 * DAY_S)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    run(main())
    ((kind, subject, detail),) = told.events
    assert (kind, subject, detail["whose"]) == ("certificate_expires", "cloud", "own")
    assert 32.9 < (int(str(detail["until_ns"])) - now_ns) / 86_400e9 < 33.1
    assert len(str(detail["fingerprint"])) == 64
