"""What a verifier keeps of a gateway and its chains, and of what is announced on retained topics."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

from gateway.feed.verify_bodies import Memory

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.feed.keys import PublicKey
    from gateway.feed.trust import Trust
    from gateway.feed.verify_bodies import Revisions
    from gateway.feed.verify_chain import Chain
    from gateway.feed.verify_run import Held

METERS_MAX = 10_000


@dataclass
class Announced:
    """The newest index and the newest message of each meter of one chain. index: seq, line, meter -> digest."""

    index: tuple[int, int, dict[str, str]] = (0, 0, {})
    meters: dict[str, tuple[int, int, str]] = field(default_factory=dict)

    def note(self, body: dict[str, Any], held: Held) -> None:
        """Take a birth."""
        if body["kind"] == "birth" and held.seq > self.index[0] and isinstance(body.get("meters"), list):
            told = [one for one in body["meters"][:METERS_MAX] if isinstance(one, dict)]
            digests = {str(one.get("id"))[:200]: str(one.get("digest"))[:64] for one in told}
            self.index = held.seq, held.line, digests
        about = body.get("about")
        if body["kind"] == "meter" and isinstance(about, dict) and isinstance(about.get("id"), str):
            known = self.meters.get(about["id"])
            if held.seq > known[0] if known else len(self.meters) < METERS_MAX:
                digest = hashlib.sha256(orjson.dumps(about)).hexdigest()
                self.meters[about["id"]] = held.seq, held.line, digest

    def differing(self, last: int) -> Iterator[tuple[int, int, str]]:
        """Yield (seq, line, text) for meters whose newest message is not the one the index names; those still to come are none.

        last: newest seq of the chain.
        """
        at, _, digests = self.index
        for meter, (seq, line, digest) in self.meters.items():
            is_past = last >= max(at, seq) + len(digests)  # the index comes before its meters, in one piece
            if at and is_past and digests.get(meter, digest) != digest:
                text = f"birth of {meter} is not the one that the index in message {at} names: one of both is old"
                yield seq, line, text


@dataclass
class Links:
    """A chain and what its payloads say. order: which of its gateway's chains, as they came (0: nothing of a known key came)."""

    chain: Chain
    revisions: Revisions
    order: int = 0
    why: str = ""
    is_back: bool = False
    announced: Announced | None = None


@dataclass
class Gateway:
    """One gateway. waiting: rotations signed with a key that is not known yet."""

    id: str
    trust: Trust
    chains: dict[str, Links] = field(default_factory=dict)
    memory: Memory = field(default_factory=Memory)
    orders: int = 0
    fresh: list[PublicKey] = field(
        default_factory=list
    )  # became known; what waits for them is to be looked at
    waiting: list[tuple[Links, Held, PublicKey]] = field(default_factory=list)
    state_seq: tuple[str, int, int] = ("", 0, 0)  # chain, seq, line of the newest state
