"""Intervals of another length or version, before the first one has closed: the new ones begin where the epoch did, not in 1970."""

from __future__ import annotations

from typing import Any, cast

import pytest

from gateway.clock import SystemClock
from gateway.config.site_file import from_toml
from gateway.derive.agenda import Agenda
from gateway.derive.deriver import Deriver
from gateway.intervals.engine import Engine
from gateway.intervals.grid import Grid
from gateway.model import NS, Event
from tests.unit.sums_rig import at

BEGIN = at("2026-08-01T00:00:07")
SITE = """
[gateway]
id = "plant-1"
state_dir = "state"
[site]
timezone = "Asia/Shanghai"
[intervals]
length = "20s"
grace = "5s"
"""


@pytest.fixture
def deriver(tmp_path: Any) -> Deriver:
    """Return one of a site whose intervals are 20 s long, which has not closed any."""
    site = from_toml(SITE, tmp_path / "site.toml")
    nothing = cast("Any", None)
    made = Deriver(site, nothing, nothing, SystemClock(), nothing, None)
    made._agenda = Agenda(made.grid, None, site.intervals)
    return made


def test_begins_with_the_epoch(deriver: Deriver) -> None:
    before = Engine(Grid("Asia/Shanghai", 900), 30 * NS)
    before.take(Event(BEGIN, "start", "plant-1", {"epoch": 0}))
    engine = deriver._restored(before.snapshot())
    assert engine.open_ns == at("2026-08-01T00:00")  # what was due since 00:00:07 is not left out
    assert engine.lengths.span(engine.open_ns) == (at("2026-08-01T00:00"), at("2026-08-01T00:00:20"))


@pytest.mark.parametrize(("epoch", "begin"), [(0, "2026-08-01T06:00"), (1, "2026-08-01T00:00:20")])
def test_what_had_closed_in_another_epoch_says_nothing(deriver: Deriver, epoch: int, begin: str) -> None:
    before = Engine(Grid("Asia/Shanghai", 900), 30 * NS)
    before.take(Event(BEGIN, "start", "plant-1", {"epoch": epoch}))
    deriver._agenda.closed(at("2026-08-01T05:59:40"), at("2026-08-01T06:00"), epoch=0)
    engine = deriver._restored(before.snapshot() | {"version": 0})
    assert engine.open_ns == at(begin)


def test_begins_with_the_first_record_where_nothing_is_known(deriver: Deriver) -> None:
    before = Engine(Grid("Asia/Shanghai", 900), 30 * NS)
    engine = deriver._restored(before.snapshot())
    assert engine.open_ns is None
    assert engine.close(BEGIN, idle=True) == []
    engine.take(Event(BEGIN, "start", "plant-1", {"epoch": 0}))
    assert engine.open_ns == at("2026-08-01T00:00")
