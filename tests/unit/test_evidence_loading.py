"""Evidence as commands and the running gateway load it: what is not due yet does not count, and a damaged history is never silent."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any, cast

import pytest

from gateway.assembly import library
from gateway.commands import fitting_work
from gateway.config.site_file import load
from gateway.derive.rating import Rating
from gateway.evidence.loading import load_evidence
from gateway.fitting.evidence import window_before
from gateway.inventory.model import Inventory
from tests.unit.history_site import SITE, HistorySite
from tests.unit.sums_rig import KEY, at

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gateway.config.models import Site

AS_OF = date(2026, 9, 1)
SOON = at("2026-09-01T00:20")
EARLY = SITE.replace("[[links]]", '[intervals]\nday_start = "08:00"\n[[links]]', 1)
LEDGER = Inventory.model_validate(
    {
        "organization": {"name": "Plant"},
        "instruments": [
            {"id": "e-1", "name": "e-1", "category": "electricity_meter", "meter": "m-1", "channel": KEY}
        ],
    }
)


@pytest.fixture
def here(tmp_path: Path) -> Iterator[HistorySite]:
    site = HistorySite(tmp_path)
    yield site
    site.close()


@pytest.fixture
def early(here: HistorySite) -> Site:
    """Return the site with days that begin at 08:00: August ends at 08:00 on 1 September."""
    here.file.write_text(EARLY)
    return load(here.file)


def test_hours_to_come_are_not_due(early: Site) -> None:
    found, damaged = load_evidence(LEDGER, early, library(early), window_before(AS_OF), SOON)
    assert found is not None
    one = found.instruments["e-1"]
    assert (one.expected, one.good, found.whole, damaged) == (17280, 17280, False, 0)
    later, _ = load_evidence(LEDGER, early, library(early), window_before(AS_OF), at("2026-09-02T00:00"))
    assert later is not None
    assert later.instruments["e-1"].expected == 17280 + 8 * 360


def test_rates_of_the_feed_are_of_the_same_time(early: Site) -> None:
    rating = Rating(early, library(early), cast("Any", None))
    found = rating._evidence(LEDGER, AS_OF, SOON)
    assert found == load_evidence(LEDGER, early, library(early), window_before(AS_OF), SOON).evidence


def test_commands_say_what_time_it_is(early: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.clock.SystemClock.wall_ns", lambda _: SOON)
    found = fitting_work.gathered(LEDGER, early, window_before(AS_OF))
    assert found is not None
    assert found.instruments["e-1"].expected == 17280


def test_damage_is_counted_and_what_it_takes_away_is_said(here: HistorySite) -> None:
    here.store._db.execute("DELETE FROM totals")
    here.store._db.execute("UPDATE intervals SET body='{' WHERE meter='m-1' AND start_ns=?", (at("2026-08-30T12:00"),))  # fmt: skip
    found, damaged = load_evidence(LEDGER, here.site, library(here.site), window_before(AS_OF), SOON)
    assert found is not None
    assert (damaged, found.whole) == (1, False)
    assert "of them intervals of the window: 1" in found.source


def test_without_a_history_there_is_no_evidence(tmp_path: Path) -> None:
    (tmp_path / "site.toml").write_text(SITE)
    site = load(tmp_path / "site.toml")
    assert load_evidence(LEDGER, site, library(site), window_before(AS_OF), SOON) == (None, 0)
