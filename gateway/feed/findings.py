"""What a verifier found: each with its kind, its message and a sentence; bounded, however much is wrong."""

from __future__ import annotations

from collections import Counter
from typing import Literal, NamedTuple, get_args

from gateway.feed.foreign import printable

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
WHERE_MAX = 20_000  # chains and kinds that are counted apart


class Finding(NamedTuple):
    """One thing that is not as it should be. seq: 0 where the message says none. line: of the recording, or the nth message.

    gateway: its site, REGION/ENTERPRISE/GATEWAY, "" where it is not known.
    """

    kind: FindingKind
    severity: Severity
    chain: str
    seq: int
    line: int
    text: str
    gateway: str = ""

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
        self.by_chain: Counter[tuple[str, str, FindingKind]] = Counter()  # site, chain, kind: findings alone

    def of_chain(self, site: str, chain: str) -> dict[str, int]:
        """Return how many findings of each kind there are about a chain."""
        found = {kind: self.by_chain[site, chain, kind] for kind in get_args(FindingKind)}
        return {kind: n for kind, n in found.items() if n}

    def add(
        self,
        kind: FindingKind,
        text: str,
        *,
        site: str = "",
        chain: str = "",
        seq: int = 0,
        line: int = 0,
        severity: Severity = "finding",
    ) -> None:
        """Take note of a finding."""
        self.counts[kind, severity] += 1
        where = site, chain, kind
        if severity == "finding" and (where in self.by_chain or len(self.by_chain) < WHERE_MAX):
            self.by_chain[where] += 1
        if self.counts[kind, severity] <= KEPT_MAX:
            self.kept.append(Finding(kind, severity, chain, seq, line, printable(text), printable(site)))

    def copy(self) -> Findings:
        """Return a copy that may be added to without changing this one."""
        found = Findings()
        found.kept, found.counts = list(self.kept), Counter(self.counts)
        found.by_chain = Counter(self.by_chain)
        return found
