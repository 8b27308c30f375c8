"""What the past says of instruments that proved bad since: `metergate export intervals` and `metergate completeness`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.errors import StorageError
from gateway.inventory.revisions import FOLDER, Revisions
from tests.unit.history_site import HistorySite
from tests.unit.inventory_rig import VERIFIED, inventory
from tests.unit.test_completeness_command import run, table, told

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WRONG = {"found": "2026-09-10", "since": "2026-08-31", "why": "seal broken"}


@pytest.fixture
def here(tmp_path: Path) -> Iterator[HistorySite]:
    site = HistorySite(tmp_path)
    yield site
    site.close()


def apply(site: HistorySite) -> None:
    """Apply that the instrument of m-1 proved bad from the second day on; m-2 ran out before the first."""
    bad = {"meter": "m-1", "nonconformities": [WRONG]}
    out = {"meter": "m-2", "verifications": [VERIFIED | {"until": "2026-08-29"}]}
    Revisions(site.site.gateway.state_dir / FOLDER).add(inventory(bad, out), "zhang", "found", 1)


def test_an_export_has_what_was_told_and_what_is_known_now(here: HistorySite) -> None:
    rows = table(run(here, "export", "intervals", "--out", "-"))
    assert {(row["verification"], row["verification_now"]) for row in rows} == {("", "")}
    apply(here)
    rows = table(run(here, "export", "intervals", "--out", "-"))
    found = {(row["meter"], row["t0"][:10], row["verification"], row["verification_now"]) for row in rows}
    assert found == {
        ("m-1", "2026-08-30", "", "valid"),
        ("m-1", "2026-08-31", "", "nonconforming"),
        ("m-2", "2026-08-30", "", "expired"),
        ("m-2", "2026-08-31", "", "expired"),
    }


def test_completeness_names_the_days_in_doubt(here: HistorySite) -> None:
    assert told(here, "--day", "2026-08-31")["doubts"] == []
    apply(here)
    first, second = (told(here, "--day", f"2026-08-{day}")["doubts"] for day in (30, 31))
    assert [(one["meter"], one["since"], one["until"]) for one in first] == [("m-2", "2026-08-30", None)]
    assert [(one["meter"], one["state"]) for one in second] == [("m-1", "nonconforming"), ("m-2", "expired")]
    text = " ".join(run(here, "completeness", "--day", "2026-08-31").split())
    assert (
        "m-1: instrument e-1 not conforming 不合格 from 2026-08-31 and still: found on 2026-09-10: seal broken"
        in text
    )


def test_a_damaged_inventory_is_told(here: HistorySite) -> None:
    apply(here)
    (path,) = (here.site.gateway.state_dir / FOLDER).glob("*.json")
    path.chmod(0o600)
    path.write_text("{")
    with pytest.raises(StorageError, match="put it back from a backup"):
        run(here, "export", "intervals", "--out", "-")
