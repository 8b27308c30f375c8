"""The order of messages on each topic: what comes behind its turn, and old retained messages that come again."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from gateway.feed.verify_run import Outcome

if TYPE_CHECKING:
    from gateway.feed.findings import Findings
    from gateway.feed.verify_run import Held
    from gateway.feed.verify_state import Links

TOPICS_MAX = 10_000
SUSPECTS_MAX = 1000


class Suspect(NamedTuple):
    """An old message that came again, byte for byte: harmless if the newest one of its topic follows."""

    links: Links
    held: Held
    text: str


class Order:
    """What came on each topic."""

    def __init__(self) -> None:
        """Nothing came yet."""
        self._newest: dict[str, tuple[Links, int, int]] = {}  # topic -> chain, greatest seq, last seq
        self._suspects: dict[str, list[Suspect]] = {}
        self._count = 0

    def take(self, topic: str, held: Held, links: Links, outcome: Outcome) -> None:
        """Find what comes behind its turn on its topic."""
        chain, seq = links.chain, held.seq
        before = self._newest.get(topic)
        if before is None:
            if len(self._newest) < TOPICS_MAX:
                self._newest[topic] = (links, seq, seq)
            return
        newest, greatest, last = before
        if newest is not links:
            if held.is_kept and newest.order > links.order:
                self._old(topic, links, held, outcome, f"of an older chain than what came before on {topic}")
                return
            self._newest[topic] = (links, seq, seq)
            return
        if outcome is Outcome.REPEAT and held.is_kept and seq < greatest:
            self._old(topic, links, held, outcome, f"an old message again, after {greatest} on {topic}")
        elif outcome is Outcome.NEW and held.is_late and seq < last:
            chain.notice(
                "reordered", f"comes after {last} on {topic}: sent again, or put in another order", held
            )
        elif outcome is Outcome.NEW and not held.is_late and seq < greatest:
            chain.tell("reordered", f"comes after {greatest} on {topic}", held)
        if seq >= greatest and topic in self._suspects:
            for one in self._clear(topic):
                text = f"{one.text}; the newest one followed: the broker or the gateway sent both again"
                one.links.chain.notice("replayed", text, one.held)
        if outcome is Outcome.NEW or held.is_kept:
            self._newest[topic] = (links, max(seq, greatest), seq)

    def _old(self, topic: str, links: Links, held: Held, outcome: Outcome, text: str) -> None:
        if outcome is not Outcome.REPEAT or self._count >= SUSPECTS_MAX:
            links.chain.tell("replayed", text, held)
            return
        self._count += 1
        slim = held._replace(parsed=held.parsed._replace(payload=b"", signing_input=b""))
        self._suspects.setdefault(topic, []).append(Suspect(links, slim, text))

    def _clear(self, topic: str) -> list[Suspect]:
        found = self._suspects.pop(topic)
        self._count -= len(found)
        return found

    def conclude(self, findings: Findings) -> None:
        """Add the old messages that nothing newer followed."""
        for suspects in self._suspects.values():
            for links, held, text in suspects:
                findings.add(
                    "replayed",
                    text,
                    site=links.chain.site,
                    chain=links.chain.id,
                    seq=held.seq,
                    line=held.line,
                )
