"""What a Modbus link has counted since the process started; health and metrics read it."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field


@dataclass(slots=True)
class LinkStats:
    """Counts of one link, kept over reconnects; only its own task writes them.

    answers: right ones, exceptions not included. discarded: reason -> frames thrown away; the reasons are
    `transaction` (nobody asked), `late` (asked, but given up), `unit`, `function`, `byte_count`, `length`,
    `protocol`, `partial` (cut short when its time was up). bytes: Modbus bytes, without TCP's.
    """

    connects: int = 0
    requests: int = 0
    answers: int = 0
    exceptions: int = 0
    timeouts: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    discarded: Counter[str] = field(default_factory=Counter)

    def figures(self) -> dict[str, object]:
        """Return the counts as plain JSON values."""
        return asdict(self) | {"discarded": dict(self.discarded)}
