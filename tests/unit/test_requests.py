"""Exact numbers and durations that others send: bounded, whatever they say."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import orjson
import pytest

from gateway.control.maintenance import FILE, LONGEST_S, Maintenance
from gateway.control.requests import BadRequest, decimal
from gateway.health import Health, MeterHealth
from gateway.journal.event_log import EventLog
from gateway.polling.recorder import Recorder
from simulators.virtual import VirtualClock, run
from tests.unit.journal_rig import START_NS, open_journal

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("text", ["0", "-12.5", "1234567890.123456", "1e6", "9" * 40])
def test_numbers_a_meter_may_show_are_read(text: str) -> None:
    assert decimal(text, "closing") == Decimal(text)


@pytest.mark.parametrize(
    "text", ["1e30000000", "1e999999999999999999", "1e-41", "9" * 41, "0." + "1" * 41, "0e900000000", "NaN", "Infinity", ""]
)  # fmt: skip
def test_numbers_that_would_fill_the_journal_are_refused(text: str) -> None:
    with pytest.raises(BadRequest, match="closing: expected a decimal number"):
        decimal(text, "closing")


@pytest.mark.parametrize("until_ns", [1e300, -1, START_NS + (LONGEST_S + 1) * 1e9])
def test_a_maintenance_that_cannot_end_is_forgotten(tmp_path: Path, until_ns: float) -> None:
    async def main() -> None:
        clock = VirtualClock(START_NS)
        (tmp_path / FILE).write_bytes(
            orjson.dumps({"m-1": {"until_ns": until_ns, "why": "w", "by": ""}, "m-2": {"until_ns": START_NS + 10**9, "why": "w", "by": ""}})
        )  # fmt: skip
        health = Health(meters={id_: MeterHealth("link-1") for id_ in ("m-1", "m-2")})
        journal = open_journal(tmp_path, clock)
        events = EventLog(journal, clock)
        recorder = Recorder(journal, events, clock, health)
        Maintenance(tmp_path, {"m-1": "link-1", "m-2": "link-1"}, recorder, events, clock)
        assert set(recorder.marks) == {"m-2"}

    run(main())
