"""Which values a meter turned out not to have: not asked for again before a day has passed. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable

REFUSALS = 2
"""In a row: one alone may be the late refusal of another request, since a refusal does not say what it refuses."""
RETRY_S = 86_400.0


class Absences:
    """What one meter refused."""

    __slots__ = ("_off", "_refusals")

    def __init__(self) -> None:
        """Nothing is absent yet."""
        self._refusals: dict[Hashable, int] = {}
        self._off: dict[Hashable, float] = {}

    def skips(self, value: Hashable, now_s: float) -> bool:
        """Return whether a value is not to be asked for now."""
        return self._off.get(value, now_s) > now_s

    def refused(self, value: Hashable, now_s: float) -> bool:
        """Take note of a refusal; return whether the value is off from now on and was not before."""
        count = self._refusals[value] = self._refusals.get(value, 0) + 1
        if count < REFUSALS:
            return False
        was_off = value in self._off
        self._off[value] = now_s + RETRY_S
        return not was_off

    def answered(self, value: Hashable) -> bool:
        """Take note of an answer; return whether the value was off before."""
        self._refusals.pop(value, None)
        return self._off.pop(value, None) is not None

    def off(self) -> list[Hashable]:
        """Return what is off."""
        return list(self._off)
