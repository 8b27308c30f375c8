"""A number as somebody typed it from a display: what is meant is said, and nothing is guessed."""

from __future__ import annotations

import pytest

from gateway.display import shown
from gateway.errors import MetergateError

ENERGY = "energy_active_import"


@pytest.mark.parametrize(
    "text",
    [
        "48,211.6",
        "48,211",
        "1,234,567",
        "48 211.6",
        "48 211.6 kWh",
        "48'211.6",
        "48211,6",
        "48_211",
        "4，821",
    ],
)
def test_thousands_separators_are_refused_by_name(text: str) -> None:
    with pytest.raises(MetergateError, match="no thousands separators"):
        shown(text, ENERGY)


@pytest.mark.parametrize(
    "text", ["48211.6", "48211.6 kWh", "48211.6kWh", "48211.6 kW·h", "+48211.6", " 48211.6 "]
)
def test_a_plain_number_is_taken(text: str) -> None:
    assert str(shown(text, ENERGY).value) == "48211.6"


@pytest.mark.parametrize(
    ("text", "meant"), [("1 kwh", "kWh"), ("1 KWH", "kWh"), ("1 mwh", "MWh"), ("1 度", "kWh")]
)
def test_a_unit_spelled_otherwise_is_asked_about(text: str, meant: str) -> None:
    with pytest.raises(MetergateError, match=f"did you mean {meant}\\?"):
        shown(text, ENERGY)


def test_what_is_nothing_near_is_not_guessed() -> None:
    with pytest.raises(MetergateError) as refused:
        shown("1 m3", ENERGY)
    assert "did you mean" not in str(refused.value)
    with pytest.raises(MetergateError, match="is no number as a display shows it"):
        shown("about 12", ENERGY)
