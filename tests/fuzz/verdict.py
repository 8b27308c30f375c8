"""What became of a malformed answer, and the counts of many."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection
    from random import Random

Content = tuple[object, ...]
"""What an answer says: ("values", bytes) or ("refusal", bytes)."""
FAILURES_MAX = 10


class Verdict(NamedTuple):
    """What the code under test made of received bytes. accepted: None if it took nothing from them.

    true: what the meter meant to answer. lawful: everything that a search of our own finds lawfully said in `raw`.
    asides: other answers of the same case, lawful themselves, each as (accepted, lawful).
    """

    raw: bytes
    accepted: Content | None
    true: Content | None
    lawful: Collection[Content]
    asides: Collection[tuple[Content | None, Collection[Content]]] = ()
    leaked: int = 0


class Codec(Protocol):
    """One codec under test, its state made anew in each case, so that a case is its seed and index alone."""

    name: str

    async def case(self, rng: Random) -> Verdict:
        """Return what became of one malformed answer. Whatever it raises is a crash."""


@dataclass(frozen=True, slots=True)
class Failure:
    """One finding, enough to see it again: `python -m tests.fuzz.run --only CODEC --seed SEED --index INDEX`."""

    codec: str
    seed: int
    index: int
    kind: str
    text: str
    raw: str = ""


@dataclass(slots=True)
class Tally:
    """Counts of one codec.

    accepted: the meter's own words, taken although something foreign stood around them. undetectable: other words, but
    lawful by the protocol's own rules, so nobody could know. missed: refused although the meter's own words were there,
    lawful and whole; no wrong value, a lost reading. failures: the first of crashes, wrong and leaked.
    """

    codec: str
    answers: int = 0
    accepted: int = 0
    refused: int = 0
    undetectable: int = 0
    missed: int = 0
    crashes: int = 0
    wrong: int = 0
    leaked_tasks: int = 0
    failures: list[Failure] = field(default_factory=list)

    def take(self, verdict: Verdict, seed: int, index: int) -> None:
        """Count one case."""
        self.answers += 1
        self._judge(verdict, seed, index)
        for accepted, lawful in verdict.asides:
            if accepted is not None and accepted not in lawful:
                self._fail("wrong", seed, index, f"beside it: {accepted}", verdict.raw)
        if verdict.leaked:
            self._fail("leaked_tasks", seed, index, f"{verdict.leaked} left behind", verdict.raw)

    def _judge(self, verdict: Verdict, seed: int, index: int) -> None:
        if verdict.accepted is None:
            self.refused += 1
            self.missed += verdict.true is not None and verdict.true in verdict.lawful
        elif verdict.accepted not in verdict.lawful:
            text = f"accepted {verdict.accepted}, true {verdict.true}, lawful {list(verdict.lawful)[:4]}"
            self._fail("wrong", seed, index, text, verdict.raw)
        elif verdict.accepted == verdict.true:
            self.accepted += 1
        else:
            self.undetectable += 1

    def crash(self, seed: int, index: int, text: str) -> None:
        """Count one case that raised something."""
        self.answers += 1
        self._fail("crashes", seed, index, text, b"")

    def _fail(self, kind: str, seed: int, index: int, text: str, raw: bytes) -> None:
        setattr(self, kind, getattr(self, kind) + 1)
        if len(self.failures) < FAILURES_MAX:
            self.failures.append(Failure(self.codec, seed, index, kind, text, raw.hex()))

    def add(self, other: Tally) -> None:
        """Add the counts of another part of the same codec."""
        for key in COUNTS:
            setattr(self, key, getattr(self, key) + getattr(other, key))
        self.failures = (self.failures + other.failures)[:FAILURES_MAX]

    @property
    def failed(self) -> bool:
        return bool(self.crashes or self.wrong or self.leaked_tasks)

    def figures(self) -> dict[str, Any]:
        """Return the counts as plain JSON values."""
        return asdict(self)


COUNTS = (
    "answers", "accepted", "refused", "undetectable", "missed", "crashes", "wrong", "leaked_tasks",
)  # fmt: skip
