"""`[meters.override.<channel>] input`: which register of an I/O module it is, and what its number means."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from gateway.config.base import Table
from gateway.config.values import DECIMAL_DIGITS_MAX, PositiveDecimal, unusable

INPUT_TYPES = Literal["u16", "s16", "u32", "s32", "u64", "s64", "f32", "f64"]


def _decimal(value: object) -> str:
    """Return a number, of whatever sign, as the decimal string it was written as."""
    if isinstance(value, str) or (isinstance(value, (int, float)) and not isinstance(value, bool)):
        try:
            number = Decimal(value if isinstance(value, int) else str(value))
        except InvalidOperation:
            number = Decimal("NaN")
        if number.is_finite() and abs(number.adjusted()) < DECIMAL_DIGITS_MAX:
            return format(number, "f")
    raise unusable('a number, such as 0 or "12345.6"')


_NUMBER = {"anyOf": [{"type": "number"}, {"type": "string"}]}
SignedDecimal = Annotated[str, BeforeValidator(_decimal), WithJsonSchema(_NUMBER)]
Ends = Annotated[
    tuple[SignedDecimal, SignedDecimal],
    Field(strict=False),
    WithJsonSchema({"type": "array", "items": _NUMBER, "minItems": 2, "maxItems": 2}),
]


class InputConfig(Table):
    """`input` of a channel override: one input of an I/O module; only where the profile says so."""

    address: int = Field(ge=0, le=65535, description="Wire address of the register, counted from 0.")
    type: INPUT_TYPES = Field(description="What the register, with those after it, holds.")
    function: Literal[3, 4] | None = Field(
        default=None, description="Function code; default: the profile's, 3 in the generic ones."
    )
    order: Literal["ABCD", "CDAB", "BADC", "DCBA"] = Field(
        default="ABCD", description="Byte order; ABCD: most significant byte first."
    )
    pulses_per_unit: PositiveDecimal | None = Field(
        default=None,
        description="Pulse constant: pulses for one `unit` of the channel, such as 1600 (imp/kWh).",
    )
    base: SignedDecimal = Field(
        default="0",
        validate_default=True,
        description="Base reading, in `unit`: what the meter shows while the module's counter is 0.",
    )
    range: Ends | None = Field(default=None, description="Values, in `unit`, at 4 mA and at 20 mA.")
    raw: Ends | None = Field(
        default=None,
        description="Numbers in the register at 4 mA and at 20 mA, as the module's manual has them.",
    )
    cut_off: PositiveDecimal | None = Field(
        default=None,
        description="Low-flow cut-off, in `unit`: kept with the readings for whoever sums them up; alters nothing.",
    )
