"""Strict reading of requests on the control socket: what is wrong is said with its key."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING

from gateway.errors import MetergateError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

TEXT_MAX = 500
DIGITS_MAX = 40  # of an exact number, before and after the point: more than any meter shows


class BadRequest(MetergateError):
    """A request lacks something or says something that cannot be."""


def only(request: Mapping[str, object], *keys: str) -> None:
    """Raise BadRequest if the request has other keys than `do` and these."""
    unknown = sorted(set(request) - {"do", *keys})
    if unknown:
        raise BadRequest(f"{', '.join(unknown)}: no such key; known: {', '.join(keys)}")


def text(request: Mapping[str, object], key: str, default: str | None = None) -> str:
    """Return a text; without a default it must be there and not empty. Raises BadRequest."""
    found = request.get(key, default)
    if not isinstance(found, str) or (default is None and not found.strip()) or len(found) > TEXT_MAX:
        raise BadRequest(f"{key}: expected a text of at most {TEXT_MAX} characters, found {found!r:.80}")
    return found


def number(request: Mapping[str, object], key: str, low: float, high: float) -> float:
    """Return a number within bounds. Raises BadRequest."""
    found = request.get(key)
    if isinstance(found, bool) or not isinstance(found, int | float) or not low <= found <= high:
        raise BadRequest(f"{key}: expected a number from {low:g} to {high:g}, found {found!r:.80}")
    return float(found)


def flag(request: Mapping[str, object], key: str) -> bool:
    """Return true or false, false where it is not there. Raises BadRequest."""
    found = request.get(key, False)
    if not isinstance(found, bool):
        raise BadRequest(f"{key}: expected true or false, found {found!r:.80}")
    return found


def one_of(request: Mapping[str, object], key: str, known: Collection[str]) -> str:
    """Return a name that is known. Raises BadRequest."""
    found = text(request, key)
    if found not in known:
        raise BadRequest(f'{key}: no "{found}" here; known: {", ".join(sorted(known)) or "none"}')
    return found


def decimal(found: object, key: str) -> Decimal:
    """Return an exact number given as text. Raises BadRequest."""
    try:
        value = Decimal(found) if isinstance(found, str) and len(found) <= 2 * DIGITS_MAX else None
    except InvalidOperation:
        value = None
    if value is None or not value.is_finite() or _is_vast(value):
        raise BadRequest(f'{key}: expected a decimal number as text such as "1234.5", found {found!r:.80}')
    return value


def _is_vast(value: Decimal) -> bool:
    """Return whether writing a number out would take more digits than any meter shows."""
    _, digits, exponent = value.as_tuple()
    return max(len(digits), abs(value.adjusted()), abs(int(exponent))) > DIGITS_MAX


def decimals(request: Mapping[str, object], key: str, known: Collection[str]) -> dict[str, Decimal | None]:
    """Return channel -> exact number, or None where it is said to be unknown (null). Raises BadRequest."""
    found = request.get(key)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise BadRequest(f"{key}: expected channel -> number or null, found {found!r:.80}")
    strange = sorted(set(found) - set(known))
    if strange:
        counters = ", ".join(sorted(known)) or "none"
        raise BadRequest(
            f"{key}: {', '.join(map(str, strange))} is no counter of the meter; it has {counters}"
        )
    return {
        channel: None if value is None else decimal(value, f"{key}.{channel}")
        for channel, value in found.items()
    }
