"""A swap whose time lies where the meter has no interval is recorded, and whoever records it is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.commands.history_file import is_between_intervals
from gateway.commands.meter_work import warn_if_between_intervals
from tests.unit.history_site import BEGIN, END, HistorySite
from tests.unit.sums_rig import LENGTH_NS

if TYPE_CHECKING:
    from pathlib import Path

GONE = BEGIN + 40 * LENGTH_NS


@pytest.fixture
def here(tmp_path: Path) -> HistorySite:
    site = HistorySite(tmp_path)
    site.store._db.execute("DELETE FROM intervals WHERE meter='m-1' AND start_ns=?", (GONE,))
    site.close()
    return site


@pytest.mark.parametrize(
    ("meter", "at_ns", "is_between"),
    [
        ("m-1", GONE - 1, False),
        ("m-1", GONE, True),
        ("m-1", GONE + LENGTH_NS - 1, True),
        ("m-1", GONE + LENGTH_NS, False),
        ("m-2", GONE, False),
        ("m-1", BEGIN - 1, True),
        ("m-1", END, False),  # not closed yet
    ],
)
def test_it_is_said_on_stderr_and_only_then(
    here: HistorySite, meter: str, at_ns: int, is_between: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    assert is_between_intervals(here.site, meter, at_ns) is is_between
    warn_if_between_intervals(here.site, meter, at_ns)
    out, error = capsys.readouterr()
    assert (out, f"{meter} has no interval at 2026-08-" in error) == ("", is_between)


def test_where_nobody_can_tell_nothing_is_said(here: HistorySite, capsys: pytest.CaptureFixture[str]) -> None:
    here.path.unlink()
    warn_if_between_intervals(here.site, "m-1", GONE)
    assert capsys.readouterr() == ("", "")
