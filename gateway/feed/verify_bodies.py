"""What the payloads of a chain say against each other: revisions that contradict or skip, checkpoints that lie."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from typing import TYPE_CHECKING, Any

import orjson

from gateway.feed.contract import MESSAGES
from gateway.feed.foreign import brief

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from gateway.feed.contract import Kind

    Name = tuple[object, ...]

REMEMBERED_MAX = 150_000  # identities in each of two generations; some 25 MB each
REVISED_MAX = 50_000  # revisions of a chain that are followed
REV_MAX = 1_000_000
CHAIN_WIDTH, CHAIN_BITS = 8, 0xFF  # of what is kept of a content, which chain said it


@dataclass
class Revised:
    """An identity that was revised: which revisions came, and where the first of them stands."""

    seq: int
    line: int
    revs: set[int] = field(default_factory=set)


class Memory:
    """What was said of each interval, aggregate, summary and reading of one gateway, as hashes; the oldest are forgotten."""

    def __init__(self) -> None:
        """Nothing was said yet."""
        self.young: dict[int, int] = {}
        self.old: dict[int, int] = {}
        self.is_whole = True

    def known(self, key: int) -> int | None:
        """Return what was kept of it."""
        return self.young.get(key, self.old.get(key))

    def remember(self, key: int, said: int) -> None:
        """Keep it."""
        if len(self.young) >= REMEMBERED_MAX:
            self.is_whole = self.is_whole and not self.old
            self.old, self.young = self.young, {}
        self.young[key] = said


class Revisions:
    """What one chain said, held against what it and the other chains of its gateway had said."""

    def __init__(self, memory: Memory, number: int = 0) -> None:
        """memory: of the gateway. number: of this chain among its own."""
        self.intervals = self.revisions = 0
        self._memory, self._number = memory, number & CHAIN_BITS
        self._revised: dict[Name, Revised] = {}
        self._room = REVISED_MAX

    def note(self, payload: Mapping[str, Any], seq: int, line: int) -> Iterator[tuple[str, bool]]:
        """Take note of what a message says; yield (what contradicts an earlier one, whether that was in the same chain)."""
        for name, rev, body in _identities(payload):
            if not 0 <= rev <= REV_MAX:
                yield f"rev {rev} of {shown(name)} is no number of a revision", True
                continue
            if name[0] == "interval":
                self.intervals += 1
                self.revisions += rev > 0
            key, said = hash((name, rev)), self._said(body)
            known = self._memory.known(key)
            if known is None:
                self._memory.remember(key, said)
                self._revise(name, rev, seq, line)
            elif known >> CHAIN_WIDTH != said >> CHAIN_WIDTH:
                is_own = known & CHAIN_BITS == self._number
                where = "" if is_own else " in another chain"
                yield f"rev {rev} of {shown(name)} came before{where} with other content", is_own

    def _said(self, body: object) -> int:
        return hash(orjson.dumps(body)) << CHAIN_WIDTH | self._number

    def forget(self, payload: Mapping[str, Any]) -> None:
        """Forget what a message said: it was not shown to be good."""
        for name, rev, body in _identities(payload):
            key = hash((name, rev))
            for generation in (self._memory.young, self._memory.old):
                if generation.get(key) == self._said(body):
                    del generation[key]
                    if name[0] == "interval":
                        self.intervals -= 1
                        self.revisions -= rev > 0
            if name in self._revised:
                self._revised[name].revs.discard(rev)

    def _revise(self, name: Name, rev: int, seq: int, line: int) -> None:
        revised = self._revised.get(name)
        if not self._room or (revised is None and not rev):
            return
        self._room -= 1
        if revised is not None:
            revised.revs.add(rev)
        else:
            first = {0} if self._memory.known(hash((name, 0))) is not None else set()
            self._revised[name] = Revised(seq, line, first | {rev})

    def skipped(self, *, from_first: bool) -> Iterator[tuple[int, int, str]]:
        """Yield (seq, line, text) for revisions of which an earlier one never came; only for a chain without holes.

        from_first: nothing came before what was noted.
        """
        if not self._memory.is_whole or not self._room:
            return
        for name, revised in self._revised.items():
            if revised.revs:
                least = 0 if from_first else min(revised.revs)
                if max(revised.revs) - least >= len(revised.revs):
                    missing = next(n for n in count(least) if n not in revised.revs)
                    text = f"rev {max(revised.revs)} of {shown(name)} came, rev {missing} never did"
                    yield revised.seq, revised.line, text


def shown(name: Name) -> str:
    """Return an identity for people."""
    what = [part if isinstance(part, str) else brief(part) for part in name[:2]]
    at = name[-1].isoformat() if isinstance(name[-1], datetime) else brief(name[-1])
    return f"{' '.join(what)}, t0 {at}"


def instant(text: object) -> object:
    """Return when a time is, however it is written; what is no time with an offset as it is."""
    if isinstance(text, str):
        try:
            found = datetime.fromisoformat(text)
        except ValueError:
            return text
        return found if found.tzinfo is not None else text
    return text


def _identities(payload: Mapping[str, Any]) -> list[tuple[Name, int, object]]:
    """Return (identity without rev, rev, what is said of it); docs/specs/feed.md, Identity. What is of another shape says nothing."""
    found: list[tuple[Name, int, object]] = []
    for body in _tables(payload, "intervals"):
        t0 = instant(body.get("t0"))
        _add(found, ("interval", body.get("meter"), body.get("epoch"), t0), body.get("rev"), _amounts(body))
    if payload["kind"] == "summary":
        said = [payload.get(key) for key in ("site", "meters", "totals", "aggregates", "consistency")]
        t0 = instant(payload.get("t0"))
        name = ("summary", payload.get("period"), payload.get("part", 1), t0)
        _add(found, name, payload.get("rev"), said)
    for body in _tables(payload, "aggregates"):
        name = ("aggregate", body.get("aggregate"), body.get("period"), instant(body.get("t0")))
        _add(found, name, body.get("rev"), _amounts(body))
    for body in _tables(payload, "readings"):
        entered, at = instant(body.get("entered")), instant(body.get("at"))
        reading = ("reading", body.get("meter"), body.get("channel"), entered, at)
        _add(found, reading, 0, [body.get("value"), body.get("unit")])
    return found


def _amounts(body: Mapping[str, Any]) -> object:
    """Return what is said besides the identity, which may be written in several ways."""
    end = instant(body.get("t1"))
    t1 = end.timestamp() if isinstance(end, datetime) else end
    return [t1, {key: value for key, value in body.items() if key not in {"t0", "t1"}}]


def _add(found: list[tuple[Name, int, object]], name: Name, rev: object, said: object) -> None:
    if isinstance(rev, int) and not any(isinstance(part, (list, dict)) for part in name):
        found.append((name, rev, said))


def _tables(payload: Mapping[str, Any], key: str) -> Iterator[Mapping[str, Any]]:
    found = payload.get(key)
    if isinstance(found, list):
        for one in found:
            if isinstance(one, dict):
                yield one


def events(payload: Mapping[str, Any], kind: str) -> Iterator[Mapping[str, Any]]:
    """Yield the details of events of a kind in a message."""
    if payload.get("kind") == "event":
        for event in _tables(payload, "events"):
            if event.get("kind") == kind and isinstance(event.get("detail"), dict):
                yield event["detail"]


def checkpoint_fault(payload: Mapping[str, Any], seq: int) -> str:
    """Return what a checkpoint says wrongly, "" if nothing."""
    if payload.get("covers") != str(seq - 1):
        return f"it covers {brief(payload.get('covers'))}, but message {seq - 1} is before it"
    if payload.get("head") != payload.get("prev"):
        return f"its head is not the hash of message {seq - 1}"
    return ""


def schema_checker() -> Callable[[Mapping[str, Any]], str]:
    """Return a function that says what of a payload is not as the contract has it, "" if all is."""
    from pydantic import ValidationError

    def check(payload: Mapping[str, Any]) -> str:
        kind: Kind = payload["kind"]
        try:
            MESSAGES[kind].model_validate(payload, strict=True)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            return f"{'.'.join(str(part)[:80] for part in first['loc'])}: {first['msg']}"
        return ""

    return check
