"""One chain as it is received: in any order, twice, with holes; told from it what is missing, changed, forked or not proved.

Messages that follow each other and are linked by `prev` make a run. A good signature of one speaks for all of its run before
it, since their bytes are in its hash: so a signature is checked where a run begins and ends, where the key changes, at every
64th message and wherever something does not fit. What cannot be shown to be good is taken out again.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from gateway.feed.contract import GENESIS
from gateway.feed.trust import Trust, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gateway.feed.findings import FindingKind, Findings
    from gateway.feed.jws import Parsed

PENDING_MAX = 64  # messages of a run whose signature was not looked at
ACTIVE_MAX = 4  # runs that may have several of them
DIGEST_BYTES = 16  # kept of each message, to tell a repeat from a fork
REMEMBERED_MAX = 1 << 18  # messages of a run; 4 MiB
BAD_MAX = RUNS_MAX = 10_000
HEX_AT = len("sha256:")


class Held(NamedTuple):
    """A message that is judged. hash: of the message, as `prev` of the next has it."""

    seq: int
    prev: str
    hash: str
    line: int
    parsed: Parsed


class Outcome(Enum):
    """What became of a message."""

    NEW = "new"
    REPEAT = "repeat"
    REFUSED = "refused"


@dataclass(eq=False)
class Run:
    """Messages first … last, linked. proven: newest seq a good signature speaks for (first - 1: none). kid: of the last; "": look.

    dropped_line: where the first message stands that had no key yet and is not in `pending` any more, else 0.
    """

    first: int
    last: int
    first_prev: str
    head: str
    line: int
    kid: str
    is_retained: bool
    base: int
    proven: int
    digests: bytearray = field(default_factory=bytearray)
    pending: list[Held] = field(default_factory=list)
    dropped_line: int = 0

    def drop(self, count: int) -> None:
        """Keep only the newest messages whose signature nobody could look at yet."""
        if count > 0:
            self.dropped_line = self.dropped_line or self.pending[0].line
            del self.pending[:count]

    def prove(self, seq: int) -> None:
        """Take a good signature of a message."""
        self.proven, self.dropped_line = max(self.proven, seq), 0

    def digest(self, seq: int) -> bytes:
        """Return what is kept of a message, empty if it is too long ago."""
        at = (seq - self.base) * DIGEST_BYTES
        return bytes(self.digests[at : at + DIGEST_BYTES]) if at >= 0 else b""

    def append(self, held: Held) -> None:
        """Put the next message at the end."""
        self.last, self.head, self.kid = held.seq, held.hash, held.parsed.header.kid
        self.digests += short(held.hash)
        self.pending.append(held)
        if len(self.digests) > 2 * REMEMBERED_MAX * DIGEST_BYTES:
            over = len(self.digests) - REMEMBERED_MAX * DIGEST_BYTES
            del self.digests[:over]
            self.base += over // DIGEST_BYTES

    def cut(self, held: Held) -> None:
        """Take out this message and all after it."""
        self.last, self.head, self.kid = held.seq - 1, held.prev, ""
        self.proven = min(self.proven, self.last)
        del self.digests[max(0, held.seq - self.base) * DIGEST_BYTES :]


def short(hash_: str) -> bytes:
    """Return the part of a hash that is kept."""
    return bytes.fromhex(hash_[HEX_AT : HEX_AT + 2 * DIGEST_BYTES])


class Chain:
    """One chain of one gateway."""

    def __init__(
        self,
        id_: str,
        trust: Trust,
        findings: Findings,
        *,
        every: bool,
        taken_out: Callable[[Held], None],
    ) -> None:
        """trust: its gateway's keys. every: look at every signature. taken_out: told of what was taken in and then not shown to be good."""
        self.id, self._trust, self._findings, self._every = id_, trust, findings, every
        self._taken_out = taken_out
        self.runs: list[Run] = []
        self._active: list[Run] = []
        self.begin = 0  # first seq that came otherwise than retained
        self._bad: set[int] = set()

    def judge(self, held: Held) -> Verdict:
        """Return what the signature is worth."""
        return self._trust.judge(held.parsed, self.id, held.seq)

    def take(self, held: Held, *, retain: bool, look: bool = False) -> Outcome:
        """Take a message in. look: check its signature in any case."""
        at = bisect_right(self.runs, held.seq, key=lambda run: run.first) - 1
        run = self.runs[at] if at >= 0 else None
        if run is not None and held.seq <= run.last:
            return self._again(run, held, retain=retain)
        if run is not None and held.seq == run.last + 1 and held.prev == run.head:
            outcome = self._extend(run, held, retain=retain, look=look or self._every)
        elif run is not None and held.seq == run.last + 1:
            outcome = self._contradict(run, held, retain=retain)
        else:
            outcome = self._begin(held, retain=retain)
        if outcome is Outcome.NEW:
            self._bad.discard(held.seq)
            if not retain and not self.begin:
                self.begin = held.seq
        return outcome

    def refuse(self, held: Held, verdict: Verdict) -> Outcome:
        """Tell why a message counts for nothing."""
        kid = held.parsed.header.kid
        texts: dict[Verdict, tuple[FindingKind, str]] = {
            Verdict.BAD: ("bad_signature", f"the signature is not that of key {kid} over what was received"),
            Verdict.RETIRED: ("unknown_key", f"signed with key {kid}, which had been replaced by then"),
            Verdict.UNKNOWN: ("unknown_key", f"signed with key {kid}, which no trusted key speaks for"),
        }
        kind, text = texts[verdict]
        self.tell(kind, text, held)
        if len(self._bad) < BAD_MAX:
            self._bad.add(held.seq)
        return Outcome.REFUSED

    def tell(self, kind: FindingKind, text: str, held: Held) -> None:
        """Take note of a finding about a message."""
        self._findings.add(kind, text, chain=self.id, seq=held.seq, line=held.line)

    def _extend(self, run: Run, held: Held, *, retain: bool, look: bool) -> Outcome:
        """Put a message that is linked at the end of a run."""
        if look or run.kid != held.parsed.header.kid:
            self._prove(run)  # the old key's last message, while it is known to be the last
            if run.last != held.seq - 1:
                return self.take(held, retain=retain)
            verdict = self.judge(held)
            if verdict in (Verdict.BAD, Verdict.RETIRED):
                return self.refuse(held, verdict)
            run.append(held)
            if verdict is Verdict.GOOD:
                run.prove(held.seq)
                run.pending.clear()
        else:
            run.append(held)
        run.is_retained &= retain
        self._use(run)
        if len(run.pending) >= PENDING_MAX:
            self._prove(run)
            if run.last < held.seq:
                return Outcome.REFUSED
            run.drop(len(run.pending) - PENDING_MAX // 2)  # only what has no key yet can be there
        return self._join(run, held)

    def _contradict(self, run: Run, held: Held, *, retain: bool) -> Outcome:
        """Take a message that should follow a run but is not linked to it: one of the two is not what was sent."""
        verdict = self.judge(held)
        if verdict in (Verdict.BAD, Verdict.RETIRED):
            return self.refuse(held, verdict)
        self._prove(run)
        if run.last == held.seq - 1 and run.proven < run.last and verdict is Verdict.GOOD:
            self._condemn(run, run.last)
        if run.last == held.seq - 1:
            if verdict is Verdict.UNKNOWN and run.proven == run.last:
                return self.refuse(held, verdict)
            self.tell("broken_chain", f"prev is not the hash of message {run.last}", held)
        return self._begin(held, retain=retain, verdict=verdict)

    def _begin(self, held: Held, *, retain: bool, verdict: Verdict | None = None) -> Outcome:
        """Begin a run: nothing links this message to what is there."""
        verdict = verdict or self.judge(held)
        if verdict in (Verdict.BAD, Verdict.RETIRED):
            return self.refuse(held, verdict)
        if len(self.runs) >= RUNS_MAX:
            self.tell("malformed", f"there are more than {RUNS_MAX} holes; no more are followed", held)
            return Outcome.REFUSED
        if (held.seq == 1) != (held.prev == GENESIS):
            self.tell("broken_chain", "only the first message of a chain has zeros as prev", held)
        seq, kid = held.seq, held.parsed.header.kid
        run = Run(seq, seq - 1, held.prev, held.prev, held.line, kid, retain, seq, seq - 1)
        run.append(held)
        if verdict is Verdict.GOOD:
            run.prove(seq)
            run.pending.clear()
        self.runs.insert(bisect_right(self.runs, seq, key=lambda one: one.first), run)
        self._use(run)
        return self._join(run, held)

    def _join(self, run: Run, held: Held) -> Outcome:
        """Join a run with the one that now follows it; return what became of its last message."""
        at = self.runs.index(run) + 1
        if at == len(self.runs) or self.runs[at].first != run.last + 1:
            return Outcome.NEW
        after = self.runs[at]
        if after.first_prev != run.head:
            self._prove(run)
            if run.last >= run.first and run.proven < run.last and after.proven >= after.first:
                self._condemn(run, held.seq)
            if run.last == held.seq:
                text = f"prev is not the hash of message {held.seq} (line {held.line})"
                self._findings.add("broken_chain", text, chain=self.id, seq=after.first, line=after.line)
            return Outcome.NEW if run.last == held.seq else Outcome.REFUSED
        if after.proven >= after.first:
            run.proven, run.pending, run.dropped_line = after.proven, after.pending, after.dropped_line
        else:
            run.pending = run.pending + after.pending
            run.dropped_line = run.dropped_line or after.dropped_line
        run.last, run.head, run.kid = after.last, after.head, after.kid
        run.is_retained &= after.is_retained
        if after.base > after.first:  # the beginning is too long ago on both sides then
            run.digests, run.base = after.digests, after.base
        else:
            run.digests += after.digests
        del self.runs[at]
        self._active = [one for one in self._active if one is not after]
        self._use(run)
        return Outcome.NEW

    def _again(self, run: Run, held: Held, *, retain: bool) -> Outcome:
        """Take a message whose seq is there already: the same again, or another one."""
        known = run.digest(held.seq)
        if known and known == short(held.hash):
            run.is_retained &= retain
            return Outcome.REPEAT
        verdict = self.judge(held)
        if verdict is not Verdict.GOOD:
            return self.refuse(held, verdict)
        if not known:  # too long ago to compare; its signature is good
            return Outcome.REPEAT
        self._prove(run)
        if run.last >= held.seq > run.proven:
            self._condemn(run, held.seq)
        if run.last < held.seq:
            return self.take(held, retain=retain)
        self.tell("fork", "another message with this seq came before; both are signed", held)
        return Outcome.REFUSED

    def _use(self, run: Run) -> None:
        """Keep the messages not looked at of the runs used last, and look at those of the others."""
        if run in self._active[-1:]:
            return
        self._active = [one for one in self._active if one is not run] + [run]
        for old in self._active[:-ACTIVE_MAX]:
            self._prove(old)
            old.drop(len(old.pending) - 1)
        self._active = self._active[-ACTIVE_MAX:]

    def _prove(self, run: Run) -> None:
        """Look at signatures from the end of a run back to the first good one; take out from the oldest bad one on."""
        looked: list[tuple[Held, Verdict]] = []
        bad_at = -1
        while run.pending:
            held = run.pending[-1]
            verdict = self.judge(held)
            if verdict is Verdict.GOOD:
                run.prove(held.seq)
                break
            run.pending.pop()
            looked.append((held, verdict))
            if verdict is not Verdict.UNKNOWN:
                bad_at = len(looked) - 1
        run.pending = [held for held, _ in reversed(looked[bad_at + 1 :])]
        if bad_at >= 0:
            self._take_out(run, looked[: bad_at + 1])

    def _take_out(self, run: Run, looked: list[tuple[Held, Verdict]]) -> None:
        """Take messages out of the end of a run. looked: newest first."""
        for held, verdict in reversed(looked):
            self.refuse(held, verdict)
            self._taken_out(held)
        run.cut(looked[-1][0])
        if run.last < run.first:
            self.runs = [one for one in self.runs if one is not run]
            self._active = [one for one in self._active if one is not run]

    def _condemn(self, run: Run, seq: int) -> None:
        """Take out messages without a known key from `seq` on: a good signature speaks against them."""
        out = [(held, Verdict.UNKNOWN) for held in reversed(run.pending) if held.seq >= seq]
        if out and out[-1][0].seq == seq:
            run.pending = [held for held in run.pending if held.seq < seq]
            self._take_out(run, out)

    def prove_all(self) -> None:
        """Look at the newest signature of every run."""
        for run in list(self.runs):
            self._prove(run)

    def unproven(self) -> Iterator[tuple[int, int, int, str]]:
        """Yield (first seq, last seq, line, kid) of messages no good signature speaks for; after `prove_all`."""
        for run in self.runs:
            if run.proven < run.last:
                line = run.dropped_line or (run.pending[0].line if run.pending else run.line)
                yield run.proven + 1, run.last, line, run.kid

    def holes(self) -> Iterator[tuple[int, int, int, bool]]:
        """Yield (first seq, last seq, line of the message after them, may have been sent before the recording began).

        What is retained from before the recording leaves no holes.
        """
        before: Run | None = None
        for run in self.runs:
            if not self.begin or (run.is_retained and run.first < self.begin):
                continue
            if before is not None and run.first > before.last + 1:
                hole = range(before.last + 1, run.first)
                if len(hole) > len(self._bad) or not self._bad.issuperset(hole):
                    yield hole[0], hole[-1], run.line, run.first <= self.begin <= run.last
            before = run

    @property
    def messages(self) -> int:
        """Return how many different messages there are."""
        return sum(run.last - run.first + 1 for run in self.runs)

    @property
    def verified(self) -> int:
        """Return how many of them a good signature speaks for."""
        return sum(run.proven - run.first + 1 for run in self.runs)
