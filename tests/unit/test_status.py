"""What `metergate status` shows of channels that are absent and of maintenance."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from gateway.clock import local
from gateway.commands.tables import status_view
from gateway.health import Health, LinkHealth, MeterHealth

NOON_NS = 1_780_027_200_000_000_000


def figures(health: Health, maintenance: list[dict[str, Any]]) -> dict[str, Any]:
    return health.figures() | {
        "gateway": {"time_ns": NOON_NS, "clock_synchronised": True},
        "journal": {"readings": 0, "bytes": 0, "epoch": 1, "error": ""},
        "lost": 0,
        "history": {"bytes": 1_000_000, "error": None},
        "intervals": {"closed_until_ns": NOON_NS, "waiting": 0, "behind": 0, "held": ""},
        "feed": {"chain": "c29456762f2b464f", "seq": 1234, "kid": "g-e06432d726afc0d0"},
        "maintenance": maintenance,
    }


def shown(found: dict[str, Any]) -> str:
    out = Console(width=160, record=True, file=io.StringIO())
    out.print(status_view(found, "Asia/Shanghai"))
    return out.export_text()


def test_a_channel_the_meter_does_not_have_is_shown_with_why_until_it_is_there_again() -> None:
    health = Health(links={"dcs": LinkHealth("opcua")}, meters={"boiler": MeterHealth("dcs")})
    detail = {"reason": "bad_node", "where": "ns=2;s=Flow", "error": "BadNodeIdUnknown"}
    health.channels("boiler", off=True, channels=["flow_mass"], **detail)
    text = shown(figures(health, []))
    assert all(word in text for word in ("flow_mass", "ns=2;s=Flow", "BadNodeIdUnknown"))
    assert "Maintenance" not in text
    health.channels("boiler", off=False, channels=["flow_mass"])
    health.channels("nobody", off=True, channels=["flow_mass"])
    assert "flow_mass" not in shown(figures(health, []))


def test_maintenance_is_shown_with_its_end_in_the_sites_time() -> None:
    work = {"subject": "boiler", "until_ns": NOON_NS, "why": "CT exchanged", "by": "Li"}
    text = shown(figures(Health(), [work]))
    assert all(word in text for word in ("boiler", "CT exchanged", "2026-05-29 12:00:00+08:00"))
    assert "maintenance 检修" in text
    assert "away for verification 送检" in shown(figures(Health(), [work | {"removed": True}]))


def test_times_carry_their_offset() -> None:
    assert local(0, "Europe/Berlin") == "1970-01-01 01:00:00+01:00"
