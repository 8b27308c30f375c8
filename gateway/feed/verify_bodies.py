"""What the payloads of a chain say against each other: revisions that contradict or skip, checkpoints that lie."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

from gateway.feed.contract import MESSAGES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from gateway.feed.contract import Kind

    Name = tuple[object, ...]

REMEMBERED_MAX = 150_000  # identities in each of two generations; some 25 MB each
REVISED_MAX = 50_000


@dataclass
class Revised:
    """An identity that was revised: which revisions came, and where the first of them stands."""

    seq: int
    line: int
    revs: set[int] = field(default_factory=set)


class Revisions:
    """What was said of each interval, aggregate and summary of one chain, as hashes; the oldest are forgotten."""

    def __init__(self) -> None:
        """Nothing was said yet."""
        self.intervals = self.revisions = 0
        self._young: dict[int, int] = {}
        self._old: dict[int, int] = {}
        self._revised: dict[Name, Revised] = {}
        self._is_whole = True

    def note(self, payload: Mapping[str, Any], seq: int, line: int) -> Iterator[str]:
        """Take note of what a message says; yield what contradicts an earlier one."""
        for name, rev, body in _identities(payload):
            if name[0] == "interval":
                self.intervals += 1
                self.revisions += rev > 0
            key, content = hash((name, rev)), hash(orjson.dumps(body))
            known = self._known(key)
            if known is None:
                self._remember(key, content, name, rev, seq, line)
            elif known != content:
                yield f"rev {rev} of {shown(name)} came before with other content"

    def forget(self, payload: Mapping[str, Any]) -> None:
        """Forget what a message said: it was not shown to be good."""
        for name, rev, body in _identities(payload):
            key = hash((name, rev))
            for generation in (self._young, self._old):
                if generation.get(key) == hash(orjson.dumps(body)):
                    del generation[key]
                    if name[0] == "interval":
                        self.intervals -= 1
                        self.revisions -= rev > 0
            if name in self._revised:
                self._revised[name].revs.discard(rev)

    def _known(self, key: int) -> int | None:
        return self._young.get(key, self._old.get(key))

    def _remember(self, key: int, content: int, name: Name, rev: int, seq: int, line: int) -> None:
        if len(self._young) >= REMEMBERED_MAX:
            self._is_whole = self._is_whole and not self._old
            self._old, self._young = self._young, {}
        self._young[key] = content
        revised = self._revised.get(name)
        if revised is not None:
            revised.revs.add(rev)
        elif rev and len(self._revised) < REVISED_MAX:
            first = {0} if self._known(hash((name, 0))) is not None else set()
            self._revised[name] = Revised(seq, line, first | {rev})

    def skipped(self, *, from_first: bool) -> Iterator[tuple[int, int, str]]:
        """Yield (seq, line, text) for revisions of which an earlier one never came; only for a chain without holes.

        from_first: nothing came before what was noted.
        """
        if not self._is_whole:
            return
        for name, revised in self._revised.items():
            if revised.revs:
                least = 0 if from_first else min(revised.revs)
                missing = sorted(set(range(least, max(revised.revs))) - revised.revs)
                if missing:
                    text = f"rev {max(revised.revs)} of {shown(name)} came, rev {missing[0]} never did"
                    yield revised.seq, revised.line, text


def shown(name: Name) -> str:
    """Return an identity for people."""
    return " ".join(str(part) for part in name[:2]) + f", t0 {name[-1]}"


def _identities(payload: Mapping[str, Any]) -> list[tuple[Name, int, object]]:
    """Return (identity without rev, rev, what is said of it); docs/specs/feed.md, Identity. What is of another shape says nothing."""
    found: list[tuple[Name, int, object]] = []
    for body in _tables(payload, "intervals"):
        _add(found, ("interval", body.get("meter"), body.get("epoch"), body.get("t0")), body, body)
    if payload["kind"] == "summary":  # its aggregates are part of it; the same ones come with other parts
        said = [payload.get(key) for key in ("t1", "site", "meters", "totals", "consistency")]
        name = ("summary", payload.get("period"), payload.get("part", 1), payload.get("t0"))
        _add(found, name, payload, said)
        return found
    for body in _tables(payload, "aggregates"):
        _add(found, ("aggregate", body.get("aggregate"), body.get("period"), body.get("t0")), body, body)
    return found


def _add(found: list[tuple[Name, int, object]], name: Name, body: Mapping[str, Any], said: object) -> None:
    rev = body.get("rev")
    if isinstance(rev, int):
        try:
            hash(name)
        except TypeError:  # a list or an object where text should be
            return
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
        return f"it covers {payload.get('covers')!r:.40}, but message {seq - 1} is before it"
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
            return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        return ""

    return check
