"""Values of an inventory that TOML and JSON have no type for: days, amounts with their unit, accuracy classes."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, PlainValidator, WithJsonSchema

from gateway.config.values import unusable
from gateway.inventory.slips import amount_hint, class_hint

DAY = re.compile(r"(\d{4})[-/.年](\d{1,2})[-/.月](\d{1,2})日?", re.ASCII)
AMOUNT = re.compile(r"(\d{1,15}(?:\.\d{1,12})?) ?([A-Za-z][A-Za-z0-9·./%³]{0,15})")
CLASS = re.compile(r"\d{1,2}(\.\d{1,3})?S?|[A-E]", re.ASCII)
STEERING = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode categories no text of an inventory has: controls, what changes direction or is not seen, ends of lines."""
NUMBER_MAX = Decimal(10) ** 18
DAY_MIN, DAY_MAX = date(1900, 1, 1), date(2200, 12, 31)
"""Within these, periods can be added and months taken away without leaving the calendar."""
SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)

POWER = {"W": Decimal("0.001"), "kW": Decimal(1), "MW": Decimal(1000), "GW": Decimal(1_000_000)}
ENERGY = {
    "kWh": Decimal("0.0036"),
    "MWh": Decimal("3.6"),
    "GWh": Decimal(3600),
    "kJ": Decimal("0.000001"),
    "MJ": Decimal("0.001"),
    "GJ": Decimal(1),
    "TJ": Decimal(1000),
}
MASS = {"kg": Decimal("0.001"), "t": Decimal(1), "kt": Decimal(1000)}
VOLUME = {"L": Decimal("0.001"), "m3": Decimal(1)}
HEAT_RATE = {"GJ/h": Decimal(1), "MJ/h": Decimal("0.001"), "kW": Decimal("0.0036"), "MW": Decimal("3.6")}
MASS_RATE = {"kg/h": Decimal("0.001"), "t/h": Decimal(1)}
VOLUME_RATE = {"L/h": Decimal("0.001"), "m3/h": Decimal(1)}
YEARLY: tuple[dict[str, Decimal], ...] = (ENERGY, MASS, VOLUME)
RATED: tuple[dict[str, Decimal], ...] = (POWER, MASS_RATE, VOLUME_RATE, HEAT_RATE)
"""Units that convert into one another, each with its factor to the first of them that is 1."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A number with its unit, exact: "12000 t"."""

    value: Decimal
    unit: str

    def __str__(self) -> str:
        """Return it as it is written in an inventory."""
        return f"{self.value:f} {self.unit}"

    def to(self, unit: str) -> Decimal | None:
        """Return the value in another unit, None if no fixed factor leads there."""
        if unit == self.unit:
            return self.value
        for family in (*YEARLY, *RATED):
            if self.unit in family and unit in family:
                return self.value * family[self.unit] / family[unit]
        return None


def _measured(units: tuple[dict[str, Decimal], ...], example: str) -> Any:
    known = [unit for family in units for unit in family]

    def parse(value: object) -> Measured | None:
        if value is None or isinstance(value, Measured):
            return value
        if value == "":
            return None
        match = (
            AMOUNT.fullmatch(value.strip().replace("³", "3").replace("kW·h", "kWh"))
            if isinstance(value, str)
            else None
        )
        if match is None or match[2] not in known:
            hint = amount_hint(value, known) or "units: " + ", ".join(dict.fromkeys(known))
            raise unusable(f'a number with its unit: "{example}"', hint=hint)
        return Measured(Decimal(match[1]), match[2])

    return parse


def _text_of(value: Measured | None) -> str | None:
    return None if value is None else str(value)


Yearly = Annotated[
    Measured | None,
    PlainValidator(_measured(YEARLY, "12000 t")),
    PlainSerializer(_text_of),
    WithJsonSchema(
        {"type": ["string", "null"], "pattern": f"^{AMOUNT.pattern}$", "examples": ["12000 t", "850000 kWh"]}
    ),
]
"""What flows in a year: energy, mass or volume."""
Rated = Annotated[
    Measured | None,
    PlainValidator(_measured(RATED, "55 kW")),
    PlainSerializer(_text_of),
    WithJsonSchema(
        {"type": ["string", "null"], "pattern": f"^{AMOUNT.pattern}$", "examples": ["55 kW", "2 t/h"]}
    ),
]
"""What flows at the rated load: power, mass or volume an hour."""


def day(value: object) -> date | None:
    """Return a day; None for None and "". Raises a pydantic error for what is none, or lies beyond any plant's life."""
    if value is None or value == "":
        return None
    found = _day(value)
    if found is None:
        raise unusable("a day such as 2026-08-31")
    if not DAY_MIN <= found <= DAY_MAX:
        raise unusable(f"a day from {DAY_MIN} to {DAY_MAX}")
    return found


def _day(value: object) -> date | None:
    """Return a day as it is written, None if it is none."""
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    match = DAY.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is not None:
        try:
            return date(int(match[1]), int(match[2]), int(match[3]))
        except ValueError:
            pass
    return None


def _required_day(value: object) -> date:
    found = day(value)
    if found is None:
        raise unusable("a day such as 2026-08-31")
    return found


def _class(value: object) -> str:
    """Return an accuracy class as it is compared: "0.5S", "1", "B"; "" if unknown."""
    if isinstance(value, (int, float, Decimal)) and not isinstance(value, bool):
        value = str(value)  # a spreadsheet's cell
    if not isinstance(value, str):
        raise unusable('an accuracy class as text: "0.5S", "1.0", "B"')
    text = value.strip().removesuffix("级").strip().upper()
    if text and (not CLASS.fullmatch(text) or (text[0].isdigit() and not Decimal(text.removesuffix("S")))):
        raise unusable('an accuracy class: "0.5S", "1.0", "B"', hint=class_hint(text))
    return text


def _text(value: object) -> object:
    """Return text without blanks around it: a blank one is none. What steers a terminal or hides in a line is refused."""
    if not isinstance(value, str):
        return value
    text = value.replace("\r\n", "\n").strip()
    wrong = next((char for char in text if char not in "\n\t" and unicodedata.category(char) in STEERING), "")
    if wrong:
        raise unusable(f"text without control and direction characters: it holds U+{ord(wrong):04X}")
    return text


def _hash(value: str) -> str:
    if value and not SHA256.fullmatch(value):
        raise unusable("SHA-256 as 64 of 0-9 and a-f")
    return value


def _number(value: object) -> Decimal:
    """Return a number above 0, exact: a float is taken as it is written."""
    if isinstance(value, (int, float, str, Decimal)) and not isinstance(value, bool):
        try:
            found = Decimal(str(value))
        except ArithmeticError:
            found = Decimal(0)
        if found.is_finite() and 0 < found < NUMBER_MAX:
            return found
    raise unusable("a number above 0")


_DAY_SCHEMA = {"type": ["string", "null"], "format": "date"}
Day = Annotated[date | None, BeforeValidator(day), WithJsonSchema(_DAY_SCHEMA)]
RequiredDay = Annotated[
    date, BeforeValidator(_required_day), WithJsonSchema({"type": "string", "format": "date"})
]
Text = Annotated[str, BeforeValidator(_text)]
"""What people write: names, places, papers."""
ClassText = Annotated[str, BeforeValidator(_class)]
Sha256 = Annotated[str, BeforeValidator(_hash)]
Number = Annotated[
    Decimal,
    BeforeValidator(_number),
    PlainSerializer(lambda value: f"{value:f}", when_used="json"),
    WithJsonSchema({"anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"type": "string"}]}),
]
