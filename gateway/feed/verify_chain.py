"""One chain as it is received: in any order, twice, with holes; told from it what is missing, changed, forked or not proved.

Messages that follow each other and are linked by `prev` make a run. A good signature of one speaks for all of its run before
it, since their bytes are in its hash: so a signature is checked where a run begins and ends, where the key changes, at every
64th message and wherever something does not fit. What cannot be shown to be good is taken out again.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.feed.contract import GENESIS
from gateway.feed.trust import Trust, Verdict
from gateway.feed.verify_run import Held, Outcome, Run, short

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gateway.feed.findings import FindingKind, Findings
    from gateway.feed.keys import PublicKey

PENDING_MAX = 64  # messages of a run whose signature was not looked at
ACTIVE_MAX = 4  # runs that may have several of them
BAD_MAX = RUNS_MAX = 10_000
STRANGE_MAX = 1000  # runs of all chains that no trusted key speaks for


@dataclass
class Room:
    """What all chains share: how many runs no trusted key speaks for, rotations wait for a key, bytes are held at most."""

    strange: int = 0
    waiting: int = 0
    bytes_held: int = 0


class Chain:
    """One chain of one gateway."""

    def __init__(
        self,
        site: str,
        id_: str,
        trust: Trust,
        findings: Findings,
        room: Room,
        *,
        every: bool,
        taken_out: Callable[[Held], None],
    ) -> None:
        """trust: its gateway's keys. room: what all chains share. every: look at every signature. taken_out: told of what was taken in and then not shown to be good."""
        self.site, self.id = site, id_
        self._trust, self._findings, self._every = trust, findings, every
        self._room = room
        self._taken_out = taken_out
        self.runs: list[Run] = []
        self._active: list[Run] = []
        self.begin = self.live = 0  # first seq that came and is not kept by brokers; and not late either
        self.is_new = False  # began while its gateway was listened to: it must be there from message 1 on
        self._bad: set[int] = set()

    def judge(self, held: Held) -> Verdict:
        """Return what the signature is worth."""
        return self._trust.judge(held.parsed, self.id, held.seq)

    def take(self, held: Held, *, look: bool = False) -> Outcome:
        """Take a message in. look: check its signature in any case."""
        at = bisect_right(self.runs, held.seq, key=lambda run: run.first) - 1
        run = self.runs[at] if at >= 0 else None
        if run is not None and held.seq <= run.last:
            return self._again(run, held)
        if run is not None and held.seq == run.last + 1 and held.prev == run.head:
            outcome = self._extend(run, held, look=look or self._every)
        elif run is not None and held.seq == run.last + 1:
            outcome = self._contradict(run, held)
        else:
            outcome = self._begin(held)
        if outcome is Outcome.NEW:
            self._bad.discard(held.seq)
            if not held.is_kept and not self.begin:
                self.begin = held.seq
            if not held.is_kept and not held.is_late and not self.live:
                self.live = held.seq
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
        self.add(kind, text, held.seq, held.line)

    def notice(self, kind: FindingKind, text: str, held: Held) -> None:
        """Take note of what is told and no finding."""
        self._findings.add(
            kind, text, site=self.site, chain=self.id, seq=held.seq, line=held.line, severity="notice"
        )

    def add(self, kind: FindingKind, text: str, seq: int, line: int) -> None:
        """Take note of a finding about a place in this chain."""
        self._findings.add(kind, text, site=self.site, chain=self.id, seq=seq, line=line)

    def retire(self, key: PublicKey, at: Held) -> None:
        """Take out what a key signed behind the message in which it was replaced, though that came first."""
        for run in list(self.runs):
            ends = [first - 1 for first, _ in run.signers[1:]] + [run.last]
            spans = [
                (max(first, at.seq + 1), end)
                for (first, kid), end in zip(run.signers, ends, strict=True)
                if key.is_named(kid) and end > at.seq
            ]
            for first, end in spans:
                which = f"message {first}" if first == end else f"messages {first}–{end}"
                text = f"{which}: signed with key {key.kid}, which had been replaced in message {at.seq}"
                self.add("unknown_key", text, first, run.line)
            if spans and spans[-1][1] == run.last:  # else the new key spoke for them
                self._behead(run, spans[-1][0], at)

    def _behead(self, run: Run, seq: int, at: Held) -> None:
        """Take out the end of a run from `seq` on, if the hash before it is known."""
        if seq <= run.first:
            self._remove(run)
        elif seq == at.seq + 1:
            run.cut(seq, at.hash)

    def _remove(self, run: Run) -> None:
        self.runs = [one for one in self.runs if one is not run]
        self._active = [one for one in self._active if one is not run]

    def _extend(self, run: Run, held: Held, *, look: bool) -> Outcome:
        """Put a message that is linked at the end of a run."""
        if look or run.kid != held.parsed.header.kid:
            self._prove(run)  # the old key's last message, while it is known to be the last
            if run.last != held.seq - 1:
                return self.take(held)
            verdict = self.judge(held)
            if verdict in (Verdict.BAD, Verdict.RETIRED):
                return self.refuse(held, verdict)
            run.append(held)
            if verdict is Verdict.GOOD:
                run.prove(held.seq)
                run.pending.clear()
        else:
            run.append(held)
        self._use(run)
        if len(run.pending) >= PENDING_MAX:
            self._prove(run)
            if run.last < held.seq:
                return Outcome.REFUSED
            run.drop(len(run.pending) - PENDING_MAX // 2)  # only what has no key yet can be there
        return self._join(run, held)

    def _contradict(self, run: Run, held: Held) -> Outcome:
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
        return self._begin(held, verdict=verdict)

    def _begin(self, held: Held, *, verdict: Verdict | None = None) -> Outcome:
        """Begin a run: nothing links this message to what is there."""
        verdict = verdict or self.judge(held)
        if verdict in (Verdict.BAD, Verdict.RETIRED):
            return self.refuse(held, verdict)
        if verdict is Verdict.UNKNOWN:
            if self._room.strange >= STRANGE_MAX:
                return self.refuse(held, verdict)
            self._room.strange += 1
        if len(self.runs) >= RUNS_MAX:
            self.tell("malformed", f"there are more than {RUNS_MAX} holes; no more are followed", held)
            return Outcome.REFUSED
        if (held.seq == 1) != (held.prev == GENESIS):
            self.tell("broken_chain", "only the first message of a chain has zeros as prev", held)
        seq, kid = held.seq, held.parsed.header.kid
        run = Run(seq, seq - 1, held.prev, held.prev, held.line, kid, held.is_kept, seq, seq - 1)
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
                self.add("broken_chain", text, after.first, after.line)
            return Outcome.NEW if run.last == held.seq else Outcome.REFUSED
        if after.signers[0][1] != run.kid:  # the last message of a key is looked at, as in _extend
            self._prove(run)
            if run.last != held.seq:
                return Outcome.REFUSED
        run.join(after)
        del self.runs[at]
        self._active = [one for one in self._active if one is not after]
        self._use(run)
        return Outcome.NEW

    def _again(self, run: Run, held: Held) -> Outcome:
        """Take a message whose seq is there already: the same again, or another one."""
        known = run.digest(held.seq)
        if known and known == short(held.hash):
            run.is_kept &= held.is_kept
            if not held.is_kept and not held.is_late and not self.live:
                self.live = held.seq
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
            return self.take(held)
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
        run.cut(looked[-1][0].seq, looked[-1][0].prev)
        if run.last < run.first:
            self._remove(run)

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

    def forget_strange(self) -> int:
        """Keep no message any more that no key was known for; return how many runs nothing speaks for."""
        self.prove_all()
        for run in self.runs:
            run.drop(len(run.pending))
        return self.strange

    @property
    def strange(self) -> int:
        """Return how many runs nothing speaks for."""
        return sum(run.proven < run.first for run in self.runs)

    def is_proved(self, held: Held) -> bool:
        """Return whether a good signature speaks for this message."""
        known = short(held.hash)
        return any(run.first <= held.seq <= run.proven and run.digest(held.seq) == known for run in self.runs)

    def unproven(self) -> Iterator[tuple[int, int, int, str]]:
        """Yield (first seq, last seq, line, kid) of messages no good signature speaks for; after `prove_all`."""
        for run in self.runs:
            if run.proven < run.last:
                line = run.dropped_line or (run.pending[0].line if run.pending else run.line)
                yield run.proven + 1, run.last, line, run.kid

    def _is_alone(self, run: Run) -> bool:
        """Return whether a run may be what brokers keep from before the recording, so that nothing need be there around it."""
        begin = self.live or self.begin
        return run.is_kept and not self.is_new and not (begin and run.first > begin)

    def followed(self) -> Iterator[Run]:
        """Yield the runs between which nothing may be missing."""
        return (run for run in self.runs if not self._is_alone(run))

    def holes(self) -> Iterator[tuple[int, int, int, bool]]:
        """Yield (first seq, last seq, line of the message after them, may have been sent before the recording began)."""
        last = 0 if self.is_new else None
        was_alone = False
        for run in self.runs:
            is_alone = self._is_alone(run)
            if is_alone and not run.came_live:
                continue
            if last is not None and run.first > last + 1:
                first, until = last + 1, run.first
                size = until - first
                if size > len(self._bad) or not self._bad.issuperset(range(first, until)):
                    is_first = run.first <= self.live <= run.last and not self.is_new
                    yield first, until - 1, run.line, is_first or is_alone or was_alone
            last, was_alone = run.last, is_alone

    @property
    def messages(self) -> int:
        """Return how many different messages there are."""
        return sum(run.last - run.first + 1 for run in self.runs)

    @property
    def verified(self) -> int:
        """Return how many of them a good signature speaks for."""
        return sum(run.proven - run.first + 1 for run in self.runs)
