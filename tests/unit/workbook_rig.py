"""A workbook as a reader sees it, and a small plant whose figures are worked out by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from openpyxl import load_workbook

from gateway.fitting.evidence import Origin
from gateway.reports.forms import write_workbook
from tests.unit.fitting_rig import delivered, evidence, flow, instrument, judge, machine, plant, unit

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.fitting.outcome import Outcome

MADE_AT = "2026-11-15T08:00:00+08:00"
OLD = [{"on": "2020-03-01", "period_months": 12, "certificate": "C-2"}]
ANSWERS = [
    {"item": "1-8-1.1", "answer": "yes", "document": "制度-01"},
    {"item": "2017.3.1.1", "answer": "no", "document": "会议纪要"},
    {"item": "2017.3.6.1", "answer": "not_applicable", "document": "说明"},
    {"item": "2017.2.3", "answer": "yes", "document": "确认记录"},
    {"item": "house-rule", "answer": "yes", "document": "x"},
]


def works(**more: Any) -> Outcome:
    """Return the outcome of a plant.

    Level 1: electricity f1 is fitted, water w1 has only a stopped meter. Level 2: f2 is fitted with an expired meter, f3 is
    not. Level 3: e1 (150 kW) has no meter, e2 (50 kW) is no main equipment. m-spare is spare.
    """
    parts = {
        "units": [unit("u1"), unit("u2")],
        "equipment": [machine("e1", "u1", electricity="150 kW"), machine("e2", "u1", electricity="50 kW")],
        "flows": [
            flow("f1", "outside>organization", "electricity", "500 kW"),
            flow("f2", "organization>u1", "electricity", "300 kW"),
            flow("f3", "organization>u2", "electricity", "200 kW"),
            flow("f4", "u1>e1", "electricity", "150 kW"),
            flow("w1", "outside>organization", "water", "20000 t"),
        ],
        "instruments": [
            instrument("m1", "f1", model="=HYPERLINK(1)", serial="-1", location="@home", remark="+1"),
            instrument("m2", "f2", verifications=OLD, range="0–5 A"),
            instrument("m-spare", role="spare"),
            instrument("w-old", "w1", kind="water", status="stopped"),
        ],
        "staff": [{"name": "王工", "post": "计量管理员", "document": "任命-7"}],
        "stocks": [{"energy_kind": "coal", "year": 2025, "purchased": "1200 t", "document": "账-3"}],
        "answers": ANSWERS,
    }
    handed_in = more.pop("handed_in", False)
    proof = None
    if more.pop("proved", True):
        proof = evidence(m1=delivered(950), m2=delivered(100))
        proof = proof.model_copy(
            update={"source": "history of gateway plant-1"}
        )  # what a file may say as well
        proof = proof.of(Origin("file", "ab" * 32) if handed_in else Origin("history"))
    return judge(plant(**parts | more), proof, water="GBT24789-2022")


class Reader:
    """A written workbook, read back with openpyxl."""

    def __init__(self, path: Path, outcome: Outcome, revision: int | None = 3, **more: Any) -> None:
        """Write and read it."""
        write_workbook(outcome, path, made_at=MADE_AT, revision=revision, **more)
        self.book = load_workbook(path)

    def sheet(self, name: str) -> Any:
        """Return the sheet whose name begins so."""
        (found,) = (one for one in self.book.worksheets if name in (one.title, one.title.split(" ")[0]))
        return found

    def texts(self, name: str) -> list[str]:
        """Return every text of a sheet."""
        return [
            str(cell.value) for row in self.sheet(name).iter_rows() for cell in row if cell.value is not None
        ]

    def rows(self, name: str, head: str) -> list[dict[str, Any]]:
        """Return the lines of the table whose first heading is `head`, by the Chinese of their headings."""
        lines = list(self.sheet(name).iter_rows(values_only=True))
        start = next(n for n, line in enumerate(lines) if str(line[0]).split("\n")[0] == head)
        heads = [str(one).split("\n")[0] for one in lines[start] if one is not None]
        found = []
        for line in lines[start + 1 :]:
            if all(one is None for one in line[1:]) or "\n" in str(line[0]):
                break
            found.append(dict(zip(heads, line, strict=False)))
        return found
