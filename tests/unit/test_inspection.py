"""Inspections: a sample anyone can draw again, what was found, findings until they are closed."""

from __future__ import annotations

import hashlib
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from gateway.commands.cli import app
from gateway.config.site_file import load
from gateway.errors import MetergateError, StorageError
from gateway.fitting.plant import Plant
from gateway.inspection import drawing
from gateway.inspection.drawing import Sample, allotted
from gateway.inspection.store import Inspections
from gateway.inventory.model import Inventory
from tests.unit.balance_rig import flow, meter
from tests.unit.ledger_site import ledger, make_site, run

if TYPE_CHECKING:
    from pathlib import Path

ON = date(2026, 9, 1)
INVENTORY = Inventory.model_validate(ledger())


def draw(
    inventory: Inventory,
    seed: str,
    size: int,
    on: date,
    served: dict[str, set[int]] | None = None,
    **more: Any,
) -> Sample:
    """Return a sample; without `served` no need is judged anywhere."""
    return drawing.draw(inventory, served or {}, seed, size, on, **more)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    return make_site(tmp_path)


def test_the_same_seed_draws_the_same_sample() -> None:
    first = draw(INVENTORY, "1", 5, ON)
    again = draw(INVENTORY, "1", 5, ON)
    assert first == again
    assert first.population == 15
    assert len({draw(INVENTORY, str(n), 5, ON).chosen for n in range(20)}) > 5


def test_the_draw_can_be_checked_by_hand() -> None:
    ids = [one.id for one in INVENTORY.instruments if one.id.startswith("m-to-machine")]
    order = sorted(ids, key=lambda id_: hashlib.sha256(f"7:{id_}".encode()).hexdigest())
    sample = draw(INVENTORY, "7", 4, ON, levels=[3])
    assert [one.instrument for one in sample.chosen] == order[:4]


def test_every_stratum_is_in_the_sample() -> None:
    sample = draw(INVENTORY, "1", 6, ON)
    assert [one.level for one in sample.chosen] == [1, 2, 3, 3, 3, 3]


@pytest.mark.parametrize(
    ("strata", "size", "shares"),
    [
        ({(1, "a"): 1, (2, "a"): 2, (3, "a"): 12}, 15, [1, 2, 12]),
        ({(1, "a"): 1, (2, "a"): 2, (3, "a"): 12}, 2, [1, 1, 0]),
        ({(1, "a"): 10, (2, "a"): 10}, 5, [3, 2]),
        ({(1, "a"): 1}, 1, [1]),
    ],
)
def test_shares_follow_the_size_of_the_strata(
    strata: dict[tuple[int, str], int], size: int, shares: list[int]
) -> None:
    assert list(allotted(strata, size).values()) == shares


def test_the_level_is_that_of_the_needs_it_serves_else_of_its_place() -> None:
    body = ledger()
    body["units"].append({"id": "line", "name": "line", "role": "process", "parent": "ua"})
    body["flows"].append(flow("to-line", "ua", "line"))
    body["instruments"] = [meter("m-line", "to-line")]
    inventory = Inventory.model_validate(body)
    by_place = Plant(inventory, ON).level_of(inventory.flows[-1])
    assert [one.level for one in draw(inventory, "1", 9, ON).chosen] == [by_place] == [2]
    (served,) = draw(inventory, "1", 9, ON, {"m-line": {3}}).chosen
    assert served.level == 3
    assert draw(inventory, "1", 9, ON, {"m-line": {3}}, levels=[3]).population == 1


def test_the_ruleset_of_the_levels_is_kept(site: Path) -> None:
    drawn = run(site, "inspect", "draw", "--size", "15", "--seed", "s")["drawn"]
    assert drawn["ruleset"] == "GB17167-2006"
    assert len(drawn["ruleset_digest"]) == 64
    assert {one["level"] for one in drawn["instruments"]} == {1, 2, 3}


def test_a_display_that_is_wrong_can_become_a_finding(site: Path) -> None:
    run(site, "inspect", "draw", "--size", "15", "--seed", "s")
    seen = "--display", "12 kWh", "--display-verdict", "wrong"
    found = run(site, "inspect", "record", "1", "m-in", *seen)["found"]["m-in"]
    assert (found["marks"]["display"], found["display"]["display"]) == ("wrong", "12 kWh")
    assert run(site, "inspect", "show", "1")["wrong_without_finding"] == {"m-in": ["display"]}
    said = ("--text", "x", "--clause", "c", "--owner", "o", "--due", "2026-10-01", "--item", "display")
    run(site, "inspect", "finding", "open", "1", "--instrument", "m-in", *said)
    assert run(site, "inspect", "show", "1")["wrong_without_finding"] == {}


