"""What the gateway knows of itself: counters and states per link, meter and sink, for logs and commands."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.model import Frame


@dataclass(slots=True)
class MeterHealth:
    """One meter. state: unknown, on, off. failures: reason -> polls that failed so. latest: period -> frame.

    absent: channel the meter turned out not to have -> why.
    """

    link: str
    period_s: float = 0.0
    state: str = "unknown"
    polls: int = 0
    readings: int = 0
    flagged: int = 0
    skipped: int = 0
    last_ns: int = 0
    latest: dict[float, Frame] = field(default_factory=dict)
    error: str = ""
    failures: Counter[str] = field(default_factory=Counter)
    absent: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class LinkHealth:
    """One link. state: down or up. downs: how often it was lost or could not be opened.

    rebuilt: how often it hung. retry_ns: wall time of the next poll of a link that is down, 0: none waits. notices: kind of event -> how often its driver told one. counts: the driver's own.
    """

    kind: str
    state: str = "down"
    ups: int = 0
    downs: int = 0
    polls: int = 0
    rebuilt: int = 0
    errands: int = 0
    retry_ns: int = 0
    error: str = ""
    notices: Counter[str] = field(default_factory=Counter)
    counts: Callable[[], dict[str, object]] = dict


@dataclass(slots=True)
class SinkHealth:
    """One sink. state: down or up; counts of readings live in its reader. error: why it is down."""

    kind: str
    state: str = "down"
    downs: int = 0
    batches: int = 0
    error: str = "connecting"


@dataclass(slots=True)
class Health:
    """Everything, in configuration order."""

    links: dict[str, LinkHealth] = field(default_factory=dict)
    meters: dict[str, MeterHealth] = field(default_factory=dict)
    sinks: dict[str, SinkHealth] = field(default_factory=dict)
    crashes: Counter[str] = field(default_factory=Counter)
    frames: int = 0
    readings: int = 0

    def channels(self, meter: str, *, off: bool, **detail: object) -> None:
        """Note that channels of a meter are absent from now on, or there again. detail: of the event."""
        health = self.meters.get(meter)
        keys = detail.get("channels")
        if health is None or not isinstance(keys, list):
            return
        parts = (str(detail.get(name) or "") for name in ("where", "reason", "error"))
        why = ": ".join(filter(None, parts))
        for key in keys:
            if off:
                health.absent[key] = why
            else:
                health.absent.pop(key, None)

    def values(self) -> dict[str, dict[str, tuple[float | None, str, int, int]]]:
        """Return meter -> channel -> (newest value or None, unit, flags, time in ns)."""
        return {
            id_: {
                channel.key: (None if math.isnan(value) else value, channel.unit, flag, frame.time_ns)
                for frame in meter.latest.values()
                for channel, value, flag in zip(frame.layout.channels, frame.values, frame.flags, strict=True)
            }
            for id_, meter in self.meters.items()
        }

    def figures(self) -> dict[str, Any]:
        """Return all of it as plain JSON values."""
        return {
            "frames": self.frames,
            "readings": self.readings,
            "crashes": dict(self.crashes),
            "links": {
                id_: {"kind": h.kind, "state": h.state, "ups": h.ups, "downs": h.downs}
                | {"polls": h.polls, "error": h.error, "rebuilt": h.rebuilt, "errands": h.errands}
                | {"retry_ns": h.retry_ns}
                | {"notices": dict(h.notices), "counts": h.counts()}
                for id_, h in self.links.items()
            },
            "meters": {
                id_: {"link": h.link, "period_s": h.period_s, "state": h.state, "polls": h.polls}
                | {"readings": h.readings, "flagged": h.flagged, "skipped": h.skipped}
                | {"last_ns": h.last_ns, "error": h.error, "failures": dict(h.failures)}
                | {"absent": dict(h.absent)}
                for id_, h in self.meters.items()
            },
            "sinks": {
                id_: {"kind": h.kind, "state": h.state, "downs": h.downs, "batches": h.batches}
                | {"error": h.error}
                for id_, h in self.sinks.items()
            },
        }
