"""What was due of each meter, and why what is missing is missing; rules: docs/specs/gap-reasons.md. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.intervals.model import Reason
    from gateway.model import Event, Gap


class Account(NamedTuple):
    """What was due of one period of one meter in a stretch of one epoch.

    due: due times, ns. there: how many of them have a frame. missing: those without, by reason; sums to len(due) - there.
    channels: only those that fared otherwise than the period: key -> (due, missing).
    """

    due: tuple[int, ...] | range
    there: int
    missing: Mapping[Reason, int]
    channels: Mapping[str, tuple[int, Mapping[Reason, int]]]


class EpochSpan(NamedTuple):
    """The wall times an epoch had: start_ns <= time < end_ns; None: it goes on."""

    epoch: int
    start_ns: int
    end_ns: int | None


class Expectation:
    """What was due, and why what is missing is missing; fed in journal order."""

    def __init__(self) -> None:
        """Nothing is known."""
        self.last_resorts = 0

    def note(self, record: Event | Gap) -> None:
        """Take an event or a gap record."""

    def frame(self, meter: str, period_s: float, epoch: int, time_ns: int) -> None:
        """Take note that a poll was answered."""

    def meters(self) -> list[str]:
        """Return those with a plan in force, or whose plan ended since the last `forget`."""
        return []

    def epochs(self) -> list[EpochSpan]:
        """Return the epochs there were, in order, the one in force last."""
        return []

    def reports(self, meter: str) -> Mapping[str, tuple[str, str, float, str]]:
        """Return reported channel -> (unit, kind, period_s, energy_kind) as the newest `plan` events tell."""
        return {}

    def account(
        self, meter: str, epoch: int, start_ns: int, end_ns: int, now_ns: int
    ) -> dict[float, Account]:
        """Return by period what was due in start_ns <= due < end_ns of an epoch, and until now_ns in the one in force."""
        return {}

    def forget(self, before_ns: int) -> None:
        """Forget what ended before that time of the epoch in force; it is not asked for any more."""

    def snapshot(self) -> dict[str, Any]:
        """Return everything as plain JSON values; `restore` makes an equal one of it."""
        return {"version": 1}

    @classmethod
    def restore(cls, body: Mapping[str, Any]) -> Expectation:
        """Return the expectation a snapshot was taken of. Raises ValueError on one of another version."""
        return cls()
