"""What a verifier found: each with its kind, its message and a sentence; bounded, however much is wrong."""

from __future__ import annotations

from collections import Counter
from typing import Literal, NamedTuple

Severity = Literal["finding", "notice"]
FindingKind = Literal[
    "bad_signature",
    "unknown_key",
    "unknown_algorithm",
    "broken_chain",
    "gap",
    "fork",
    "reordered",
    "replayed",
    "malformed",
    "truncated",
    "wrong_topic",
    "wrong_schema",
    "bad_revision",
    "bad_checkpoint",
    "new_chain",
    "unsigned",
]
KEPT_MAX = 200  # of each kind; more are counted


class Finding(NamedTuple):
    """One thing that is not as it should be. seq: 0 where the message says none. line: of the recording, or the nth message."""

    kind: FindingKind
    severity: Severity
    chain: str
    seq: int
    line: int
    text: str

    @property
    def body(self) -> dict[str, object]:
        """Return it as plain JSON."""
        return self._asdict() | {"seq": str(self.seq) if self.seq else None}


class Findings:
    """Collects findings: the first of each kind are kept, all are counted."""

    def __init__(self) -> None:
        """Nothing was found yet."""
        self.kept: list[Finding] = []
        self.counts: Counter[tuple[FindingKind, Severity]] = Counter()

    def add(
        self,
        kind: FindingKind,
        text: str,
        *,
        chain: str = "",
        seq: int = 0,
        line: int = 0,
        severity: Severity = "finding",
    ) -> None:
        """Take note of a finding."""
        self.counts[kind, severity] += 1
        if self.counts[kind, severity] <= KEPT_MAX:
            self.kept.append(Finding(kind, severity, chain, seq, line, text))

    def copy(self) -> Findings:
        """Return a copy that may be added to without changing this one."""
        found = Findings()
        found.kept, found.counts = list(self.kept), Counter(self.counts)
        return found
