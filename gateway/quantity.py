"""The closed vocabulary of quantities: canonical unit, kind, sign convention and plausible limits.

STUB TABLE: filled by the profile work.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.model import Kind


@dataclass(frozen=True, slots=True)
class Quantity:
    """One quantity. unit: canonical legal unit as printed; ucum: its UCUM code; dimension: key into units.

    kind: gauge or counter (a status code is a gauge of dimension "1"). sign: what a positive value means,
    "" if it cannot be negative. low, high: plausible limits in the canonical unit, None where none is known.
    """

    name: str
    unit: str
    ucum: str
    dimension: str
    kind: Kind
    zh: str
    en: str
    sign: str = ""
    low: float | None = None
    high: float | None = None


QUANTITIES: dict[str, Quantity] = {}
