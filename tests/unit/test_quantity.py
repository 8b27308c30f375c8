"""The vocabulary: legal units only, limits only where physics sets them, and its page is fresh."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path

import pytest

from gateway.quantity import QUANTITIES, UNITS, as_markdown
from gateway.units import Conversion, conversion

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "quantities.md"
# Not legal in China, or no unit of measurement at all. Source: State Council order of 1984; GB 3100-1993.
ILLEGAL = re.compile(r"ppm|ppb|bar|psi|Nm|kcal|cal|tce|atm|mmHg|kgf|°F|gal")


def test_the_page_is_fresh() -> None:
    assert PAGE.read_text(encoding="utf-8") == as_markdown(), (
        "write as_markdown() to docs/reference/quantities.md"
    )


@pytest.mark.parametrize("name", QUANTITIES)
def test_a_quantity_is_whole(name: str) -> None:
    q = QUANTITIES[name]
    assert not ILLEGAL.search(q.unit)
    assert re.fullmatch(r"[\x21-\x7e]+", q.ucum), "UCUM is ASCII without spaces"
    assert (q.unit, q.ucum) == UNITS[q.dimension]
    assert q.zh
    assert q.en
    assert conversion(q.unit, q) == Conversion(Decimal(1), Decimal(0))
    assert q.low is None or q.low <= 0 or q.name == "frequency"
    assert q.low is None or q.high is None or q.low < q.high
    if q.low is None:
        assert q.sign, "what may be negative says what a positive value means"


def test_every_dimension_is_used() -> None:
    assert {q.dimension for q in QUANTITIES.values()} == set(UNITS)


def test_what_physics_limits_is_limited() -> None:
    expected: dict[str, tuple[float | None, float | None]] = {
        "power_factor": (-1, 1),
        "humidity": (0, 100),
        "frequency": (45, 65),
        "temperature": (-273.15, None),
        "power_active": (None, None),
    }
    assert {name: (QUANTITIES[name].low, QUANTITIES[name].high) for name in expected} == expected


def test_a_gas_volume_needs_its_reference() -> None:
    needy = {name for name, quantity in QUANTITIES.items() if quantity.reference}
    assert needy == {
        "volume_normal",
        "flow_volume_normal",
        "velocity_normal",
        "flue_gas_flow",
        "heating_value_volume",
    }


def test_balances_are_no_counters() -> None:
    assert all(quantity.kind == "gauge" for name, quantity in QUANTITIES.items() if name.endswith("_net"))
