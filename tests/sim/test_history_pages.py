"""A history of which any one page is noise: the gateway starts, reads, and derives again what the journal has."""

from __future__ import annotations

import shutil
from random import Random
from typing import TYPE_CHECKING

from tests.sim.plant import Plan, play

if TYPE_CHECKING:
    from pathlib import Path

PAGE = 4096


def plan(until_s: float) -> Plan:
    return Plan(until_s, meters=2, channels=3, links=1, interval="1min", feed_troubles={"feed": []})


def test_no_damaged_page_of_the_history_stops_a_start(tmp_path: Path) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    before.mkdir()
    play(plan(400), before)
    pages = (before / "history.db").stat().st_size // PAGE
    assert pages > 10
    aside = 0
    for page in range(pages):
        shutil.copytree(before, after)
        with (after / "history.db").open("r+b") as file:
            file.seek(page * PAGE)
            file.write(Random(page).randbytes(PAGE))
        result = play(plan(70), after)
        assert result.destinations["feed"].came, f"page {page}: nothing was told"
        aside += (after / "history.db.damaged-1").exists()
        shutil.rmtree(after)
    assert aside > pages // 2, "most pages are looked at"
