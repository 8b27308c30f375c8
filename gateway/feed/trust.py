"""Which keys a gateway's messages may be signed with: given on paper, else its first birth's; then what a trusted key announced."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Literal

from gateway.feed import jws

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.feed.jws import Parsed
    from gateway.feed.keys import PublicKey


class Verdict(Enum):
    """What a signature is worth. RETIRED: good, of a key that had been replaced by then. UNKNOWN: no key to check it with, yet."""

    GOOD = "good"
    BAD = "bad"
    RETIRED = "retired"
    UNKNOWN = "unknown"


@dataclass
class Trusted:
    """A key in use.

    source: where it is from. home: the chain it was announced in, "" if it counts in any. began: other chains whose first message
    it signed. until: the last seq it may sign, by chain. proved: newest seq it was seen to have signed, by chain. next: the
    fingerprint of the key that took its place.
    """

    key: PublicKey
    source: Literal["given", "feed", "rotation"]
    home: str = ""
    began: set[str] = field(default_factory=set)
    until: dict[str, int] = field(default_factory=dict)
    proved: dict[str, int] = field(default_factory=dict)
    next: str = ""

    def verdict(self, chain: str, seq: int, *, may_begin: bool) -> Verdict:
        """Return what a good signature of this key is worth there. may_begin: no other key signed in that chain."""
        if chain in self.until:
            return Verdict.RETIRED if seq > self.until[chain] else Verdict.GOOD
        if self.until and chain not in self.proved:  # once replaced it begins nothing
            return Verdict.RETIRED
        if self.home in ("", chain) or chain in self.began:
            return Verdict.GOOD
        if seq == 1 and may_begin:
            self.began.add(chain)
            return Verdict.GOOD
        return Verdict.UNKNOWN


class Trust:
    """The keys of one gateway."""

    def __init__(self, given: Sequence[PublicKey]) -> None:
        """given: keys from paper; none: the first birth is believed, and the report says so."""
        self.keys = [Trusted(key, "given") for key in given]

    def __bool__(self) -> bool:
        """Return whether there is a key at all."""
        return bool(self.keys)

    def knows(self, kid: str) -> bool:
        """Return whether there is a key of that name."""
        return any(one.key.is_named(kid) for one in self.keys)

    def judge(self, parsed: Parsed, chain: str, seq: int) -> Verdict:
        """Return what the signature of a message is worth; costs an Ed25519 verification if its key is known."""
        named = [one for one in self.keys if one.key.is_named(parsed.header.kid)]
        if not named:
            return Verdict.UNKNOWN
        for one in named:
            if jws.verify(parsed, one.key.public):
                alone = not any(chain in other.proved for other in self.keys if other is not one)
                verdict = one.verdict(chain, seq, may_begin=alone)
                if verdict is Verdict.GOOD:
                    one.proved[chain] = max(seq, one.proved.get(chain, 0))
                return verdict
        return Verdict.BAD

    def believe(self, key: PublicKey) -> None:
        """Take the key of a first birth."""
        self.keys.append(Trusted(key, "feed"))

    def replace(self, kid: str, new: PublicKey, chain: str, seq: int) -> tuple[bool, bool]:
        """Take a key that message `seq`, signed by key `kid`, announced; the old one signs nothing later, and begins no other chain.

        Return (the key is new, the old one had been replaced by another key already).
        """
        is_second = False
        for one in self.keys:
            if one.key.is_named(kid) and one.key.fingerprint != new.fingerprint:
                one.until[chain] = min(seq, one.until.get(chain, seq))
                is_second = is_second or one.next not in ("", new.fingerprint)
                one.next = one.next or new.fingerprint
        if any(one.key.fingerprint == new.fingerprint for one in self.keys):
            return False, is_second
        self.keys.append(Trusted(new, "rotation", chain))
        return True, is_second

    def named(self, kid: str) -> PublicKey | None:
        """Return the key of that name."""
        return next((one.key for one in self.keys if one.key.is_named(kid)), None)

    def bodies(self) -> list[dict[str, str]]:
        """Return the keys as plain JSON."""
        return [
            {"kid": one.key.kid, "fingerprint": one.key.fingerprint, "x": one.key.x, "source": one.source}
            for one in self.keys
        ]
