"""What of each meter enters intervals and feed, as far as site file and profiles tell it: also of a meter that never answered."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from gateway.config.channels import channels, period_of
from gateway.quantity import QUANTITIES

if TYPE_CHECKING:
    from drivers.profiles import Library
    from gateway.config.models import MeterConfig
    from gateway.model import Kind


class Reported(NamedTuple):
    """A reported channel. unit: canonical. reference: condition a gas volume is stated at, "" where it does not apply."""

    key: str
    quantity: str
    unit: str
    kind: Kind
    period_s: float
    reference: str


def reported(meter: MeterConfig, library: Library) -> list[Reported]:
    """Return the reported channels of a meter of a checked site, in the order they are read."""
    found = []
    for key in channels(meter, library):
        override = meter.override.get(key)
        wish, reference = (None, "") if override is None else (override.report, override.reference)
        if meter.variables:
            variable = meter.variables[key]
            name, wishes, reference = variable.quantity, [wish], variable.reference or reference
        else:
            table = library.get(meter.profile).channel(key, meter.variant)
            name, wishes, reference = table.quantity, [wish, table.report], reference or table.reference
        quantity = QUANTITIES[name]
        if quantity.is_reported(*wishes):
            period_s = period_of(meter, key)
            found.append(Reported(key, quantity.name, quantity.unit, quantity.kind, period_s, reference))
    return found
