"""What a replay would change, counted before anything is written."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gateway.clock import local
from gateway.replay.corrector import CannotReplay, Corrector, change, corrected, reads_alike
from gateway.replay.rules import Rule

if TYPE_CHECKING:
    from collections.abc import Iterable

    from drivers.profiles import Library
    from gateway.config.models import MeterConfig
    from gateway.layout import Layout
    from gateway.model import Frame
    from gateway.replay.rules import Rules


@dataclass(slots=True)
class Tally:
    """What one journaled layout comes to. first, last: per channel (value before, value after), None where absent."""

    corrector: Corrector
    frames: int = 0
    readings: int = 0
    changed: int = 0
    withdrawn: int = 0
    first_ns: int = 0
    last_ns: int = 0
    first: list[tuple[float | None, float | None]] = field(default_factory=list)
    last: list[tuple[float | None, float | None]] = field(default_factory=list)

    def take(self, frame: Frame) -> None:
        """Count a frame."""
        after = self.corrector.frame(frame)
        other, withdrawn = change(frame, after)
        self.frames += 1
        self.readings += len(frame.flags)
        self.changed += other
        self.withdrawn += withdrawn
        self.last = [
            (_number(old), _number(new)) for old, new in zip(frame.values, after.values, strict=True)
        ]
        self.last_ns = frame.time_ns
        if not self.first_ns:
            self.first, self.first_ns = self.last, frame.time_ns

    def to_json(self, rev: int) -> dict[str, Any]:
        """Return it as plain JSON values. rev: 0 where nothing is to be replayed."""
        before, after = self.corrector.before, self.corrector.after
        return {
            "before": before.digest,
            "after": after.digest,
            "profile_before": before.profile,
            "profile_after": after.profile,
            "period_s": before.period_s,
            "rev": rev,
            "frames": self.frames,
            "readings": self.readings,
            "changed": self.changed,
            "withdrawn": self.withdrawn,
            "first_ns": self.first_ns,
            "last_ns": self.last_ns,
            "channels": {
                channel.key: {"unit": channel.unit, "first": list(first), "last": list(last)}
                for channel, first, last in zip(after.channels, self.first, self.last, strict=True)
            },
        }


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


class Survey:
    """Frames of one meter, by the layout they were journaled with."""

    def __init__(self, meter: MeterConfig, library: Library, zone: str, *, same_addresses: bool) -> None:
        """meter, library: as the site file and the profiles of today have them. zone: the site's."""
        self._meter, self._library, self._zone, self._same_addresses = meter, library, zone, same_addresses
        self.tallies: dict[str, Tally] = {}
        self.first_group = self.last_group = 0

    def take(self, frames: Iterable[Frame], first_group: int, last_group: int) -> None:
        """Count frames. Raises CannotReplay where one of their layouts cannot be corrected."""
        if first_group:
            self.first_group = self.first_group or first_group
            self.last_group = last_group
        for frame in frames:
            tally = self.tallies.get(frame.layout.digest)
            if tally is None:
                tally = self.tallies[frame.layout.digest] = Tally(
                    self._corrector(frame.layout, frame.time_ns)
                )
            tally.take(frame)

    def _corrector(self, before: Layout, time_ns: int) -> Corrector:
        try:
            after = corrected(before, self._meter, self._library, same_addresses=self._same_addresses)
        except CannotReplay as error:
            text = f"{error} (layout {before.digest} of {before.profile or 'the site file'}, first met at {local(time_ns, self._zone)})"
            raise CannotReplay(text) from error
        return Corrector(before, after)

    def rules(self, rules: Rules, from_ns: int, to_ns: int) -> dict[str, tuple[Rule, bool]]:
        """Return layout digest -> (the rule that is to hold, whether it is new), for layouts with something to replay."""
        found: dict[str, tuple[Rule, bool]] = {}
        rev = rules.next_rev(self._meter.id)
        for digest, tally in self.tallies.items():
            before, after = tally.corrector.before, tally.corrector.after
            known = rules.known(self._meter.id, from_ns, to_ns, digest, after.digest)
            earlier = rules.newest(self._meter.id, digest, from_ns, to_ns)
            if known is not None:
                found[digest] = known, False
            elif earlier is not None or not reads_alike(before, after):
                rule = Rule(self._meter.id, from_ns, to_ns, digest, after.digest, rev, after.to_dict())
                found[digest] = rule, True
        return found
