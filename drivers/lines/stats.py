"""What a line has counted since the process started; figures, metrics and the benchmarks read it."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field


@dataclass(slots=True)
class LineStats:
    """Counts of one line, kept over reopening; only its own task writes them.

    answers: frames that answered, refusals (counted in `refusals` too) included. discarded: reason -> pieces thrown away:
    `late` (answers to requests given up), `stale` (other bytes from before a request); before or instead of an answer:
    `crc` (an answer with wrong check digits: a bad wire), `foreign` (whole frames of others, or of another form: two with
    one address, or a second master), `echo` (own bytes where none were expected), `noise` (all else).
    withheld: requests not sent because of a late answer. gap_violations: requests sent before the lawful silence was over.
    wire_s: time on the wire of all bytes; silence_s: lawful silence and turnaround before requests; delay_s: from the
    last byte asked to the first of its answer; late_s: how much later than lawful requests went out; timeout_s: time
    spent waiting in vain.
    """

    connects: int = 0
    requests: int = 0
    answers: int = 0
    refusals: int = 0
    timeouts: int = 0
    withheld: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    gap_violations: int = 0
    wire_s: float = 0.0
    silence_s: float = 0.0
    delay_s: float = 0.0
    late_s: float = 0.0
    timeout_s: float = 0.0
    discarded: Counter[str] = field(default_factory=Counter)

    def figures(self) -> dict[str, object]:
        """Return the counts as plain JSON values, times in seconds to the microsecond."""
        return {
            key: round(value, 6) if isinstance(value, float) else value for key, value in asdict(self).items()
        } | {"discarded": dict(self.discarded)}
