"""Inventories of any content that hold together: what a person may write, within what the models allow."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from gateway.energy_kinds import ENERGY_KINDS
from gateway.inventory import sheet_words as words
from gateway.inventory.answers import ITEMS
from gateway.inventory.reading import from_body

if TYPE_CHECKING:
    from gateway.inventory.model import Inventory

ANY_TEXT = st.text(
    st.one_of(st.characters(exclude_categories=["Cs", "Cc", "Cf", "Zl", "Zp"]), st.sampled_from("\n\t")),
    min_size=1,
    max_size=12,
).filter(str.strip)
CELL_TEXT = st.one_of(
    st.text(
        st.characters(exclude_categories=["Cs", "Cc", "Cf", "Cn", "Zs", "Zl", "Zp"]), min_size=1, max_size=12
    ),
    st.sampled_from(
        ["=1+1", "+86 10", "-3 °C", "@me", "007", "1.50", "TRUE", "2026-08-31", "合格", " x ", "a\nb", "'x"]
    ),
)
"""Text a cell keeps as it is, among it what a spreadsheet would like to take for something else."""
KIND = st.sampled_from(sorted(ENERGY_KINDS))
DAY = st.dates(date(1995, 1, 1), date(2090, 1, 1)).map(str)
YEAR = st.integers(1990, 2100)
YEARLY = st.sampled_from(["12000 t", "0.5 kWh", "850000 kWh", "3.25 m3", "7 GJ"])
RATED = st.sampled_from(["55 kW", "2.5 t/h", "10 m3/h", "0.1 MW"])
NUMBER = st.sampled_from([40, 0.5, "0.1", "12345678901234.5678", "1.50", 1e-6])
PERCENT = st.sampled_from([40, 0.5, "0.1", 100, "1.50", 1e-6])
CLASS = st.sampled_from(["", "0.5S", "1.0", "2", "B", "0.05"])


def _of(table: dict[str, str]) -> st.SearchStrategy[str]:
    return st.sampled_from(list(table))


def _fields(required: dict[str, Any], optional: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(required, optional=optional)


def _amount() -> st.SearchStrategy[dict[str, Any]]:
    return _fields({"energy_kind": KIND, "yearly": YEARLY}, {"rated": RATED, "year": YEAR})


def _organization(text: st.SearchStrategy[str]) -> st.SearchStrategy[dict[str, Any]]:
    supply = {"monthly_kwh": NUMBER, "transformer_kva": NUMBER, "high_voltage_billed": st.booleans()}
    electricity = _fields({}, {**supply, "phases": st.sampled_from([1, 3])})
    more = {"industry": text, "address": text, "statistics_year": YEAR, "electricity": electricity}
    return _fields({"name": text}, more)


def _instrument(text: st.SearchStrategy[str]) -> st.SearchStrategy[dict[str, Any]]:
    part = _fields({"part": _of(words.PARTS)}, {"serial": text, "ratio": text, "accuracy_class": CLASS})
    certified = {
        "kind": _of(words.VERIFIED),
        "conforming": st.booleans(),
        "period_months": st.integers(1, 240),
    }
    verification = _fields({"on": DAY}, {**certified, "certificate": text, "body": text})
    confirmation = _fields({"by": text, "on": DAY}, {"fit": st.booleans(), "document": text})
    bad = _fields({"found": DAY, "why": text}, {"document": text})
    enumerated = {
        "role": _of(words.ROLES),
        "measurement": _of(words.MEASUREMENTS),
        "status": _of(words.STATUSES),
        "running": _of(words.RUNNING),
        "purpose": _of(words.PURPOSES),
        "current": _of(words.CURRENTS),
        "weighing": _of(words.WEIGHINGS),
    }
    free = dict.fromkeys(("range", "model", "location", "params", "remark", "barcode", "system"), text)
    lists = {
        "chain": st.lists(part, max_size=2),
        "verifications": st.lists(verification, max_size=3).map(
            lambda rows: sorted(rows, key=lambda r: str(r["on"]))
        ),
        "confirmation": confirmation,
        "nonconformities": st.lists(bad, max_size=2),
    }
    days = {"installed": DAY, "dn_mm": st.integers(1, 5000), "accuracy_class": CLASS}
    return _fields({"name": text, "category": st.just("other")}, {**enumerated, **free, **lists, **days})


@st.composite
def inventories(draw: st.DrawFn, text: st.SearchStrategy[str]) -> Inventory:
    """Return an inventory whose references hold. text: what free text is made of."""
    units = draw(st.lists(_fields({"name": text, "role": _of(words.UNIT_ROLES)}, {}), max_size=3))
    machines = draw(st.lists(_fields({"name": text}, {"model": text, "location": text}), max_size=3))
    for i, unit in enumerate(units):
        unit |= {"id": f"u-{i}", "parent": f"u-{i - 1}" if i and draw(st.booleans()) else ""}
    for i, machine in enumerate(machines):
        machine |= {"id": f"e-{i}", "amounts": [draw(_amount())]}
    ends = ["organization", *(row["id"] for row in (*units, *machines))]
    more = {
        "name": text,
        "state": _of(words.STATES),
        "origin": _of(words.ORIGINS),
        "source": text,
        "rated": RATED,
    }
    flows = draw(st.lists(_fields({"energy_kind": KIND}, more), max_size=4))
    for i, flow in enumerate(flows):
        flow |= {"id": f"f-{i}", "from": "outside", "to": draw(st.sampled_from(ends))}
    instruments = draw(st.lists(_instrument(text), max_size=4))
    for i, one in enumerate(instruments):
        one |= {"id": f"i-{i}", "flows": [draw(st.sampled_from(flows))["id"]] if flows else []}
    staff = _fields({"name": text, "document": text}, {"post": text})
    body = {
        "organization": draw(_organization(text)),
        "units": units,
        "equipment": machines,
        "flows": flows,
        "instruments": instruments,
        "losses": [{"energy_kind": draw(KIND), "percent": draw(PERCENT), "source": draw(text)}],
        "staff": draw(st.lists(staff, max_size=2)),
        "stocks": [
            {"energy_kind": draw(KIND), "year": draw(YEAR), "consumed": draw(YEARLY), "document": draw(text)}
        ],
        "answers": [
            {
                "item": draw(st.sampled_from(ITEMS)),
                "answer": draw(_of(words.ANSWERS)),
                "document": draw(text),
            }
        ],
    }
    return from_body(body, "drawn")