def test_what_is_not_there_is_not_drawn() -> None:
    body = ledger()
    body["instruments"] = body["instruments"][:3]
    body["instruments"][0]["removed"] = "2026-08-01"
    body["instruments"][1]["role"] = "spare"
    assert [one.instrument for one in draw(Inventory.model_validate(body), "1", 9, ON).chosen] == ["m-to-ub"]
    with pytest.raises(MetergateError, match="no instrument"):
        draw(INVENTORY, "1", 9, ON, energy_kinds=["water"])


def test_an_inspection_from_draw_to_closure(site: Path, tmp_path: Path) -> None:
    drawn = run(site, "inspect", "draw", "--percent", "20", "--seed", "s", "--by", "Wang")
    assert (drawn["inspection"], len(drawn["drawn"]["instruments"]), drawn["drawn"]["seed"]) == (1, 3, "s")
    assert drawn["drawn"]["inventory_digest"] == INVENTORY.digest
    photo = tmp_path / "plate.jpg"
    photo.write_bytes(b"a picture")
    words = ("--serial", "ok", "--label", "wrong", "--display", "1234.5 kWh", "--photo", str(photo), "--keep")
    found = run(site, "inspect", "record", "1", "m-in", *words, "--by", "Li")["found"]["m-in"]
    assert found["marks"] | {"serial": "ok", "label": "wrong", "seal": "not_seen"} == found["marks"]
    assert (found["by"], found["ledger"]["serial"], found["ledger"]["diagram"]) == ("Li", "S-in", "in")
    assert found["photos"][0]["sha256"] == hashlib.sha256(b"a picture").hexdigest()
    kept = tmp_path / "state" / "inspections" / "000001" / found["photos"][0]["kept"]
    assert kept.read_bytes() == b"a picture"
    assert found["display"]["note"] == "the gateway does not read it"
    assert run(site, "inspect", "show", "1")["wrong_without_finding"] == {"m-in": ["label"]}

    said = ("--text", "no label", "--clause", "GB 17167-2006 5.3.7", "--owner", "Zhao", "--due", "2026-10-01")
    opened = run(site, "inspect", "finding", "open", "1", "--instrument", "m-in", "--item", "label", *said)
    assert opened["finding"] == 1
    shown = run(site, "inspect", "show", "1")
    assert (shown["wrong_without_finding"], shown["findings"][0]["closed"]) == ({}, None)
    closed = run(site, "inspect", "finding", "close", "1", "1", "--how", "label put on", "--by", "Wang")
    assert closed["findings"][0]["closed"]["how"] == "label put on"
    with pytest.raises(MetergateError, match="closed already"):
        run(site, "inspect", "finding", "close", "1", "1", "--how", "again")
    (listed,) = run(site, "inspect", "list")
    assert len(listed["pending"]) == 2


def test_what_is_not_of_the_sample_is_refused(site: Path) -> None:
    run(site, "inspect", "draw", "--size", "1", "--seed", "s")
    with pytest.raises(MetergateError, match="sample of inspection 1"):
        run(site, "inspect", "record", "1", "m-to-ub", "--serial", "ok")
    with pytest.raises(MetergateError, match="no inspection 2; there are: 1"):
        run(site, "inspect", "show", "2")


def test_a_changed_record_is_told(site: Path, tmp_path: Path) -> None:
    run(site, "inspect", "draw", "--size", "2", "--seed", "s")
    path = tmp_path / "state" / "inspections" / "000001.jsonl"
    path.write_bytes(path.read_bytes().replace(b"m-in", b"m-on"))
    with pytest.raises(StorageError, match="line 1 is damaged"):
        run(site, "inspect", "show", "1")


def test_tables_are_printed(site: Path) -> None:
    run(site, "inspect", "draw", "--size", "3", "--seed", "s")
    run(site, "inspect", "record", "1", "m-in", "--serial", "wrong")
    said = ("--text", "x", "--clause", "c", "--owner", "o", "--due", "2020-10-01")
    run(site, "inspect", "finding", "open", "1", *said)
    shown = CliRunner().invoke(app, ["inspect", "show", "1", "--config", str(site)]).output
    assert "seed s" in shown
    assert "no finding yet" in shown
    listed = CliRunner().invoke(app, ["inspect", "list", "--config", str(site)])
    assert listed.exit_code == 0
    assert "Inspections 现场检查" in listed.output


def test_an_inspection_that_is_gone_leaves_a_gap_that_is_told(site: Path) -> None:
    for seed in ("a", "b", "c"):
        run(site, "inspect", "draw", "--size", "2", "--seed", seed)
    kept = Inspections(load(site).gateway.state_dir)
    kept.path(2).unlink()
    for look in (kept.all, lambda: kept.at(3)):
        with pytest.raises(StorageError, match=r"000002\.jsonl is missing"):
            look()
