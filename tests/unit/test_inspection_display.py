"""What a display showed is held beside the gateway's last reading, where the history has one."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from gateway.commands.inspect_work import beside
from gateway.errors import MetergateError
from gateway.inspection.display import agreement
from gateway.inventory.model import Instrument
from tests.unit.balance_rig import meter
from tests.unit.history_site import END, HistorySite
from tests.unit.sums_rig import KEY

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def here(tmp_path: Path) -> HistorySite:
    site = HistorySite(tmp_path)
    site.close()
    return site


def _instrument(own: str = "m-1") -> Instrument:
    return Instrument.model_validate(meter("i-1", "in", meter=own, channel=KEY))


def test_display_beside_the_history(here: HistorySite) -> None:
    last = beside("0 kWh", _instrument(), here.site, END)
    assert last.gateway_time_ns is not None
    assert END - 86_400 * 10**9 < last.gateway_time_ns <= END + 10**9
    shown = beside(f"{Decimal(last.gateway) + 3} kWh", _instrument(), here.site, END)
    assert Decimal(shown.difference or "0") == 3
    assert (shown.unit, shown.note) == ("kW·h", "")


@pytest.mark.parametrize(
    ("ahead", "hours", "agrees"),
    [
        ("0", 1, "ok"),
        ("-1", 1, "ok"),  # one count of the last place
        ("-2", 1, "wrong"),  # a counter never runs back
        ("5", 1, "ok"),  # it counts 4 an hour, and one count
        ("6", 1, "wrong"),
        ("6", 2, "ok"),
    ],
)
def test_what_follows_from_the_display(here: HistorySite, ahead: str, hours: int, agrees: str) -> None:
    last = beside("0 kWh", _instrument(), here.site, END)
    assert last.gateway_time_ns is not None
    now = last.gateway_time_ns + hours * 3600 * 10**9
    seen = beside(f"{Decimal(last.gateway) + Decimal(ahead)} kWh", _instrument(), here.site, now)
    assert (seen.agrees, seen.digit) == (agrees, "1")
    assert Decimal(seen.lapse or "0") == 4 * hours


def test_nothing_follows_where_nobody_knows_how_fast_it_counts() -> None:
    assert agreement(Decimal(2), Decimal(1), None) == "not_seen"
    assert agreement(Decimal(1), Decimal(1), None) == "ok"
    assert agreement(Decimal(-2), Decimal(1), None) == "wrong"


def test_an_old_reading_says_nothing(here: HistorySite) -> None:
    shown = beside("1 kWh", _instrument(), here.site, END + 5 * 86_400 * 10**9)
    assert (shown.difference, shown.note) == (None, "the gateway has no reading of the last two days")


def test_display_of_another_unit_is_refused(here: HistorySite) -> None:
    with pytest.raises(MetergateError, match="12 m3"):
        beside("12 m3", _instrument(), here.site, END)


def test_instrument_without_a_meter(here: HistorySite) -> None:
    assert beside("1 kWh", _instrument(""), here.site, END).note == "the gateway does not read it"
