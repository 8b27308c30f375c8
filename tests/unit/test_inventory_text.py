"""What `metergate inventory` prints for people fits 80 columns, and what one copies from it stays whole."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from gateway.commands.inventory_text import print_inventory, print_log
from gateway.inventory.revisions import Head
from gateway.model import NS
from tests.unit.inventory_rig import inventory

COLUMNS = 80
AT_NS = 1_780_000_000 * NS  # 2026-05-29
YEARS_2 = {"on": "2026-01-01", "period_months": 24}


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the terminal 80 columns wide."""
    monkeypatch.setenv("COLUMNS", str(COLUMNS))


@pytest.mark.parametrize("length", [6, 20, 24, 28, 32])
def test_ids_and_days_of_instruments_stay_whole(length: int, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        {"id": f"e{n}-{'x' * (length - 3)}", "name": "一号电能表", "verifications": [YEARS_2]} for n in (1, 2)
    ]
    held = inventory(*rows)
    feeds = tuple(
        flow.model_copy(update={"id": f"f{n}-{'y' * (length - 3)}"}) for n, flow in enumerate(held.flows)
    )
    measured = tuple(
        one.model_copy(update={"flows": tuple(flow.id for flow in feeds)}) for one in held.instruments
    )
    held = held.model_copy(update={"flows": feeds, "instruments": measured})
    print_inventory(held, {"revision": 1, "path": None}, AT_NS, "Asia/Shanghai")
    told = capsys.readouterr().out
    shown = set(told.split())
    assert {*(one.id for one in feeds), *(one.id for one in measured)} <= shown
    assert "2027-12-31" in shown or "until" in told.rpartition("wider terminal")[2]
    assert all(cell_len(line) <= COLUMNS for line in told.splitlines())


def test_numbers_and_days_of_the_log_stay_whole(capsys: pytest.CaptureFixture[str]) -> None:
    head = Head(
        1234, AT_NS, "Li Wei, energy office " * 2, "new certificates of hall B " * 8, "ab" * 32, "", ()
    )
    print_log([head], "Asia/Shanghai")
    told = capsys.readouterr().out
    assert {"1234", "2026-05-29"} <= set(told.replace("T", " ").split())
    assert all(cell_len(line) <= COLUMNS for line in told.splitlines())
