"""Balances as JSON; contract: docs/specs/balance.md. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal

    from gateway.fitting.balance import Balance, Balances, Side


def as_json(found: Balances, names: Mapping[str, str]) -> dict[str, object]:
    """Return balances as documented. names: place -> name."""
    return {
        "window": found.window.as_json(),
        "flagged": len(found.flagged),
        "balances": [_row(row, names) for row in found.rows],
    }


def _row(row: Balance, names: Mapping[str, str]) -> dict[str, object]:
    return {
        "place": row.place,
        "name": names.get(row.place, row.place),
        "energy_kind": row.energy_kind,
        "unit": row.unit,
        "in": figure(row.taken),
        "out": figure(row.given),
        "difference": figure(row.difference),
        "difference_percent": None if row.percent is None else f"{row.percent:.4f}",
        "loss_percent": figure(row.loss_percent),
        "loss": figure(row.loss),
        "residual": figure(row.residual),
        "uncertainty": figure(row.uncertainty),
        "difference_uncertainty": figure(row.difference_uncertainty),
        "judged": row.judged,
        "why": list(row.why),
        "doubts": list(row.doubts),
        "flows": [_side(side, row.unit) for side in row.sides],
    }


def _side(side: Side, unit: str) -> dict[str, object]:
    return {
        "flow": side.flow,
        "direction": "in" if side.is_in else "out",
        "amount": figure(side.value),
        "unit": unit,
        "instruments": [
            {
                "instrument": share.instrument,
                "amount": str(share.amount),
                "classes": share.accuracy.text,
                "uncertainty_percent": percent(share.accuracy.expanded_percent),
            }
            for share in side.amount.shares
        ],
        "why": [one.en for one in side.amount.why],
    }


def percent(value: Decimal | None) -> str | None:
    """Return a percentage with four decimals."""
    return None if value is None else f"{value:.4f}"


def figure(value: Decimal | None) -> str | None:
    """Return a figure without an exponent and without zeros that say nothing, to at most 12 decimals."""
    if value is None:
        return None
    text = f"{value:.12f}".rstrip("0").rstrip(".")
    return "0" if text in {"-0", ""} else text
