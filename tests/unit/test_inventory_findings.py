"""Every mistake in an inventory is one finding with its key path, and all are told in one run."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from tests.unit.inventory_plant import PLANT, changed, findings, plant

if TYPE_CHECKING:
    from pathlib import Path

POWER = '[[flows]]\nid = "kiln-power"'
SPARE = '\n[[flows]]\nid = "spare-feed"\nfrom = "kilns"\nto = "fan-1"\nenergy_kind = "electricity"\n'
E102 = 'own_number = "E-002"'
CODE = '"91350100M000100Y43"'
KILN_FLOWS = 'flows = ["kilns-power", "kiln-power"]'

MISTAKES: list[tuple[str, str, str, str, str, str, str]] = [
    # syntax and shape
    ("key", E102, 'own_nummer = "E-002"', "instruments.em-102.own_nummer", "unknown key", "own_number", "own_number"),
    ("section", "[[losses]]", "[[loses]]", "loses", "unknown key", "losses", "losses"),
    ("missing", 'category = "electricity_meter"\nmeter', "meter", "instruments.em-101.category", "nothing", "Kind of instrument", ""),
    ("energy-kind", 'energy_kind = "coal"', 'energy_kind = "煤炭"', "stocks[1].energy_kind", "煤炭", "coal", '"coal"'),
    ("status", 'status = "limited"', 'status = "limitd"', "instruments.em-102.status", "limitd", "limited", '"limited"'),
    ("nested-day", "until = 2028-02-19", 'until = "2028-02-30"', "instruments.em-101.verifications[2].until", "2028-02-30", "a day", ""),
    ("amount", '"75 kW"', "75", "equipment.fan-1.amounts[1].rated", "75", "unit", "kW"),
    ("single", '[organization]\nname = "示例陶瓷有限公司"', '[organization]\nname = ""', "organization.name", '""', "not empty", ""),
    # ids
    ("unit-as-equipment", 'id = "fan-1"', 'id = "kilns"', "equipment.kilns.id", "again", "of its own", "units.kilns"),
    ("reserved", 'id = "fan-1"', 'id = "outside"', "equipment.outside.id", "outside", "of its own", "ends of flows"),
    ("flow-again", 'id = "gas-in"', 'id = "grid"', "flows[4].id", "again", "of its own", "flows[1]"),
    # the tree
    ("parent", 'parent = "kilns"', 'parent = "kiln"', "units.kiln-hall.parent", "kiln", "a unit", '"kilns"'),
    ("own-parent", 'parent = "kilns"', 'parent = "kiln-hall"', "units.kiln-hall.parent", "kiln-hall → kiln-hall", "tree", ""),
    ("equipment-unit", 'unit = "kiln-hall"', 'unit = "kiln-hal"', "equipment.fan-1.unit", "kiln-hal", "a unit", "kiln-hall"),
    # flows
    ("end", 'to = "kilns"', 'to = "kilnz"', "flows.kilns-power.to", "kilnz", "outside", '"kilns"'),
    ("same-ends", 'to = "kilns"', 'to = "organization"', "flows.kilns-power.to", "comes from", "another end", ""),
    ("both-outside", 'to = "organization"', 'to = "outside"', "flows.grid.to", "outside", "another end", ""),
    ("heating", 'state = "standby"', "seasonal_heating = true", "flows.gas-in.seasonal_heating", "natural_gas", "steam", "remove"),
    ("amounts-twice", 'rated = "75 kW"', 'rated = "75 kW"\n[[equipment.amounts]]\nenergy_kind = "electricity"', "equipment.fan-1.amounts[2].energy_kind", "again", "one amount", "amounts[1]"),
    ("year-of-nothing", 'rated = "75 kW"', 'rated = "75 kW"\nyear = 2025', "equipment.fan-1.amounts[1].year", "2025", "yearly", ""),
    # instruments
    ("flow", 'flows = ["grid"]', 'flows = ["gird"]', "instruments.em-101.flows[1]", "gird", "a flow", '"grid"'),
    ("flow-twice", 'flows = ["grid"]', 'flows = ["grid", "grid"]', "instruments.em-101.flows[2]", "again", "once", ""),
    ("category", 'category = "electricity_meter"\nmeter', 'category = "weighing"\nmeter', "instruments.em-101.category", "weighing", "fits", "electricity_meter"),
    ("two-kinds", KILN_FLOWS, 'flows = ["kilns-power", "gas-in"]', "instruments.em-102.flows", "electricity and natural_gas", "one energy kind", ""),
    ("branch", POWER, SPARE + POWER, "instruments.em-102.flows", "spare-feed at kilns", "end to end", "disconnected"),
    ("no-line", KILN_FLOWS, 'flows = ["grid", "kiln-power"]', "instruments.em-102.flows", "grid, kiln-power", "end to end", "own instrument"),
    ("meter-twice", E102, 'meter = "feeder-1"', "instruments.em-102.meter", "feeder-1", "of its own", "name the channel"),
    ("number-twice", E102, 'own_number = "E-001"', "instruments.em-102.own_number", "E-001", "of its own", "em-101"),
    ("serial-twice", E102, 'serial = "2019001"', "instruments.em-102.serial", "2019001", "of its own", "em-101"),
    ("order", "on = 2024-03-01", "on = 2026-03-01", "instruments.em-101.verifications[2].on", "2026-02-20", "in order", ""),
    ("until", "until = 2028-02-19", "until = 2026-02-19", "instruments.em-101.verifications[2].until", "2026-02-19", "not before", ""),
    ("removed", "installed = 2019-05-01", "installed = 2019-05-01\nremoved = 2018-05-01", "instruments.em-101.removed", "2018-05-01", "later", ""),
    ("put-right", "until = 2025-06-05", "until = 2025-05-05", "instruments.em-102.nonconformities[1].until", "2025-05-05", "not before", ""),
    ("file-elsewhere", 'certificate = "Z2026-0012"', 'file = "../z.pdf"', "instruments.em-101.verifications[2].file", "../z.pdf", "folder", "copy"),
    ("hash-of-nothing", 'certificate = "Z2026-0012"', f'sha256 = "{"0" * 64}"', "instruments.em-101.verifications[2].sha256", "0000", "file", ""),
    # declared
    ("loss-share", "percent = 1.5", "percent = 500", "losses[1].percent", "500", "100 at most", ""),
    ("loss-unit", 'unit = "kilns"\nenergy_kind', 'unit = "kilnz"\nenergy_kind', "losses[1].unit", "kilnz", "unit or equipment", "kilns"),
    ("answer-twice", "[[answers]]", '[[answers]]\nitem = "1-8-1.1"\nanswer = "no"\ndocument = "x"\n[[answers]]', "answers[2].item", "again", "one answer", "answers[1]"),
    ("code", CODE, '"91350100M000100Y44"', "organization.credit_code", "Y44", "fits the others", "misprint"),
    ("code-length", CODE, '"9135"', "organization.credit_code", "9135", "18", ""),
]  # fmt: skip


def test_the_plant_is_right(tmp_path: Path) -> None:
    assert findings(PLANT, tmp_path) == ()
    assert len(plant().instruments) == 2


@pytest.mark.parametrize(
    ("old", "new", "path", "found", "expected", "suggestion"),
    [pytest.param(*m[1:], id=m[0]) for m in MISTAKES],
)
def test_one_mistake_is_one_finding(
    old: str, new: str, path: str, found: str, expected: str, suggestion: str, tmp_path: Path
) -> None:
    (finding,) = findings(changed((old, new)), tmp_path)
    assert finding.path == path
    assert found in finding.found
    assert expected in finding.expected
    assert suggestion in finding.suggestion


def test_all_mistakes_are_told_in_one_run_in_order(tmp_path: Path) -> None:
    text = changed(
        ('to = "kilns"', 'to = "kilnz"'),
        ('parent = "kilns"', 'parent = "kiln"'),
        ('status = "limited"', 'status = "limitd"'),
        ("until = 2028-02-19", 'until = "soon"'),
    )
    assert [one.path for one in findings(text, tmp_path)] == [
        "units.kiln-hall.parent",
        "flows.kilns-power.to",
        "instruments.em-101.verifications[2].until",
        "instruments.em-102.status",
    ]


def test_nobody_is_blamed_for_another_s_mistake(tmp_path: Path) -> None:
    """A flow with a wrong kind is told; the instrument on it and the flows that join it are not."""
    text = changed(('to = "kilns"\nenergy_kind = "electricity"', 'to = "kilns"\nenergy_kind = "electrons"'))
    assert [one.path for one in findings(text, tmp_path)] == ["flows.kilns-power.energy_kind"]
    text = changed(('id = "kilns"', 'id = "Kilns"'))
    assert "units[1].id" in [one.path for one in findings(text, tmp_path)]


def test_joints(tmp_path: Path) -> None:
    """A disconnected branch carries nothing; equipment uses what it takes, so nothing goes on behind it."""
    branch = SPARE.replace("energy_kind", 'state = "disconnected"\nenergy_kind')
    assert findings(changed((POWER, branch + POWER)), tmp_path) == ()
    behind = ('from = "kilns"\nto = "kiln-hall"', 'from = "fan-1"\nto = "kiln-hall"')
    through = changed(('to = "kilns"', 'to = "fan-1"'), behind)
    (finding,) = findings(through, tmp_path)
    assert finding.path == "instruments.em-102.flows"
    assert "fan-1 between them" in finding.found


def test_an_exchanged_instrument_leaves_meter_and_number_to_the_next(tmp_path: Path) -> None:
    before = ("installed = 2019-05-01", "installed = 2019-05-01\nremoved = 2026-03-01")
    after = (E102, 'own_number = "E-001"\nserial = "2019001"\nmeter = "feeder-1"\ninstalled = 2026-03-01')
    assert findings(changed(before, after), tmp_path) == ()
    overlapping = (after[0], after[1].replace("2026-03-01", "2026-02-28"))
    assert len(findings(changed(before, overlapping), tmp_path)) == 3


def test_a_ring_of_units_is_told_once(tmp_path: Path) -> None:
    text = changed(
        ('id = "kilns"\nname = "烧成车间"', 'id = "kilns"\nparent = "kiln-hall"\nname = "烧成车间"')
    )
    (finding,) = findings(text, tmp_path)
    assert (finding.path, finding.found) == ("units.kilns.parent", "kilns → kiln-hall → kilns")


def test_certificate_files_are_held_against_their_hash(tmp_path: Path) -> None:
    (tmp_path / "z.pdf").write_bytes(b"certificate")
    digest = hashlib.sha256(b"certificate").hexdigest()

    def found(file: str, sha256: str) -> list[str]:
        text = changed(('certificate = "Z2026-0012"', f'file = "{file}"\nsha256 = "{sha256}"'))
        assert findings(text, tmp_path) == (), "files are not looked at unless asked for"
        return [one.path.rpartition(".")[2] for one in findings(text, tmp_path, with_files=True)]

    assert found("z.pdf", digest) == []
    assert found("z.pdf", "0" * 64) == ["sha256"]
    assert found("y.pdf", digest) == ["file"]


def test_thousands_of_unknown_names_cost_no_minutes(tmp_path: Path) -> None:
    flows = "".join(
        f'[[flows]]\nid = "f-{i}"\nfrom = "outside"\nto = "u-{i}"\nenergy_kind = "water"\n'
        for i in range(3000)
    )
    units = "".join(f'[[units]]\nid = "w-{i}"\nname = "w"\nrole = "process"\n' for i in range(2000))
    found = findings(f'[organization]\nname = "x"\n{units}{flows}', tmp_path)
    assert len(found) == 3000
    assert found[0].suggestion
    assert not found[-1].suggestion, "after the first few no nearest name is looked for"
