"""Which values a meter turned out not to have: not asked for again before a day has passed; and telling so, bounded. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable

    from gateway.interfaces import Notice

REFUSALS = 2
"""In a row: one alone may be the late refusal of another request, since a refusal does not say what it refuses."""
RETRY_S = 86_400.0
HOLD_S = 60.0
"""A channel that comes and goes is told of twice in this time: that it went and came at once, what it has come to after it."""
METERS_MAX = 4096  # of one link, those of errands included
CHANNELS_MAX = 10_000


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

    def refused(self, value: Hashable, now_s: float, times: int = 1) -> bool:
        """Take note that a value was refused so many times; return whether it is off from now on and was not before."""
        count = self._refusals[value] = self._refusals.get(value, 0) + times
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


@dataclass(slots=True)
class _Told:
    """What was told of one channel, and what it has come to since."""

    is_off: bool = False  # as told
    told_s: tuple[float, float] = (-HOLD_S, -HOLD_S)  # the last and the one before
    now_off: bool = False
    changes: int = 0
    detail: dict[str, object] = field(default_factory=dict)


class Tellings:
    """Tells `channel_absent` and `channel_found` of one link, each channel at most twice in HOLD_S, in the end what it is."""

    def __init__(self) -> None:
        """Every channel counts as there."""
        self._told: dict[tuple[str, str], _Told] = {}
        self.held: set[tuple[str, str]] = set()  # changed, not told yet

    def tell(
        self, notice: Notice, now_s: float, meter: str, channel: str, *, is_off: bool, **detail: object
    ) -> bool:
        """Take note of what a channel is now; return whether that was told. detail: of the event."""
        key = (meter, channel)
        told = self._told.get(key)
        if told is None:
            if len(self._told) >= CHANNELS_MAX:
                self.held.discard(oldest := next(iter(self._told)))
                del self._told[oldest]
            told = self._told[key] = _Told(is_off=not is_off, now_off=not is_off)
        if told.now_off == is_off:
            return False
        told.now_off, told.detail = is_off, detail
        told.changes += 1
        self.held.add(key)
        return self._due(notice, now_s, key, told)

    def flush(self, notice: Notice, now_s: float) -> None:
        """Tell what was held back long enough."""
        for key in list(self.held):
            self._due(notice, now_s, key, self._told[key])

    def _due(self, notice: Notice, now_s: float, key: tuple[str, str], told: _Told) -> bool:
        if now_s - told.told_s[1] < HOLD_S:
            return False
        self.held.discard(key)
        if told.now_off == told.is_off:
            return False
        often: dict[str, object] = {"count": told.changes} if told.changes > 1 else {}
        told.is_off, told.told_s, told.changes = told.now_off, (now_s, told.told_s[0]), 0
        kind = "channel_absent" if told.is_off else "channel_found"
        notice(kind, key[0], channels=[key[1]], **told.detail, **often)
        return True
